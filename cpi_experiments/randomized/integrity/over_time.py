"""What changes while a trial runs: weekly cycle, planned days, an effect that fades, rows that stop coming."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import number, p_text
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.randomized.integrity.rules import WEEK, judged, watched
from cpi_experiments.stats.effect_trend import effect_trend
from cpi_experiments.stats.student import p_value as t_p_value

if TYPE_CHECKING:
    from cpi_experiments.randomized.effects.outcomes import Outcome
    from cpi_experiments.randomized.integrity.days import Days
    from cpi_experiments.randomized.integrity.trial_units import TrialUnits

Array = np.ndarray
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
#: Days that a trend needs, and units with rows that every arm needs on either side of a cut.
_FEW_DAYS = 4
_FEW_UNITS = 30
#: Cuts in time that are tried at most.
_MOST_CUTS = 60


def weekly_cycle(calendar: Days, day: Array) -> Diagnostic:
    """Say whether the trial saw a whole week, and which weekdays it did not see.

    Parameters
    ----------
    calendar : Days
    day : int array, shape (rows,)
        Codes; -1 is missing.
    """
    null = f"the trial saw every day of a week ({WEEK} days or more)"
    if calendar.n < WEEK:
        advice = (
            f"Runs {calendar.n} days, shorter than a weekly cycle: customers of the other days may behave differently."
        )
        return watched("weekly cycle", null=null, advice=advice, statistic=float(calendar.n))
    seen = np.unique(day[day >= 0])
    lost = sorted(set(range(WEEK)) - set(calendar.weekday(seen).tolist())) if calendar.dated else []
    if lost:
        names = ", ".join(_WEEKDAYS[each] for each in lost)
        return watched("weekly cycle", null=null, advice=f"No rows from any {names}.", statistic=float(len(seen)))
    return Diagnostic(name="weekly cycle", null=null, statistic=float(calendar.n))


def planned_end(calendar: Days, planned_days: int) -> Diagnostic:
    """Say whether the trial has run as long as planned; a fixed-horizon test is not read before.

    Examples
    --------
    >>> from cpi_experiments.randomized.integrity.days import Days
    >>> planned_end(Days(column="day", first=1, n=10, dated=False), 14).advice
    '10 of 14 planned days: unless looks were planned, effects are not read before the end.'
    """
    null = f"the trial has run its {planned_days} planned days"
    if calendar.n >= planned_days:
        return Diagnostic(name="planned days", null=null, statistic=float(calendar.n))
    advice = (
        f"{calendar.n} of {planned_days} planned days: unless looks were planned, effects are not read before the end."
    )
    return watched("planned days", null=null, advice=advice, statistic=float(calendar.n))


def novelty(units: TrialUnits, outcome: Outcome) -> Diagnostic:
    """Test whether the effect fades (novelty) or grows (primacy, learning).

    Time is the log (base 2) of the days since the unit's first one, where units have several rows, else since the
    trial's first day; day effects that both arms share are taken out; rows of a unit (or cluster) may be related.
    """
    name = f"effect over time: {outcome.name}"
    null = f"the effect on {outcome.name} does not change with the days since the start"
    day, calendar = units.row_day, units.calendar
    values = units.row_outcome(outcome)
    used = (units.row_unit >= 0) & ~np.isnan(values)
    if day is None or calendar is None or calendar.n < _FEW_DAYS:
        return watched(name, null=null, advice=f"Needs at least {_FEW_DAYS} days to be seen.")
    used &= day >= 0
    unit = units.row_unit[used]
    since = day[used] - (_start(units)[unit] if units.repeated else 0)
    arm, time = units.arm[unit], np.log2(1.0 + since)
    group = unit if units.cluster is None else units.cluster[unit]
    y, day = values[used], day[used]
    found = []
    for j in units.treatments:
        pair = np.isin(arm, [0, j])
        trend = effect_trend(y[pair], arm[pair] == j, time[pair], day[pair], group[pair])
        if trend is not None:
            found.append((trend.p_value, trend.statistic, j))
    if not found:
        return watched(name, null=null, advice=f"{outcome.name} does not vary over days and units: nothing to test.")
    p, statistic, j = min(found)
    p = min(1.0, p * len(found))
    early, late = _early_and_late(y, arm, since, j)
    word = "novelty or wear" if abs(late) < abs(early) else "learning or primacy"
    advice = (
        f"The effect of {units.labels[j]} went from {number(early, 4, sign=True)} in the first third of the days to "
        f"{number(late, 4, sign=True)} in the last (p {p_text(p)}): {word}. Run longer and judge by the later days."
    )
    return judged(name, null=null, p_value=p, advice=advice, statistic=statistic)


def _start(units: TrialUnits) -> Array:
    return np.zeros(len(units.arm), dtype=np.int64) if units.day is None else units.day


def _early_and_late(y: Array, arm: Array, since: Array, j: int) -> tuple[float, float]:
    third = max(int(since.max()) / 3, 1)
    effects = []
    for part in (since < third, since > since.max() - third):
        sides = [y[part & (arm == code)] for code in (j, 0)]
        effects.append(float(sides[0].mean() - sides[1].mean()) if min(map(len, sides)) else math.nan)
    return effects[0], effects[1]


def telemetry(units: TrialUnits) -> Diagnostic:
    """Look for a day from which on rows come less often in one arm.

    For every cut in time a unit's rows a day after it, less those before it, are compared between arms by Welch's test
    (by the cluster jackknife where clusters were randomised); all cuts together keep the rate (Bonferroni).
    """
    name, null = "rows over time", "rows come as often in every arm, before and after every day"
    calendar, row_day = units.calendar, units.row_day
    if calendar is None or row_day is None or calendar.n < 2:
        return watched(name, null=null, advice="Needs at least two days to be seen.")
    used = (units.row_unit >= 0) & (row_day >= 0)
    unit, day = units.row_unit[used], row_day[used]
    order = np.argsort(day, kind="stable")
    unit, starts = unit[order], np.searchsorted(day[order], np.arange(calendar.n + 1))
    cuts = np.unique(np.linspace(1, calendar.n - 1, min(calendar.n - 1, _MOST_CUTS)).astype(int))
    found = []
    for cut in cuts:
        before = np.bincount(unit[: starts[cut]], minlength=len(units.arm))
        after = np.bincount(unit[starts[cut] :], minlength=len(units.arm))
        change = after / (calendar.n - cut) - before / cut
        found += [(*test, j, int(cut)) for j in units.treatments if (test := _changed(units, change, before, after, j))]
    if not found:
        advice = f"Needs {_FEW_UNITS} units with rows in every arm, before and after some day."
        return watched(name, null=null, advice=advice)
    p, t, j, cut = min(found)
    p = min(1.0, p * len(found))
    less = units.labels[j if t < 0 else 0]
    advice = (
        f"From {calendar.name(cut)} on, {less} has fewer rows than before, compared with the other arm (p {p_text(p)} "
        f"after {len(found)} tests). Look at what was released or logged differently on that day."
    )
    return judged(name, null=null, p_value=p, advice=advice, statistic=t)


def _changed(units: TrialUnits, change: Array, before: Array, after: Array, j: int) -> tuple[float, float] | None:
    pair = np.isin(units.arm, [0, j])
    treated = units.arm[pair] == j
    for part in (before[pair] > 0, after[pair] > 0):
        if min(int(np.sum(part & treated)), int(np.sum(part & ~treated))) < _FEW_UNITS:
            return None
    means = units.difference([change], j)
    if means is None or not means.omega[0, 0] > 0:
        return None
    t = float(means.effect[0]) / math.sqrt(float(means.omega[0, 0]))
    return t_p_value(t, means.df(0)), t
