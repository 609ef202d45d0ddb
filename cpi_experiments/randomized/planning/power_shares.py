"""What simulated experiments found: power and false alarms by size and effect, beside the formula."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.display import Displayed, Row, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from cpi_experiments.figures.link_curve import Curve

_NAN = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedShare:
    """How often simulated experiments of one size found one effect.

    Parameters
    ----------
    effect : float
        As it was asked for; 0 for the false alarms.
    lift : float
        What it made of the outcome's (KPI's) mean, in its unit.
    n, n_treatment : int
        Randomised units in both arms, and in treatment.
    power, power_low, power_high : float
        Share of experiments whose two-sided test rejects, with its exact 95 % binomial interval.
    formula : float
        What the formula says.
    agrees : bool
        Whether it lies within three Monte-Carlo errors of the simulation.
    f_median, bounded, covers : float
        Of a link: median first-stage F, share of Anderson-Rubin sets that are one bounded interval, and share that
        hold the true effect; NaN otherwise.
    confirmed, refuted : float
        Of a link with a hypothesis: share of experiments that the judging rule confirms or refutes; NaN otherwise.
    """

    effect: float
    lift: float
    n: int
    n_treatment: int
    power: float
    power_low: float
    power_high: float
    formula: float
    agrees: bool
    f_median: float = _NAN
    bounded: float = _NAN
    covers: float = _NAN
    confirmed: float = _NAN
    refuted: float = _NAN


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedPower(Displayed):
    """Power of an experiment on the user's own history, beside the formula.

    Parameters
    ----------
    outcome : str
        The outcome, or "CPI -> KPI".
    unit : str
        What is randomised: ``rows``, or the cluster column.
    shares : tuple of SimulatedShare
        By size; for each of them no effect first.
    reps, seed : int
    alpha : float
    history : int
        Units that were drawn from, with replacement.
    notes : tuple of str
    relative : bool
        Whether effects are shares of the mean.
    """

    outcome: str
    unit: str
    shares: tuple[SimulatedShare, ...]
    reps: int
    seed: int
    alpha: float
    history: int
    notes: tuple[str, ...]
    relative: bool = False

    def _size(self, effect: float) -> str:
        return f"{100 * effect:+.6g}%" if self.relative else f"{effect:+g}"

    def _title(self) -> str:
        found = [share for share in self.shares if share.effect != 0]
        worst = max((s for s in self.shares if s.effect == 0), key=lambda s: abs(s.power - self.alpha))
        first = found[0]
        elsewhere = f" at n = {worst.n:,}" if worst.n != first.n else ""
        told = (
            f"{first.n:,} {self.unit} find an effect of {self._size(first.effect)} on {self.outcome} in "
            f"{percent(first.power, 1)} of {self.reps:,} simulated experiments (formula {percent(first.formula, 1)}); "
            f"without an effect {percent(worst.power, 1)} raise a false alarm{elsewhere}."
        )
        lines = [told]
        for share in self.shares:
            if not share.agrees:
                what = "false alarms" if share.effect == 0 else f"power for {self._size(share.effect)}"
                lines.append(
                    f"Do not trust the formula at n = {share.n:,}: {what} {percent(share.power, 1)}, formula "
                    f"{percent(share.formula, 1)}."
                )
        return "\n".join((*lines, *self.notes))

    def _rows(self) -> list[Row]:
        names = [
            name
            for name in SimulatedShare.__dataclass_fields__
            if not all(isinstance(v, float) and math.isnan(v) for v in (getattr(s, name) for s in self.shares))
        ]
        return [{name: getattr(share, name) for name in names} for share in self.shares]

    def _shown(self) -> list[dict[str, str]]:
        shown = []
        for share in self.shares:
            ends = f"{100 * share.power_low:.1f} to {100 * share.power_high:.1f}"
            row = {
                "n": f"{share.n:,}",
                "effect": self._size(share.effect) if share.effect else "none",
                "found": percent(share.power, 1),
                "95% interval": ends,
                "formula": percent(share.formula, 1),
                "agrees": "yes" if share.agrees else "NO",
            }
            if not math.isnan(share.confirmed):  # what the table has no room for is in `to_frame`
                row |= {"confirmed": percent(share.confirmed), "refuted": percent(share.refuted)}
            elif not math.isnan(share.f_median):
                row |= {
                    "F": f"{share.f_median:.3g}",
                    "bounded": percent(share.bounded),
                    "covers": percent(share.covers, 1),
                }
            shown.append(row)
        return shown

    def plot(self) -> Figure:
        """Draw the simulated power with its error bars, and the formula as a line of its own."""
        from cpi_experiments.figures.link_curve import power_figure  # noqa: PLC0415 - loads matplotlib

        sizes = sorted({share.n for share in self.shares})
        title = f"Power on your own history: {self.outcome}"
        if len(sizes) == 1:
            points = sorted(self.shares, key=lambda share: share.effect)
            curves = _curves("simulated", points, [p.effect for p in points], formula=True)
            return power_figure(
                curves, title=title, x_label=f"Effect (n = {sizes[0]:,} {self.unit}; 0 shows false alarms)"
            )
        curves = []
        effects = list(dict.fromkeys(share.effect for share in self.shares))
        for effect in sorted(effects, key=abs, reverse=True):
            points = sorted((share for share in self.shares if share.effect == effect), key=lambda share: share.n)
            name = f"effect {self._size(effect)}" if effect else "no effect: false alarms"
            curves += _curves(name, points, [float(p.n) for p in points], formula=bool(effect) and len(effects) == 2)
        return power_figure(curves, title=title, x_label=f"Size ({self.unit})")


def _curves(label: str, points: Sequence[SimulatedShare], x: list[float], *, formula: bool) -> list[Curve]:
    from cpi_experiments.figures.link_curve import Curve  # noqa: PLC0415 - loads matplotlib

    simulated = Curve(
        label=f"{label}, with 95% intervals",
        x=tuple(x),
        y=tuple(p.power for p in points),
        low=tuple(p.power_low for p in points),
        high=tuple(p.power_high for p in points),
    )
    line = Curve(label="formula", x=tuple(x), y=tuple(p.formula for p in points))
    return [simulated, line] if formula else [simulated]
