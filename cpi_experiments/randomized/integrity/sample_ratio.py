"""Is the comparison random: sample ratio against the intended allocation, units in several arms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cpi_experiments.display import p_text, percent
from cpi_experiments.errors import DataError
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.stats.counts import sample_ratio_test

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Below this p-value no verdict is given; below the second a warning is.
SAMPLE_RATIO_BLOCKS = 0.0005
SAMPLE_RATIO_WARNS = 0.01
#: Above this share of units seen in several arms no verdict is given.
SEVERAL_ARMS_BLOCKS = 0.01


def sample_ratio(counts: Mapping[str, int], allocation: Mapping[str, float], *, units: str = "units") -> Diagnostic:
    """Test the sizes of the arms against the intended allocation.

    Parameters
    ----------
    counts : mapping of arm to units
    allocation : mapping of arm to weight
        Intended shares, any positive numbers, one for every arm.
    units : str
        What is counted, in words.

    Returns
    -------
    Diagnostic
        p below 0.0005 blocks a verdict, p below 0.01 warns.

    Raises
    ------
    DataError
        If no unit is counted.

    Examples
    --------
    >>> sample_ratio({"manual": 9091, "auto": 9113}, {"manual": 1, "auto": 1}).passed
    True
    >>> sample_ratio({"a": 490_000, "b": 510_000}, {"a": 1, "b": 1}).blocks
    True
    """
    arms = list(allocation)
    if not sum(counts.values()):
        raise DataError(f"no {units} are left to count", advice="Look at the columns of arm, unit and cluster.")
    statistic, p = sample_ratio_test([counts.get(arm, 0) for arm in arms], [allocation[arm] for arm in arms])
    total, weights = sum(counts.values()), sum(allocation.values())
    seen = ", ".join(f"{arm} {percent(counts.get(arm, 0) / total, 2)}" for arm in arms)
    planned = ", ".join(f"{arm} {percent(allocation[arm] / weights, 2)}" for arm in arms)
    advice = (
        f"Planned {planned}; {total:,} {units} came as {seen} (p {p_text(p)}). The comparison may not be random: look "
        "at how arms are assigned, logged and filtered, and give `allocation` if the plan was not equal."
    )
    return Diagnostic(
        name="sample ratio",
        null=f"{units} were split as planned ({planned})",
        statistic=statistic,
        p_value=p,
        passed=p >= SAMPLE_RATIO_WARNS,
        advice="" if p >= SAMPLE_RATIO_WARNS else advice,
        blocks=p < SAMPLE_RATIO_BLOCKS,
    )


def several_arms(n_several: int, n_units: int) -> Diagnostic:
    """Report units that were seen in more than one arm; they are left out.

    Examples
    --------
    >>> several_arms(2, 1000).passed, several_arms(2, 1000).blocks, several_arms(50, 1000).blocks
    (False, False, True)
    """
    share = n_several / n_units if n_units else math.nan
    return Diagnostic(
        name="units in several arms",
        null="every unit saw one arm",
        statistic=float(n_several),
        passed=n_several == 0,
        advice=""
        if n_several == 0
        else f"{n_several:,} of {n_units:,} units ({percent(share, 2)}) were in more than one arm and are left out. "
        "Look at how the assignment is stored when a customer returns.",
        blocks=share > SEVERAL_ARMS_BLOCKS,
    )
