"""Levels of an indicator with their intervals, and how far they changed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.measure.scores.rows import ScoreChange
from cpi_experiments.stats.contrast import SampleMean, change_ends, mean_change, sample_mean, share_ends
from cpi_experiments.stats.goal_track import side_of

if TYPE_CHECKING:
    from cpi_experiments.stats.mix import MixShift

Array = np.ndarray
_TOPS = {"fraction": 1.0, "percent": 100.0, "pp": 100.0}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Level:
    """A mean with its interval.

    Parameters
    ----------
    mean : SampleMean
    low, high : float
    top : float
        Value of a whole share; NaN if the indicator is no share.
    """

    mean: SampleMean
    low: float
    high: float
    top: float

    @property
    def ends(self) -> tuple[float, float, float]:
        """Value, low and high."""
        return self.mean.value, self.low, self.high


def whole_share(unit: str, values: Array) -> float:
    """Return the value of a whole share if the values are shares, else NaN.

    Examples
    --------
    >>> whole_share("percent", np.array([20.0, np.nan, 100.0])), whole_share("hour", np.array([0.5]))
    (100.0, nan)
    """
    top = _TOPS.get(unit, math.nan)
    seen = values[~np.isnan(values)]
    return top if len(seen) and seen.min() >= 0 and seen.max() <= top else math.nan


def level_of(values: Array, clusters: Array, *, top: float, confidence_level: float) -> Level:
    """Mean of customers with its interval: Wilson's for shares, Student's for the rest.

    Parameters
    ----------
    values : float array, shape (n,)
        Without missing values.
    clusters : int array, shape (n,)
        Codes of the sampled units.
    top : float
        As of `whole_share`.
    """
    mean = sample_mean(values, clusters)
    if math.isnan(top):
        low, high = mean.ends(confidence_level=confidence_level)
        return Level(mean=mean, low=low, high=high, top=top)
    share = min(max(mean.value / top, 0.0), 1.0) if mean.n_obs else math.nan
    single = mean.n_clusters == mean.n_obs and bool(np.all((values == 0) | (values == top)))
    df = math.inf if single else mean.df
    low, high = share_ends(share, mean.std_error / top, mean.n_clusters, df=df, confidence_level=confidence_level)
    return Level(mean=replace(mean, value=share * top), low=low * top, high=high * top, top=top)


def change_of(
    now: Level, before: Level, *, against: str, sign: int, split: MixShift | None, confidence_level: float
) -> ScoreChange | None:
    """Compare a level with an earlier one; None if nothing was measured then.

    Parameters
    ----------
    against : str
        Name of the earlier period.
    sign : {1, -1}
        1 if more is better.
    split : MixShift or None
        The same change in two parts.
    """
    if not before.mean.n_obs:
        return None
    change = mean_change(now.mean, before.mean)
    low, high = change.ends(confidence_level=confidence_level)
    if not math.isnan(now.top):
        sided = not (math.isnan(now.low) or math.isnan(before.low))
        low, high = change_ends(change, now.ends, before.ends) if sided else (math.nan, math.nan)
    parts: dict[str, float] = {}
    for name, part in () if split is None else (("within", split.within), ("mix", split.mix)):
        ends = part.ends(confidence_level=confidence_level)
        parts |= {name: part.value, f"{name}_low": ends[0], f"{name}_high": ends[1]}
    return ScoreChange(
        against=against,
        value=change.value,
        ci_low=low,
        ci_high=high,
        side=side_of(low, high, than=0.0, sign=sign),
        n_common=change.n_common,
        **{name: parts.get(name, math.nan) for name in _PARTS},
    )


_PARTS = ("within", "within_low", "within_high", "mix", "mix_low", "mix_high")
