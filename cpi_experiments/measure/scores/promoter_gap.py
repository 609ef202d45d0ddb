"""What promoters bring compared with detractors: a difference in past data, never the effect of a better score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import Displayed, clean_text, decimals, interval, number
from cpi_experiments.errors import DataError, EstimationError
from cpi_experiments.measure.columns import complete_cases, numeric
from cpi_experiments.measure.engine import read_columns
from cpi_experiments.measure.moments.gather import gather
from cpi_experiments.stats.contrast import mean_change, sample_mean
from cpi_experiments.stats.inputs import label_codes
from cpi_experiments.stats.instruments.fieller import fieller_set, hull
from cpi_experiments.stats.student import interval as student_interval
from cpi_experiments.stats.student import quantile, satterthwaite
from cpi_experiments.wording import segments as wording

if TYPE_CHECKING:
    from cpi_experiments.measure.engine import Data

Array = np.ndarray
_BEST = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoterGap(Displayed):
    """Mean of promoters less mean of detractors.

    Parameters
    ----------
    value : str
        What is compared.
    promoters, detractors : float
        Means.
    gap, std_error, ci_low, ci_high, df : float
        Difference; Welch's interval, or the jackknife's over customers.
    ratio, ratio_low, ratio_high : float
        Promoters over detractors, Fieller's interval; NaN where detractors bring nothing above zero.
    n_promoters, n_detractors, n_passives : int
        Rows.
    n_clusters : int
        Customers; 0 if every row is one.
    dropped : tuple of (reason, rows)
    confidence_level : float
    """

    value: str
    promoters: float
    detractors: float
    gap: float
    std_error: float
    ci_low: float
    ci_high: float
    df: float
    ratio: float
    ratio_low: float
    ratio_high: float
    n_promoters: int
    n_detractors: int
    n_passives: int
    n_clusters: int = 0
    dropped: tuple[tuple[str, int], ...] = ()
    confidence_level: float = 0.95

    def _title(self) -> str:
        digits = decimals(self.ci_low, self.ci_high)
        several = decimals(self.ratio_low, self.ratio_high, most=2)
        told = self.ci_low > 0 or self.ci_high < 0
        first = wording.gap_sentence(
            more=self.gap > 0,
            size=number(abs(self.gap), digits),
            span=interval(self.ci_low, self.ci_high, digits, sign=True),
            value=clean_text(self.value),
            told=told,
        )
        second = wording.gap_note(
            ratio="" if math.isnan(self.ratio) or not told else number(self.ratio, several),
            span=interval(self.ratio_low, self.ratio_high, several),
            promoters=f"{self.n_promoters:,}",
            detractors=f"{self.n_detractors:,}",
            unanswered=sum(rows for _, rows in self.dropped),
        )
        return f"{first}\n{second}"


def promoter_gap(
    data: Data,
    *,
    score: str,
    value: str,
    unit: str | None = None,
    promoter_from: float = 9.0,
    detractor_to: float = 6.0,
    confidence_level: float = 0.95,
) -> PromoterGap:
    """Compare what promoters and detractors bring, in past data.

    Parameters
    ----------
    data : DataFrame, path or relation
        One row per answer with its value, such as the customer's revenue in the 12 months after.
    score : str
        Column of the answer, whole numbers from 0 to 10.
    value : str
        Column of any KPI.
    unit : str, optional
        Column of the customer; rows of one customer then count as one sampled unit.
    promoter_from, detractor_to : float
        Promoters answer this or more, detractors this or less.
    confidence_level : float

    Returns
    -------
    PromoterGap

    Raises
    ------
    DataError
        If a score is not a whole number from 0 to 10, or the limits contradict.
    EstimationError
        If there are fewer than two promoters or detractors.

    References
    ----------
    Welch (1947), Biometrika 34; MacKinnon, Nielsen, Webb (2023) for customers with several rows; Derrick et al. (2017)
    for customers who are on both sides at different times; Fieller (1954).

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"nps": [10, 9, 10, 3, 2, 5, 8], "spend": [90.0, 100, 110, 50, 40, 60, 75]})
    >>> print(promoter_gap(rows, score="nps", value="spend"))
    Promoters have 50 more spend than detractors (+27 to +73).
    That is 2.00 times as much (1.44 to 3.02). 3 promoters, 3 detractors. They may
      differ in other ways: this does not show that a better score brings more.
    """
    if not 0 < confidence_level < 1:
        raise EstimationError(f"confidence level {confidence_level} is not between 0 and 1")
    if detractor_to >= promoter_from:
        raise DataError(f"detractors to {detractor_to:g} and promoters from {promoter_from:g} overlap")
    limits = (promoter_from, detractor_to)
    found = _of_rows(data, (score, value, unit), limits) if unit else _of_moments(data, (score, value), limits)
    return _gap(found, value=value, confidence_level=confidence_level)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sides:
    """Means of detractors and promoters, their covariance, and what is behind them."""

    means: Array
    cov: Array
    df: float
    counts: tuple[int, int]
    passives: int
    customers: int
    dropped: tuple[tuple[str, int], ...]


def _of_moments(data: Data, names: tuple[str, str], limits: tuple[float, float]) -> _Sides:
    """Compare from one scan: counts, sums and squares by score."""
    score, value = names
    found = gather(data, [value], by=[score])
    scores = numeric({score: found.key(score)}, score)
    _check_scores(scores, score, found.n)
    known = found.complete([value]) & ~np.isnan(scores)
    sides = [known & (scores <= limits[1]), known & (scores >= limits[0])]
    counts = np.array([found.n[side].sum() for side in sides], dtype=float)
    _check_sides(int(counts[1]), int(counts[0]))
    sums = np.array([float(found.sums[side, 0].sum()) for side in sides]) / found.scale[0]
    squares = np.array([float(found.products[side, 0].sum()) for side in sides]) / found.scale[0] ** 2
    variances = np.maximum(squares - sums**2 / counts, 0.0) / (counts - 1) / counts
    unscored, unknown = int(found.n[np.isnan(scores)].sum()), int(found.n[~known & ~np.isnan(scores)].sum())
    return _Sides(
        means=found.origin[0] + sums / counts,
        cov=np.diag(variances),
        df=satterthwaite(variances, counts - 1),
        counts=(int(counts[0]), int(counts[1])),
        passives=int(found.n[known].sum() - counts.sum()),
        customers=0,
        dropped=tuple((f"without {name}", n) for name, n in ((score, unscored), (value, unknown)) if n),
    )


def _of_rows(data: Data, names: tuple[str, str, str], limits: tuple[float, float]) -> _Sides:
    """Compare row by row where customers repeat."""
    score, value, unit = names
    table = read_columns(data, list(names))
    scores, values = numeric(table, score), numeric(table, value)
    _check_scores(scores, score, np.ones(len(scores), dtype=np.int64))
    keep, dropped = complete_cases({score: scores, value: values, unit: table[unit]})
    sided = keep & ((scores >= limits[0]) | (scores <= limits[1]))
    promoters = scores[sided] >= limits[0]
    _check_sides(int(promoters.sum()), int(np.sum(~promoters)))
    clusters, customers = label_codes(table[unit][sided])
    low, high = (sample_mean(values[sided][side], clusters[side]) for side in (~promoters, promoters))
    change = mean_change(high, low)
    shared = change.correlation * low.std_error * high.std_error
    return _Sides(
        means=np.array([low.value, high.value]),
        cov=np.array([[low.std_error**2, shared], [shared, high.std_error**2]]),
        df=change.df,
        counts=(low.n_obs, high.n_obs),
        passives=int(keep.sum() - sided.sum()),
        customers=customers if customers < len(clusters) else 0,
        dropped=dropped,
    )


def _check_scores(scores: Array, name: str, counts: Array) -> None:
    wrong = (scores < 0) | (scores > _BEST) | ((scores != np.round(scores)) & ~np.isnan(scores))
    if wrong.any():
        raise DataError(
            f"column {name!r} holds {int(counts[wrong].sum()):,} scores that are not whole numbers from 0 to 10, "
            f"such as {scores[wrong][0]:g}",
            advice="Set codes such as 99 for 'no answer' to missing.",
        )


def _check_sides(promoters: int, detractors: int) -> None:
    if min(promoters, detractors) < 2:
        raise EstimationError(
            f"{promoters:,} promoters and {detractors:,} detractors cannot be compared",
            advice="At least two of each are needed.",
        )


def _gap(sides: _Sides, *, value: str, confidence_level: float) -> PromoterGap:
    (detractors, promoters), cov = (float(each) for each in sides.means), sides.cov
    gap, variance = promoters - detractors, float(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1])
    if not variance > 0:
        raise EstimationError(f"{value} does not vary among promoters or detractors", advice="Compare another KPI.")
    low, high = student_interval(gap, math.sqrt(variance), sides.df, confidence_level=confidence_level)
    ratio, ends = _ratio(sides, quantile(0.5 + confidence_level / 2, sides.df))
    return PromoterGap(
        value=value,
        promoters=promoters,
        detractors=detractors,
        gap=gap,
        std_error=math.sqrt(variance),
        ci_low=low,
        ci_high=high,
        df=sides.df,
        ratio=ratio,
        ratio_low=ends[0],
        ratio_high=ends[1],
        n_promoters=sides.counts[1],
        n_detractors=sides.counts[0],
        n_passives=sides.passives,
        n_clusters=sides.customers,
        dropped=sides.dropped,
        confidence_level=confidence_level,
    )


def _ratio(sides: _Sides, critical: float) -> tuple[float, tuple[float, float]]:
    """Ratio of the means with Fieller's set; NaN unless detractors are above zero for sure."""
    x, y, cov = float(sides.means[0]), float(sides.means[1]), sides.cov
    if not x > critical * math.sqrt(cov[0, 0]):
        return math.nan, (math.nan, math.nan)
    found = fieller_set(x, y, var_x=cov[0, 0], var_y=cov[1, 1], cov=cov[0, 1], critical=critical)
    return y / x, hull(found)
