"""Units to be split at random, and the tests of their splits, a block at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.measure.columns import numeric
from cpi_experiments.measure.engine import read_columns
from cpi_experiments.randomized.arms import encode
from cpi_experiments.randomized.effects.outcomes import Outcome, Ratio
from cpi_experiments.randomized.integrity.trial_units import capped, linear_form
from cpi_experiments.stats.resampling.random_splits import SplitTests, cluster_tests, cluster_totals, unit_tests

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from cpi_experiments.measure.engine import Data

Array = np.ndarray
#: Numbers of a block of splits that are held at once.
_BLOCK = 2_000_000
_FIRST_RUNG = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Units (or clusters) with all that a test needs of them.

    Parameters
    ----------
    rows : array, shape (n, columns)
        Outcome columns and covariates of units, or the totals of clusters.
    values : array, shape (units,)
        Outcome of every unit, for its tails.
    covariates : int
    ratio, clustered : bool
    """

    rows: Array
    values: Array
    covariates: int
    ratio: bool
    clustered: bool


def read_sample(data: Data, outcome: Outcome, covariates: Sequence[str], cluster: str | None) -> Sample:
    """Read complete units; means are taken out where they only cost digits.

    Raises
    ------
    DataError
        If a column cannot be used or fewer than four units (clusters) are complete.
    """
    numbers = list(dict.fromkeys([*outcome.columns, *covariates]))
    table = read_columns(data, [*numbers, *([cluster] if cluster else [])])
    columns = {name: numeric(table, name) for name in numbers}
    keep = ~np.any([np.isnan(values) for values in columns.values()], axis=0)
    code = encode(table[cluster])[0] if cluster else np.arange(len(keep))
    keep &= code >= 0
    if len(np.unique(code[keep])) < 4:
        raise DataError(
            f"{len(np.unique(code[keep]))} complete {'clusters' if cluster else 'units'} cannot be split",
            advice=f"Needs four or more with all of: {', '.join(numbers)}.",
        )
    ratio = isinstance(outcome, Ratio)
    own = [columns[name][keep] for name in outcome.columns]
    own[0] = capped(own[0], outcome.cap)
    values = linear_form(own[0], own[1], np.zeros(len(own[0]), dtype=np.intp)) if ratio else own[0]
    if np.all(own[0] == own[0][0]):
        raise DataError(
            f"{outcome.name} is constant", advice="There is no test to be checked; look at how it is computed."
        )
    others = [columns[name][keep] for name in covariates]
    rows = np.stack([*(own if ratio else [own[0] - own[0].mean()]), *(x - x.mean() for x in others)], axis=1)
    return Sample(
        rows=cluster_totals(rows, code[keep], ratio=ratio) if cluster else rows,
        values=values,
        covariates=len(covariates),
        ratio=ratio,
        clustered=cluster is not None,
    )


def sizes_of(n: int | Sequence[int] | Literal["ladder"] | None, available: int, share: float) -> list[tuple[int, int]]:
    """Turn sizes into arms, from small to large.

    Raises
    ------
    DesignError
        If a size leaves an arm with fewer than two.

    Examples
    --------
    >>> sizes_of([1000, 100], 5_000, 0.1), sizes_of(None, 401, 0.5), sizes_of("ladder", 250, 0.5)
    ([(90, 10), (900, 100)], [(201, 200)], [(25, 25), (50, 50), (100, 100), (125, 125)])
    """
    if n is None:
        totals = [available]
    elif isinstance(n, str):
        if n != "ladder":
            raise DesignError(f"n {n!r} is no size", advice='Give numbers of units, or "ladder".')
        rungs = [_FIRST_RUNG * 2**k for k in range(64) if _FIRST_RUNG * 2**k < available]
        totals = [*rungs, available]
    else:
        wanted: list[Any] = np.atleast_1d(np.asarray(n, dtype=object)).tolist()
        bad = [each for each in wanted if isinstance(each, bool) or not isinstance(each, int | np.integer)]
        if bad:
            raise DesignError(f"n {bad[0]!r} is no size", advice='Give whole numbers of units, or "ladder".')
        totals = sorted({int(each) for each in wanted})
    arms = [(total - round(share * total), round(share * total)) for total in totals]
    if not arms or min(min(each) for each in arms) < 2:
        raise DesignError(
            f"sizes {totals[:4]} leave an arm with fewer than two", advice="Give more units, or arms closer to equal."
        )
    return arms


def draw_tests(
    sample: Sample, size: tuple[int, int], *, resampled: bool, reps: int, rng: np.random.Generator
) -> SplitTests:
    """Split the sample at random, ``reps`` times, and test every split.

    Parameters
    ----------
    sample : Sample
    size : (control, treatment)
    resampled : bool
        Draw with replacement; else the whole sample is re-randomised.
    reps : int
    rng : Generator
    """
    n = sum(size)
    block = max(1, _BLOCK // (n * sample.rows.shape[1]))
    found = []
    for start in range(0, reps, block):
        many = min(block, reps - start)
        drawn = rng.integers(0, len(sample.rows), (many, n)) if resampled else _permuted(len(sample.rows), many, rng)
        found.append(compare_splits(sample, drawn[:, : size[0]], drawn[:, size[0] :]))
    return SplitTests(
        effect=np.concatenate([each.effect for each in found]),
        variance=np.concatenate([each.variance for each in found]),
        df=np.concatenate([each.df for each in found]),
    )


def compare_splits(sample: Sample, control: Array, treatment: Array) -> SplitTests:
    """Test given splits.

    Parameters
    ----------
    sample : Sample
    control, treatment : int array, shape (splits, n)
        Positions of the units (clusters) of each arm.
    """
    arms = sample.rows[control], sample.rows[treatment]
    if sample.clustered:
        return cluster_tests(*arms, covariates=sample.covariates, ratio=sample.ratio)
    return unit_tests(*arms, ratio=sample.ratio)


def _permuted(n: int, many: int, rng: np.random.Generator) -> Array:
    return rng.permuted(np.broadcast_to(np.arange(n), (many, n)), axis=1)
