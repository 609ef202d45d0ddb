"""Customers by loyalty, satisfaction and value: who is large and at risk, who is disappointed, who could buy more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError, EstimationError
from cpi_experiments.measure.columns import missing, numeric
from cpi_experiments.measure.engine import Data, read_columns
from cpi_experiments.measure.scores.segment_rows import GROUPS, SegmentRow, Segments
from cpi_experiments.measure.small_groups import MINIMUM, check_minimum, hidden_groups
from cpi_experiments.stats.category_shares import simultaneous_shares
from cpi_experiments.stats.contrast import sample_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

Array = np.ndarray

LOYALTIES = ("promoter", "passive", "detractor", "unknown")
MOODS = ("satisfied", "neutral", "disappointed", "unknown")
SIZES = ("large", "medium", "small", "unknown")
_PROMOTER_FROM, _DETRACTOR_TO, _BEST = 9.0, 6.0, 10.0


def customer_segments(  # noqa: PLR0913 - a door: every threshold by name
    data: Data,
    *,
    unit: str,
    loyalty: str,
    satisfaction: str,
    value: str,
    at: str | None = None,
    promoter_from: float = _PROMOTER_FROM,
    detractor_to: float = _DETRACTOR_TO,
    satisfaction_scale: tuple[float, float] = (1.0, 5.0),
    satisfied_from: float | None = None,
    disappointed_to: float | None = None,
    large_share: float = 0.2,
    small_share: float = 0.5,
    large_from: float | None = None,
    small_to: float | None = None,
    confidence_level: float = 0.95,
    minimum: int = MINIMUM,
) -> Segments:
    """Place every customer by loyalty, satisfaction and value, and count customers and money.

    A customer is in the first group that fits: *large and at risk* (large, and detractor or disappointed), *critical
    and disappointed* (detractor and disappointed), *upsell potential* (small, promoter, not disappointed), *others*
    (known to be none of these), else *unknown*. Without an answer a customer is unknown, never passive, unless the
    other answer settles it. Ranges take the customers as a sample of customers like them.

    Parameters
    ----------
    data : DataFrame, path or relation
        One row per customer; or several, with ``at``.
    unit : str
        Column of the customer.
    loyalty : str
        Column of the answer to "would you recommend us", whole numbers from 0 to 10.
    satisfaction : str
        Column of the satisfaction answer.
    value : str
        Column of money (or another size) per customer, such as revenue of the last 12 months.
    at : str, optional
        Column of times: answers are then each customer's latest, values are added up.
    promoter_from, detractor_to : float
        Promoters answer this or more, detractors this or less (9 and 6).
    satisfaction_scale : (float, float)
        Worst and best answer (1 and 5); answers outside are refused.
    satisfied_from, disappointed_to : float, optional
        Default: the upper and the lower quarter of the scale (4 and 2 of 1 to 5).
    large_share, small_share : float
        The customers with the highest value are large (20%), those with the lowest small (50%). Customers of equal
        value stay together.
    large_from, small_to : float, optional
        Limits in money instead.
    confidence_level : float
    minimum : int
        Fewest customers of a group whose numbers are shown.

    Returns
    -------
    Segments

    Raises
    ------
    DataError
        If a customer has several rows and ``at`` is not given, an answer is off its scale, or limits contradict.

    References
    ----------
    Reichheld (2003), Harvard Business Review 81(12) for promoters; Goodman (1965) for the shares.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"id": range(100), "nps": [10] * 40 + [3] * 40 + [8] * 20, "csat": [5] * 40 + [1] * 60,
    ...                      "spend": [10.0] * 60 + [99.0] * 40})
    >>> found = customer_segments(rows, unit="id", loyalty="nps", satisfaction="csat", value="spend", large_from=50)
    >>> [(row.group, row.customers) for row in found.rows]  # doctest: +NORMALIZE_WHITESPACE
    [('large and at risk', 40), ('critical and disappointed', 20), ('upsell potential', 40), ('others', 0),
     ('unknown', 0)]
    """
    if not 0 < confidence_level < 1:
        raise EstimationError(f"confidence level {confidence_level} is not between 0 and 1")
    check_minimum(minimum)
    answers = _per_customer(data, unit=unit, at=at, columns=(loyalty, satisfaction, value))
    low, high = satisfaction_scale
    quarter = (high - low) / 4
    limits = {
        "promoter_from": promoter_from,
        "detractor_to": detractor_to,
        "satisfied_from": high - quarter if satisfied_from is None else satisfied_from,
        "disappointed_to": low + quarter if disappointed_to is None else disappointed_to,
    }
    _check_answers(answers[0], loyalty, (0.0, _BEST), whole=True)
    _check_answers(answers[1], satisfaction, (low, high), whole=False)
    limits |= _value_limits(answers[2], (large_share, small_share), (large_from, small_to))
    for worse, better in (("detractor_to", "promoter_from"), ("disappointed_to", "satisfied_from"), _SIZES):
        if limits[worse] >= limits[better]:
            raise DataError(
                f"{worse} {limits[worse]:g} is not below {better} {limits[better]:g}",
                advice="A customer cannot be both: move one of the limits.",
            )
    return _counted(answers, limits, value=value, confidence_level=confidence_level, minimum=minimum)


_SIZES = ("small_to", "large_from")


def _per_customer(data: Data, *, unit: str, at: str | None, columns: tuple[str, str, str]) -> tuple[Array, ...]:
    """One loyalty, satisfaction and value per customer, NaN where there is no answer."""
    table = read_columns(data, [unit, *columns, *([at] if at else [])])
    keep = ~missing(table[unit])
    codes = np.unique(
        table[unit][keep].astype(str) if table[unit].dtype == object else table[unit][keep], return_inverse=True
    )[1]
    size = int(codes.max()) + 1 if len(codes) else 0
    if not size:
        raise DataError(f"no row has a {unit}", advice="Every row needs its customer.")
    values = [numeric(table, name)[keep] for name in columns]
    if at is None:
        repeats = len(codes) - size
        if repeats:
            raise DataError(
                f"{repeats:,} rows repeat a {unit}",
                advice="Keep one row per customer, or name the time of a row as `at`.",
            )
        return tuple(_placed(each, codes, size) for each in values)
    if table[at].dtype.kind not in "Mf":
        raise DataError(
            f"column {at!r} is text, not a time: the latest answer cannot be told", advice="Turn it into times first."
        )
    order = np.argsort(table[at][keep], kind="stable")
    latest = [_placed(each[order], codes[order], size) for each in values[:2]]
    known = ~np.isnan(values[2])
    money = np.bincount(codes[known], weights=values[2][known], minlength=size)
    money[np.bincount(codes[known], minlength=size) == 0] = np.nan
    return (*latest, money)


def _placed(values: Array, codes: Array, size: int) -> Array:
    """Return the last known value of every code; NaN where there is none."""
    found = np.full(size, np.nan)
    known = ~np.isnan(values)
    found[codes[known]] = values[known]  # numpy keeps the last of several
    return found


def _check_answers(values: Array, name: str, scale: tuple[float, float], *, whole: bool) -> None:
    known = values[~np.isnan(values)]
    outside = known[(known < scale[0]) | (known > scale[1])]
    if len(outside):
        raise DataError(
            f"column {name!r} holds {len(outside):,} answers outside {scale[0]:g} to {scale[1]:g}, "
            f"such as {outside[0]:g}",
            advice="Set codes such as 99 for 'no answer' to missing, or state the scale.",
        )
    broken = known[known != np.round(known)] if whole else known[:0]
    if len(broken):
        raise DataError(
            f"column {name!r} holds {len(broken):,} answers that are not whole, such as {broken[0]:g}",
            advice="Give single answers from 0 to 10, not averages.",
        )


def _value_limits(
    values: Array, shares: tuple[float, float], limits: tuple[float | None, float | None]
) -> dict[str, float]:
    """Find where large begins and small ends; equal values stay on one side."""
    known = np.sort(values[~np.isnan(values)])
    if not len(known):
        raise DataError("no customer has a value", advice="Name the column of money per customer as `value`.")
    if not (0 < shares[0] < 1 and 0 < shares[1] < 1 and sum(shares) <= 1):
        raise DataError(
            f"large_share {shares[0]:g} and small_share {shares[1]:g} do not fit together",
            advice="Both lie between 0 and 1 and add up to 1 at most.",
        )
    n = len(known)
    large, small = limits
    return {
        "large_from": known[n - math.ceil(shares[0] * n)] if large is None else large,
        "small_to": known[math.ceil(shares[1] * n) - 1] if small is None else small,
    }


def _counted(
    answers: tuple[Array, ...], limits: Mapping[str, float], *, value: str, confidence_level: float, minimum: int
) -> Segments:
    loyalty, mood, size = (
        _banded(answers[0], limits["promoter_from"], limits["detractor_to"]),
        _banded(answers[1], limits["satisfied_from"], limits["disappointed_to"]),
        _banded(answers[2], limits["large_from"], limits["small_to"]),
    )
    group = _group_of(loyalty, mood, size)
    counts = np.bincount(group, minlength=len(GROUPS))
    ends = simultaneous_shares(counts, confidence_level=confidence_level)
    hidden = hidden_groups(counts, minimum=minimum)
    money = np.nan_to_num(answers[2])
    totals = [_total(money * (group == g), confidence_level) for g in range(len(GROUPS))]
    rows = tuple(
        SegmentRow(group=name, hidden=True)
        if hidden[g]
        else SegmentRow(
            group=name,
            customers=int(counts[g]),
            share=float(counts[g] / len(group)),
            share_low=float(ends[g, 0]),
            share_high=float(ends[g, 1]),
            money=totals[g][0],
            money_low=totals[g][1],
            money_high=totals[g][2],
        )
        for g, name in enumerate(GROUPS)
    )
    risk = _total(money * (group <= 1), confidence_level) if not hidden[:2].any() else (math.nan,) * 3
    return Segments(
        rows=rows,
        grid=_grid((loyalty, mood, size), group, hidden, minimum),
        customers=len(group),
        at_risk=risk[0],
        at_risk_low=risk[1],
        at_risk_high=risk[2],
        limits=dict(limits),
        confidence_level=confidence_level,
        value=value,
        minimum=minimum,
    )


def _banded(values: Array, high_from: float, low_to: float) -> Array:
    """0 high, 1 between, 2 low, 3 unknown."""
    return np.select([np.isnan(values), values >= high_from, values <= low_to], [3, 0, 2], default=1)


def _group_of(loyalty: Array, mood: Array, size: Array) -> Array:
    """Place customers; what a missing answer leaves open is unknown."""
    detractor, upset = loyalty == 2, mood == 2
    open_loyalty, open_mood, open_size = loyalty == 3, mood == 3, size == 3
    at_risk, maybe_at_risk = detractor | upset, detractor | upset | open_loyalty | open_mood
    large = (size == 0) & at_risk
    maybe_large = ((size == 0) | open_size) & maybe_at_risk
    critical, maybe_critical = detractor & upset, (detractor | open_loyalty) & (upset | open_mood)
    upsell = (size == 2) & (loyalty == 0) & (mood < 2)
    maybe_upsell = ((size == 2) | open_size) & ((loyalty == 0) | open_loyalty) & ((mood < 2) | open_mood)
    return np.select(
        [large, maybe_large, critical, maybe_critical, upsell, maybe_upsell], [0, 4, 1, 4, 2, 4], default=3
    )


def _total(values: Array, confidence_level: float) -> tuple[float, float, float]:
    """Sum with the interval of n times a mean."""
    mean, n = sample_mean(values, np.arange(len(values))), len(values)
    low, high = mean.ends(confidence_level=confidence_level)
    return n * mean.value, n * low, n * high


def _grid(
    bands: tuple[Array, Array, Array], group: Array, hidden: Array, minimum: int
) -> tuple[tuple[str, str, str, int], ...]:
    """Count every combination; within a group that is shown, hidden ones must not follow from the others."""
    codes = (bands[0] * 4 + bands[1]) * 4 + bands[2]
    found = []
    for g in np.flatnonzero(~hidden):
        counts = np.bincount(codes[group == g], minlength=64)
        shown = (counts > 0) & ~hidden_groups(counts, minimum=minimum)
        found += [
            (LOYALTIES[code // 16], MOODS[code // 4 % 4], SIZES[code % 4], int(counts[code]))
            for code in np.flatnonzero(shown)
        ]
    return tuple(found)
