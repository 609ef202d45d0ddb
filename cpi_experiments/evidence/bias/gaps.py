"""What regressions and experiments say of the same links, side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.display import Displayed, decimals, interval, number, short
from cpi_experiments.stats.judging.calibrated_bias import FEWEST, Bias

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cpi_experiments.display import Row


_Z = 1.959963984540054
#: Unit of a bias on the scale of all KPIs.
_SIZES = " times the smallest effect worth acting on"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkGap(Displayed):
    """What a regression and experiments say of one link, in the KPI's own unit and sign.

    Parameters
    ----------
    link : str
    past, se_past, trial, se_trial : float
        KPI per increment; NaN where there is none.
    sesoi : float
        Size that gaps are measured in; 1 if the table has none.
    expected_sign : int
    forecast, forecast_low, forecast_high : float
        Experiment and corrected regression in one number, with its 95 % interval; NaN where that is not allowed.
    basis : str
        What the forecast rests on, or why there is none.
    """

    link: str
    past: float
    se_past: float
    trial: float
    se_trial: float
    sesoi: float
    expected_sign: int
    forecast: float
    forecast_low: float
    forecast_high: float
    basis: str

    @property
    def gap(self) -> float:
        """Regression minus experiment in SESOI, + = the regression is too favourable; NaN unless both exist."""
        return self.expected_sign * (self.past - self.trial) / self.sesoi

    @property
    def digits(self) -> int:
        """Decimals that the gap earns."""
        half = _Z * math.hypot(self.se_past, self.se_trial) / self.sesoi
        return decimals(-half, half)

    def _title(self) -> str:
        return f"{self.link}: {number(self.gap, self.digits, sign=True)} from experiment to regression; {self.basis}."


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressionBias(Displayed):
    """By how much regressions on past data misstate effects, from links that have a regression and experiments.

    Forecasts may use what they say after correction; verdicts never do.

    Parameters
    ----------
    links : tuple of LinkGap
    bias : Bias
        Mean over links, interval and variance between links; in SESOI, or in the table's unit if it has no SESOI.
    ratio : float
        Mean regression over mean experiment; NaN unless the experiments' mean is clearly above zero.
    in_sesoi : bool
        Whether effects were put on one scale by their SESOI.
    """

    links: tuple[LinkGap, ...]
    bias: Bias
    ratio: float
    in_sesoi: bool

    @property
    def may_pool(self) -> bool:
        """Whether enough links have both for regressions to be corrected."""
        return self.bias.links >= FEWEST

    def plot(self) -> Figure:
        """Draw the regression of each link against its experiments; on the diagonal both agree."""
        from cpi_experiments.figures.bias import BiasPoint, bias_figure  # noqa: PLC0415 - loads matplotlib

        points = [
            BiasPoint(
                label=gap.link,
                trial=gap.expected_sign * gap.trial / gap.sesoi,
                trial_error=gap.se_trial / gap.sesoi,
                past=gap.expected_sign * gap.past / gap.sesoi,
                past_error=gap.se_past / gap.sesoi,
            )
            for gap in self.links
            if math.isfinite(gap.gap)
        ]
        unit = "multiples of the smallest effect worth acting on" if self.in_sesoi else "KPI per increment"
        return bias_figure(points, bias=self.bias.mean, title=self._size(), unit=unit)

    def _size(self) -> str:
        bias, unit, digits = self.bias, _SIZES if self.in_sesoi else "", self._digits
        if bias.links == 1:
            return f"On the one link with both, our regression differs by {number(bias.mean, digits, sign=True)}{unit}."
        head = f"Over {bias.links} links with both, our regressions "
        if bias.low <= 0 <= bias.high:
            span = interval(bias.low, bias.high, digits, sign=True)
            mean = number(bias.mean, digits, sign=True)
            return f"{head}differ from experiments by {mean}{unit} on average (95% {span}), which may be chance."
        word, side = ("over", 1) if bias.mean > 0 else ("under", -1)
        low, high = sorted((side * bias.low, side * bias.high))
        span = interval(low, high, digits)
        times = "" if math.isnan(self.ratio) else f", {self.ratio:.1f} times the experiment's number"
        return f"{head}{word}state effects by {number(abs(bias.mean), digits)}{unit} (95% {span}){times}."

    @property
    def _digits(self) -> int:
        """Decimals of the mean bias and its interval."""
        if self.bias.links == 1:
            return next(gap.digits for gap in self.links if math.isfinite(gap.gap))
        return 1 if self.in_sesoi else decimals(self.bias.low, self.bias.high)

    def _title(self) -> str:
        bias, unit = self.bias, " of that" if self.in_sesoi else ""
        lines = [self._size()]
        if bias.links > 1:
            spread = number(math.sqrt(bias.variance), self._digits)
            lines.append(f"From link to link the bias varies by {spread}{unit} (standard deviation).")
        if self.may_pool:
            lines.append("Forecasts use both numbers, the bias of the other links taken out; verdicts use experiments.")
        else:
            have = "1 link has" if bias.links == 1 else f"{bias.links} links have"
            lines.append(f"{have} both and a correction needs {FEWEST}: past data may not enter a forecast yet.")
        return "\n".join(lines)

    def _rows(self) -> list[Row]:
        return [
            {
                "link": gap.link,
                "past": gap.past,
                "trial": gap.trial,
                "gap_sesoi" if self.in_sesoi else "gap": gap.gap,
                "forecast": gap.forecast,
                "forecast_low": gap.forecast_low,
                "forecast_high": gap.forecast_high,
                "basis": gap.basis,
            }
            for gap in self.links
        ]

    def _shown(self) -> list[Row]:
        """One number of decimals a link: those of its SESOI, or of the most precise error where all share a unit."""
        left_out = ("forecast_low", "forecast_high", "basis")
        errors = [error for gap in self.links for error in (gap.se_past, gap.se_trial) if math.isfinite(error)]
        shown = []
        for gap, row in zip(self.links, self._rows(), strict=True):
            size = gap.sesoi / 10 if self.in_sesoi else min(errors)
            digits = {"gap_sesoi": 2} | dict.fromkeys(("past", "trial", "gap", "forecast"), decimals(-size, size))
            shown.append({name: _cell(row[name], digits.get(name)) for name in row if name not in left_out})
        return shown


def _cell(value: str | float, digits: int | None) -> str:
    return short(value) if digits is None or isinstance(value, str) or math.isnan(value) else number(value, digits)
