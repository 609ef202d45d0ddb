"""Sample ratio by segment and by day, at every look, and where the missing units are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import p_text, percent
from cpi_experiments.errors import DataError
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.randomized.arms import encode
from cpi_experiments.randomized.integrity.balance_checks import shares_alike
from cpi_experiments.randomized.integrity.rules import BLOCKS, WARNS, judged, watched
from cpi_experiments.randomized.integrity.sample_ratio import sample_ratio
from cpi_experiments.stats.exact_counts import binomial_p_values
from cpi_experiments.stats.sequential.sequential_counts import sequential_ratio_test

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.randomized.integrity.trial_units import TrialUnits

Array = np.ndarray
#: More values than this make no segment.
_MOST_CELLS = 1_000


def whole_sample_ratio(units: TrialUnits, *, hints: Sequence[str] = ()) -> Diagnostic:
    """Sample ratio of all units (or clusters); where it fails, it says where the missing ones are.

    Parameters
    ----------
    units : TrialUnits
    hints : sequence of str
        What `where_missing` found.
    """
    at, word = units.randomised()
    weights = {str(label): float(share) for label, share in zip(units.labels, units.shares, strict=True)}
    found = sample_ratio(units.counts(at), weights, units=word)
    if found.passed or not hints:
        return found
    return Diagnostic(
        name=found.name,
        null=found.null,
        statistic=found.statistic,
        p_value=found.p_value,
        passed=False,
        advice=f"{found.advice} {' '.join(hints)}",
        blocks=found.blocks,
    )


def cells_of(units: TrialUnits, column: str, at: Array) -> tuple[Array, list[str]] | None:
    """Codes and names of the values of a segment for what was randomised; None if a cluster has several values."""
    code, names = encode(units.keys[column])
    if units.cluster is not None and len(at) < len(units.arm):
        place = np.full(int(units.cluster.max()) + 1, -1)
        place[units.cluster[at]] = code[at]
        if np.any(place[units.cluster] != code):
            return None
    texts = [str(name) for name in names]
    if np.any(code < 0):
        code, texts = np.where(code < 0, len(texts), code), [*texts, "(missing)"]
    return code[at], texts


def sample_ratio_by(units: TrialUnits, column: str) -> Diagnostic:
    """Sample ratio within every value of a segment, exact, all of them together at the nominal rate (Bonferroni).

    Parameters
    ----------
    units : TrialUnits
    column : str
        Among ``units.keys``.
    """
    at, word = units.randomised()
    name, null = f"sample ratio by {column}", f"{word} were split as planned in every {column}"
    found = cells_of(units, column, at)
    if found is None:
        advice = (
            f"Arms hold different shares of the values of {column}: look at who is assigned, logged or filtered there"
        )
        null = f"values of {column} are as frequent in every arm"
        return shares_alike(units, column, name=name, null=null, advice=advice)
    code, names = found
    if len(names) > _MOST_CELLS:
        advice = f"{column} has {len(names):,} values; group them before they are checked."
        return watched(name, null=null, advice=advice)
    return _judge_cells(units, _table(units, at, code, len(names)), names, (name, null, f"In {column} ="))


def sample_ratio_by_day(units: TrialUnits) -> Diagnostic:
    """Sample ratio of the units that came on every day, exact, all days together at the nominal rate (Bonferroni)."""
    table, names, word = _daily(units)
    null = f"{word} that came on one day were split as planned, on every day"
    return _judge_cells(units, table, names, ("sample ratio by day", null, "On"))


def sequential_sample_ratio(units: TrialUnits) -> Diagnostic:
    """Sample ratio at the end of every day, with one p-value for all looks together (see `sequential_ratio_test`)."""
    table, names, word = _daily(units)
    p = sequential_ratio_test(table, units.shares.tolist())
    first = names[int(np.argmax(p < WARNS))]
    seen = ", ".join(
        f"{label} {percent(n, 2)}" for label, n in zip(units.labels, table.sum(axis=0) / table.sum(), strict=True)
    )
    advice = (
        f"The split has left the plan for good since {first} (p {p_text(float(p[-1]))} for all {len(p)} looks "
        f"together; now {seen}). Stop and look at what changed in the assignment or the logging."
    )
    return judged(
        "sample ratio over time",
        null=f"{word} were split as planned, at every look so far",
        p_value=float(p[-1]),
        advice=advice,
        blocks_below=BLOCKS,
    )


def where_missing(units: TrialUnits, segments: Sequence[str]) -> list[str]:
    """Say in words which day and which value of a segment hold most of the units that an arm lacks.

    The shortfall of an arm in a cell is what the plan expects of the cell's units less what came; over all cells it
    adds up to the shortfall of the whole.
    """
    at, word = units.randomised()
    total = np.bincount(units.arm[at], minlength=len(units.labels))
    short = total.sum() * units.shares - total
    arm = int(np.argmax(short / np.sqrt(units.shares)))
    lost = short[arm] / (1 - units.shares[arm])  # what the other arms say it should have, less what it has
    lacks = f"{units.labels[arm]} lacks {lost:,.0f} {word}"
    hints = []
    for column in segments:
        found = cells_of(units, column, at)
        if found is not None and 1 < len(found[1]) <= _MOST_CELLS:
            table = _table(units, at, found[0], len(found[1]))
            cells = table.sum(axis=1) * units.shares[arm] - table[:, arm]
            worst = int(np.argmax(cells))
            share = percent(min(float(cells[worst] / short[arm]), 1.0))
            hints.append(f"{lacks}; {share} of them in {column} = {found[1][worst]}.")
    if units.calendar is not None and units.calendar.n > 1:
        table, names, _ = _daily(units)
        hints.append(f"The drop begins on {names[_begins(table, units.shares[arm], arm)]}.")
    return hints


def _begins(table: Array, share: float, arm: int) -> int:
    """Day from which on the arm is short: where the tail of the shortfall is largest for its size."""
    short = (table.sum(axis=1) * share - table[:, arm])[::-1].cumsum()[::-1]
    size = table.sum(axis=1)[::-1].cumsum()[::-1]
    return int(np.argmax(short / np.sqrt(np.maximum(size, 1.0))))


def _daily(units: TrialUnits) -> tuple[Array, list[str], str]:
    at, word = units.randomised()
    day, calendar = units.day, units.calendar
    if day is None or calendar is None:
        raise DataError("the day is not named", advice='Read the units with day="...".')
    of_unit = day
    if len(at) < len(units.arm) and units.cluster is not None:  # a cluster comes with its first unit
        first = np.full(int(units.cluster.max()) + 1, np.iinfo(np.int64).max)
        np.minimum.at(first, units.cluster[day >= 0], day[day >= 0])
        of_unit = np.where(first[units.cluster] == np.iinfo(np.int64).max, -1, first[units.cluster])
    known = at[of_unit[at] >= 0]
    table = _table(units, known, of_unit[known], calendar.n)
    return table, [calendar.name(code) for code in range(calendar.n)], word


def _table(units: TrialUnits, at: Array, code: Array, cells: int) -> Array:
    arms = len(units.labels)
    return np.bincount(code * arms + units.arm[at], minlength=cells * arms).reshape(cells, arms)


def _judge_cells(units: TrialUnits, table: Array, names: list[str], words: tuple[str, str, str]) -> Diagnostic:
    name, null, before = words
    size, arms = table.sum(axis=1), len(units.labels)
    columns = range(1, arms) if arms == 2 else range(arms)
    p = np.stack([binomial_p_values(table[:, j], size, float(units.shares[j])) for j in columns], axis=1)
    tests = int(np.sum(size > 0)) * p.shape[1]
    worst = int(p.min(axis=1).argmin())
    family = min(1.0, float(p.min()) * tests)
    expected = size[:, None] * units.shares
    cells = np.sum((table - expected) ** 2 / np.maximum(expected, 1e-300), axis=1)
    seen = ", ".join(f"{label} {n:,}" for label, n in zip(units.labels, table[worst].tolist(), strict=True))
    advice = (
        f"{before} {names[worst]} came {seen} (p {p_text(family)} after {tests} tests; "
        f"{percent(float(cells[worst] / max(cells.sum(), 1e-300)))} of the chi-squared). Look at what is special there."
    )
    return judged(name, null=null, p_value=family, advice=advice, statistic=float(cells[worst]), blocks_below=BLOCKS)
