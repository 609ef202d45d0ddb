"""The door: experiments of one link in, the size of the link out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError, EstimationError
from cpi_experiments.evidence.combining.combination import Combination, OneExperiment, Views
from cpi_experiments.evidence.combining.effect_rows import EffectRows, rows_of_pairs, rows_of_table
from cpi_experiments.evidence.combining.terms import check_level, is_sign
from cpi_experiments.stats.combining.debiased import debiased_ratio, steady_weights
from cpi_experiments.stats.combining.effects import Effects
from cpi_experiments.stats.combining.egger import egger
from cpi_experiments.stats.combining.heterogeneity import least_disagreement, without_scores
from cpi_experiments.stats.combining.joint_set import joint_set
from cpi_experiments.stats.combining.link_point import MANY, liml_error, link_point
from cpi_experiments.stats.combining.many_views import (
    across_halves,
    noise_correlation,
    prediction,
    range_without_each,
    weighted_median,
)
from cpi_experiments.stats.combining.naive_slopes import naive_slopes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.estimate import EffectPair
    from cpi_experiments.measure.engine import Data

_ORIENTED = 4


def combine(
    pairs: Data | list[EffectPair] | tuple[EffectPair, ...],
    *,
    levers: Sequence[str] | None = None,
    orientation: Sequence[int] | Mapping[str, int] | None = None,
    expected_sign: int | None = None,
    confidence_level: float = 0.95,
) -> Combination:
    """Combine the experiments of one link into the size of its effect.

    A scatter of estimated effects is bent by the noise that CPI and KPI share; here that noise is subtracted. One
    experiment gives the Wald ratio with Fieller's set; two to nine the ratio at which they disagree least, with the
    fixed-effect K-score set; ten and more the debiased ratio with the overdispersed K-score set, whose error also
    covers effects that differ between levers.

    Parameters
    ----------
    pairs : DataFrame, path of a Parquet or CSV file, or list of EffectPair
        One row per experiment of one link, with columns ``experiment, lever, effect_cpi, effect_kpi, var_cpi, var_kpi,
        cov``. ``effect_cpi`` counts steps (increments), + = better for the customer. Optional: ``df`` (infinite),
        ``orientation`` (0), ``link`` (must be one; names the result), and for the check by halves the effects in two
        halves of each experiment's customers that have no customer in common, ``effect_cpi_1, effect_kpi_1,
        effect_cpi_2, effect_kpi_2``. Other columns of a table for `judge_links` may be there. Pairs are named
        E1, E2, ...
    levers : sequence of str, optional
        Lever of every pair; each its own by default. A table has the column ``lever``.
    orientation : sequence of int, or mapping of lever to int, optional
        +1 or -1 for levers whose sense was declared before the data, 0 for those that are in doubt and left out: asks
        for the check on a direct effect that all levers share.
    expected_sign : int, optional
        +1 or -1: the sign that was expected of the effect.
    confidence_level : float

    Returns
    -------
    Combination

    Raises
    ------
    DataError
        If a covariance (or any of the five numbers) is missing, a variance cannot be, a name repeats, or more than
        one link is in the table.
    EstimationError
        If the confidence level or the expected sign cannot be, or levers or orientations are no list.

    Notes
    -----
    A missing covariance is never taken as zero: with a noise correlation of one half and 200 experiments that error
    alone "confirms" most links that do nothing.

    References
    ----------
    Kleibergen (2002), Econometrica 70; Ye, Shao, Kang (2021), Ann. Stat. 49; Bibaut, Chou, Ejdemyr, Kallus (2024), KDD.

    Examples
    --------
    >>> from cpi_experiments.estimate import EffectPair
    >>> one = EffectPair(effect_cpi=3.0, effect_kpi=1.5, var_cpi=0.04, var_kpi=0.04, cov=0.01)
    >>> two = EffectPair(effect_cpi=5.0, effect_kpi=2.2, var_cpi=0.04, var_kpi=0.04, cov=0.01)
    >>> combine([one, two], levers=["reminder", "auto_quote"]).sentence
    'Over 2 experiments with 2 levers each step adds 0.456 (95% set 0.390 to 0.524)'
    """
    check_level(confidence_level)
    if expected_sign is not None and not is_sign(expected_sign):
        raise EstimationError(f"expected_sign is {expected_sign}", advice="Give +1 or -1.")
    if isinstance(pairs, list | tuple):
        rows = rows_of_pairs(pairs, levers)
    elif levers is not None:
        raise DataError("levers are given twice", advice="A table has them in its column lever.")
    else:
        rows = rows_of_table(pairs)
    if orientation is not None:
        rows = rows.oriented(orientation)
    effects = _effects(rows)
    point = link_point(effects, confidence_level=confidence_level)
    return Combination(
        value=point.value,
        std_error=point.std_error,
        ci_low=point.low,
        ci_high=point.high,
        confidence_level=confidence_level,
        n_experiments=len(rows.experiment),
        n_levers=len(set(rows.lever)),
        point=point,
        views=_views(rows, effects, confidence_level),
        experiments=_experiments(rows),
        expected_sign=expected_sign or 0,
        link=rows.link,
    )


def _effects(rows: EffectRows) -> Effects:
    ones = np.ones(len(rows.experiment))
    return Effects(x=rows.x, y=rows.y, xx=rows.xx, xy=rows.xy, yy=rows.yy, df=rows.df, sign=ones, move=ones)


def _experiments(rows: EffectRows) -> tuple[OneExperiment, ...]:
    return tuple(
        OneExperiment(
            experiment=rows.experiment[i],
            lever=rows.lever[i],
            effect_cpi=float(rows.x[i]),
            effect_kpi=float(rows.y[i]),
            error_cpi=math.sqrt(rows.xx[i]),
            error_kpi=math.sqrt(rows.yy[i]),
        )
        for i in range(len(rows.experiment))
    )


def _views(rows: EffectRows, effects: Effects, confidence_level: float) -> Views:
    k = len(effects)
    plain = without_scores(effects) if k >= MANY else effects
    at = least_disagreement(plain) if k > 1 else math.nan
    groups = np.unique(np.array(rows.lever, dtype=object).astype(str), return_inverse=True)[1]
    low, high = (
        range_without_each(effects, groups) if k > 1 and debiased_ratio(effects).printable else (math.nan, math.nan)
    )
    told = int(np.sum(rows.orientation != 0))
    halves = (math.nan, math.inf)
    if rows.halves is not None and k >= 3:
        halves = across_halves(rows.halves[0], rows.halves[1], weights=steady_weights(effects))
    with np.errstate(divide="ignore"):
        mean_f = float(np.mean(effects.x**2 / effects.xx))
    return Views(
        noise_correlation=noise_correlation(effects),
        mean_f=mean_f,
        weighted_median=weighted_median(effects),
        lever_low=low,
        lever_high=high,
        least_disagreement=at,
        least_disagreement_error=liml_error(plain, at=at) if k > 1 else math.inf,
        joint_set=joint_set(plain, at=at, confidence_level=confidence_level) if k > 1 else (),
        halves=halves[0],
        halves_error=halves[1],
        naive=naive_slopes(effects),
        prediction=prediction(effects, confidence_level=confidence_level),
        egger=egger(effects, rows.orientation) if told >= _ORIENTED else None,
        not_oriented=k - told if told else 0,
    )
