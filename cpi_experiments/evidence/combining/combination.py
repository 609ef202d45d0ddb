"""What many experiments say together about the size of one link."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.display import Displayed, decimals, level_text, number, one_line, p_text, percent
from cpi_experiments.evidence.combining.finding_rows import DISAGREE, finding_rows
from cpi_experiments.evidence.combining.terms import ends_text
from cpi_experiments.stats.combining.egger import Egger
from cpi_experiments.stats.combining.link_point import LinkPoint
from cpi_experiments.stats.combining.many_views import Prediction
from cpi_experiments.stats.combining.naive_slopes import NaiveSlopes
from cpi_experiments.wording.verdicts import reason

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cpi_experiments.display import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """Views beside the answer: none of them decides.

    Parameters
    ----------
    noise_correlation : float
        Mean correlation of the noise of the two effects.
    mean_f : float
        Mean first-stage F of the experiments; infinite if CPI effects have no noise.
    weighted_median : float
    lever_low, lever_high : float
        Range of the ratio when each lever in turn is left out; NaN for one lever.
    least_disagreement, least_disagreement_error : float
        LIML and its error with the corrected bread.
    joint_set : tuple of (low, high)
        Joint Anderson-Rubin set; empty if no single ratio fits all experiments.
    halves, halves_error : float
        Ratio across independent halves of each experiment's customers; NaN where no halves were given.
    naive : NaiveSlopes
    prediction : Prediction or None
        None unless every experiment has F of 30.
    egger : Egger or None
        None where no orientation was declared or fewer than four experiments have one.
    not_oriented : int
        Experiments left out of the line with an intercept, because they have no declared orientation.
    """

    noise_correlation: float
    mean_f: float
    weighted_median: float
    lever_low: float
    lever_high: float
    least_disagreement: float
    least_disagreement_error: float
    joint_set: tuple[tuple[float, float], ...]
    halves: float
    halves_error: float
    naive: NaiveSlopes
    prediction: Prediction | None = None
    egger: Egger | None = None
    not_oriented: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OneExperiment:
    """Effects of one experiment as they went in.

    Parameters
    ----------
    experiment, lever : str
    effect_cpi, effect_kpi, error_cpi, error_kpi : float
        Increments of the CPI, units of the KPI.
    """

    experiment: str
    lever: str
    effect_cpi: float
    effect_kpi: float
    error_cpi: float
    error_kpi: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination(Displayed):
    """Size of one link from all its experiments.

    Parameters
    ----------
    value, std_error : float
        KPI per step of the CPI; NaN and infinite where the levers moved the CPI too little for a point.
    ci_low, ci_high : float
        Confidence set (its piece around the point); infinite where it has no end.
    confidence_level : float
    n_experiments, n_levers : int
    point : LinkPoint
        The same with heterogeneity, strength and breakdown.
    views : Views
    experiments : tuple of OneExperiment
    expected_sign : int
        +1 or -1; 0 if none was told.
    link : str
        Name of the link, such as ``quote_hours -> win_rate``; empty if none was told.
    """

    value: float
    std_error: float
    ci_low: float
    ci_high: float
    confidence_level: float
    n_experiments: int
    n_levers: int
    point: LinkPoint
    views: Views
    experiments: tuple[OneExperiment, ...]
    expected_sign: int = 0
    link: str = ""

    def plot(self, *, title: str | None = None, cpi: str | None = None, kpi: str | None = None) -> Figure:
        """Draw the experiments with their errors, the honest slope with its set, and the naive slope beside it.

        Parameters
        ----------
        title : str, optional
            The sentence of the result by default.
        cpi, kpi : str
            Names on the axes; those of the link by default.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from cpi_experiments.figures.combination import Dot, combination_figure  # noqa: PLC0415 - loads matplotlib

        dots = [Dot(x=e.effect_cpi, y=e.effect_kpi, error_x=e.error_cpi, error_y=e.error_kpi) for e in self.experiments]
        return combination_figure(
            dots,
            slope=(self.value, self.ci_low, self.ci_high),
            naive=(self.views.naive.scatter_intercept, self.views.naive.scatter),
            title=self.sentence if title is None else title,
            x_label=f"effect on {cpi or self._names[0] or 'the CPI'}, in steps",
            y_label=f"effect on {kpi or self._names[1] or 'the KPI'}",
            level=level_text(self.confidence_level),
        )

    @property
    def sign(self) -> int:
        """Sign of the effect as the set tells it: +1 or -1; 0 while the set holds zero, so that the sign is open."""
        return int(self.ci_low > 0) - int(self.ci_high < 0)

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        cpi, kpi = self._names
        over = f"Over {_count(self.n_experiments, 'experiment')} with {_count(self.n_levers, 'lever')}"
        digits = decimals(self.ci_low, self.ci_high)
        fits = f"({level_text(self.confidence_level)} set {ends_text(self.ci_low, self.ci_high, digits)})"
        tail = fits if self.sign else f"{fits}; the sign is open"
        if not self._sized:
            return f"{over} {cpi or 'the CPI'} moved too little to size the effect {tail}"
        step = f"each step of {cpi}" if cpi else "each step"
        if self.value < 0:
            return f"{over} {step} takes {number(-self.value, digits)} from {kpi or 'the KPI'} {tail}"
        return f"{over} {step} adds {number(self.value, digits)}{f' to {kpi}' if kpi else ''} {tail}"

    @property
    def _sized(self) -> bool:
        """Whether a size can be told: a point with an error, and a set that ends."""
        return all(map(math.isfinite, (self.value, self.std_error, self.ci_low, self.ci_high)))

    @property
    def _names(self) -> tuple[str, str]:
        """CPI and KPI as the link names them; empty texts if it does not."""
        parts = [part.strip() for part in one_line(self.link).split("->")]
        return (parts[0], parts[1]) if len(parts) == 2 else ("", "")

    def _title(self) -> str:
        notes = [self.sentence + "."]
        if self.link and not all(self._names):
            notes.insert(0, f"{one_line(self.link)}.")
        if self.expected_sign and self.expected_sign * self.sign < 0:
            notes.append("The sign is not the expected one.")
        if self.point.q_p_value < DISAGREE:
            p = p_text(self.point.q_p_value)
            notes.append(f"The experiments disagree more than chance explains (p {p}): look at them one by one.")
        elif self.sign and self.point.breakdown > 0:
            notes.append(reason("breakdown", share=percent(self.point.breakdown)))
        cpi, kpi = self._names
        notes.append(f"Sizes below are in {kpi or 'KPI'} units per step{f' of {cpi}' if cpi else ' of the CPI'}.")
        return "\n".join(notes)

    def _rows(self) -> list[Row]:
        rows = finding_rows(self.point, self.views)
        return [{name: row[name] for name in ("check", "value", "says")} for row in rows]

    def _shown(self) -> list[Row]:
        rows = finding_rows(self.point, self.views)
        return [{"check": row["check"], "value": row["shown"], "says": row["says"]} for row in rows]


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
