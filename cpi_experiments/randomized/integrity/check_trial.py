"""The door before any result: is this trial what it was planned to be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cpi_experiments.display import Displayed, Row, p_text, text_table, wrapped
from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.randomized.arms import Label, names_of
from cpi_experiments.randomized.effects.outcomes import AnyOutcome, Mean, Outcome, Ratio, as_outcome
from cpi_experiments.randomized.integrity.balance_checks import covariate_balance, pre_period
from cpi_experiments.randomized.integrity.enough import clusters_per_arm, outcome_varies
from cpi_experiments.randomized.integrity.exposure import (
    flag_of_units,
    logged_exposures,
    never_exposed,
    received_treatment,
)
from cpi_experiments.randomized.integrity.influence import one_unit
from cpi_experiments.randomized.integrity.interference import neighbours_matter
from cpi_experiments.randomized.integrity.missing import missing_outcome
from cpi_experiments.randomized.integrity.over_time import novelty, planned_end, telemetry, weekly_cycle
from cpi_experiments.randomized.integrity.overlap import assigned_apart, interaction
from cpi_experiments.randomized.integrity.sample_ratio import several_arms
from cpi_experiments.randomized.integrity.sample_ratio_cells import (
    sample_ratio_by,
    sample_ratio_by_day,
    sequential_sample_ratio,
    where_missing,
    whole_sample_ratio,
)
from cpi_experiments.randomized.integrity.trial_units import Roles, TrialUnits, read_units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.measure.engine import Data

_STATES = {(True, False): "ok", (False, False): "look", (False, True): "BLOCKS", (True, True): "BLOCKS"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrity(Displayed):
    """What was checked before any effect was looked at.

    Parameters
    ----------
    diagnostics : tuple of Diagnostic
        In the order in which they were made: assignment, exposure, what is missing, time, others.
    sizes : tuple of (arm, units)
        Units that lie in one arm.
    """

    diagnostics: tuple[Diagnostic, ...]
    sizes: tuple[tuple[str, int], ...]

    @property
    def blocks(self) -> bool:
        """Whether some check allows no verdict."""
        return any(d.blocks for d in self.diagnostics)

    @property
    def passed(self) -> bool:
        """Whether nothing needs a look."""
        return all(d.passed for d in self.diagnostics)

    def __getitem__(self, name: str) -> Diagnostic:
        """Return the check of this name."""
        found = [d for d in self.diagnostics if d.name == name]
        if not found:
            known = ", ".join(d.name for d in self.diagnostics)
            raise DataError(f"no check is called {name!r}", advice=f"Made: {known}.")
        return found[0]

    def _title(self) -> str:
        n, odd = len(self.diagnostics), [d for d in self.diagnostics if not d.passed]
        sizes = ", ".join(f"{arm} {size:,}" for arm, size in self.sizes)
        if not odd:
            return f"{f'All {n} checks' if n > 1 else 'The one check'} passed ({sizes})."
        blocking = [d.name for d in odd if d.blocks]
        end = "none blocks the verdict"
        if blocking:
            end = f"{len(blocking)} block{'s' if len(blocking) == 1 else ''} the verdict: {', '.join(blocking)}"
        return f"{len(odd)} of {n} checks need{'s' if len(odd) == 1 else ''} a look; {end} ({sizes})."

    def _sorted(self) -> list[Diagnostic]:
        return sorted(self.diagnostics, key=lambda d: (not d.blocks, d.passed))

    def _rows(self) -> list[Row]:
        return [
            {
                "check": d.name,
                "state": _STATES[d.passed, d.blocks],
                "null": d.null,
                "statistic": d.statistic,
                "p_value": d.p_value,
                "advice": d.advice,
            }
            for d in self._sorted()
        ]

    def _shown(self) -> list[dict[str, str]]:
        return [
            {
                "check": d.name,
                "state": _STATES[d.passed, d.blocks],
                "what holds if nothing is wrong": d.null,
                "p": "" if math.isnan(d.p_value) else p_text(d.p_value),
                "look at": d.advice,
            }
            for d in self._sorted()
        ]

    def __str__(self) -> str:
        rows = [
            {
                "check": d.name,
                "state": _STATES[d.passed, d.blocks],
                "p": "" if math.isnan(d.p_value) else p_text(d.p_value),
            }
            for d in self._sorted()
        ]
        notes = [line for d in self._sorted() if d.advice for line in wrapped(f"{d.name}: {d.advice}", indent="")]
        return "\n".join([*wrapped(self._title(), indent=""), "", text_table(rows), *([""] if notes else []), *notes])


def check_trial(  # noqa: PLR0913 - a door: every argument after the first is named by the caller
    data: Data,
    *,
    arm: str,
    control: Label,
    unit: str | None = None,
    allocation: Mapping[Any, float] | None = None,
    outcomes: str | AnyOutcome | Sequence[str | AnyOutcome] = (),
    covariates: str | Sequence[str] = (),
    pre: str | Sequence[str] = (),
    day: str | None = None,
    segments: str | Sequence[str] = (),
    received: str | None = None,
    exposed: str | None = None,
    exposures: Data | None = None,
    cluster: str | None = None,
    neighbours: str | None = None,
    other: Mapping[str, str] | None = None,
    planned_days: int | None = None,
) -> Integrity:
    """Check a trial before its results are looked at; every column that is named adds checks.

    Parameters
    ----------
    data : table of any kind
        One row per unit; with ``unit`` and ``day`` also several, such as one per unit and day.
    arm, control
        Column of the assigned arm, and the label of the arm that the others are compared with.
    unit : str, optional
        Column of the unit: units in several arms are found, counted and left out.
    allocation : mapping of arm to weight, optional
        Intended shares; equal by default.
    outcomes : column names, `Mean` or `Ratio`; of other kinds their column is checked
        Variance, missing values by arm, influence of one unit; with ``day`` the effect over time.
    covariates, pre : str or sequence of str
        Measured before the trial: covariates are tested together, ``pre`` (the outcomes' own past) one by one.
    day : str, optional
        Date, time or day number of the row: sample ratio by day and at every look, rows over time, weekly cycle.
    segments : str or sequence of str
        Columns known before the assignment: sample ratio in each of their values.
    received : str, optional
        Arm that was received (or a flag for the treatment): contamination and crossover.
    exposed : str, optional
        Flag of units that met their arm at all.
    exposures : table of any kind, optional
        Log with the columns ``unit`` and ``arm``: several arms, never assigned, another arm, never exposed.
    cluster : str, optional
        Column of the randomised group: whether arms have clusters enough; counts are of clusters, tests by the
        cluster jackknife.
    neighbours : str, optional
        Column of groups whose members may influence each other (household, region).
    other : mapping of name to column, optional
        Arms of other experiments on the same units.
    planned_days : int, optional

    Returns
    -------
    Integrity
        ``blocks``, ``passed``, ``diagnostics``; `blocking_rules` lists the thresholds.

    Raises
    ------
    DataError
        If a column cannot be used, an arm has fewer than two units or is not in the allocation.
    DesignError
        If a column has two parts that exclude each other, or ``exposures`` is given without ``unit``.

    Notes
    -----
    Tests warn at p < 0.01; several cells, cuts or treatments within one check share that rate (Bonferroni). Checks do
    not share it with each other: of 14 tests on a sound trial one warns with a chance of up to 13 %.

    Examples
    --------
    >>> import pandas as pd
    >>> os = ["ios", "ios", "web", "web"]
    >>> df = pd.DataFrame({"arm": ["a", "b"] * 500, "won": [0, 1, 1, 0] * 250, "os": os * 250})
    >>> print(check_trial(df, arm="arm", control="a", outcomes="won", segments="os"))
    All 5 checks passed (a 500, b 500).
    <BLANKLINE>
    check               state  p
    sample ratio        ok     1.000
    sample ratio by os  ok     1.000
    variance won        ok
    missing won         ok     1.000
    influence on won    ok
    """
    plan = _Plan(
        outcomes=tuple(_checked(o) for o in ([outcomes] if isinstance(outcomes, str | AnyOutcome) else outcomes)),
        covariates=tuple(names_of(covariates)),
        pre=tuple(names_of(pre)),
        segments=tuple(names_of(segments)),
        received=received,
        exposed=exposed,
        neighbours=neighbours,
        other=dict(other or {}),
        planned_days=planned_days,
    )
    plan.check(arm=arm, unit=unit, day=day, exposures=exposures is not None)
    roles = Roles(arm=arm, control=control, unit=unit, cluster=cluster, day=day, allocation=allocation)
    units = read_units(data, roles, numbers=plan.numbers, keys=plan.keys(unit))
    found = [*_assignment(units, plan, unit=unit), *_exposure(units, plan)]
    if exposures is not None and unit is not None:
        found += logged_exposures(units, exposures, unit=unit, arm=arm)
    found += [*_outcomes(units, plan), *_time(units, plan), *_others(units, plan)]
    return Integrity(diagnostics=tuple(found), sizes=tuple(units.counts().items()))


def _checked(outcome: str | AnyOutcome) -> Outcome:
    """Read an outcome; of a quantile or a rank the mean of its column is checked."""
    found = as_outcome(outcome)
    return found if isinstance(found, Mean | Ratio) else Mean(found.column)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is to be checked."""

    outcomes: tuple[Outcome, ...]
    covariates: tuple[str, ...]
    pre: tuple[str, ...]
    segments: tuple[str, ...]
    received: str | None
    exposed: str | None
    neighbours: str | None
    other: dict[str, str]
    planned_days: int | None

    @property
    def numbers(self) -> list[str]:
        """Columns that must be numbers."""
        of_outcomes = [name for outcome in self.outcomes for name in outcome.columns]
        return [*of_outcomes, *self.covariates, *self.pre, *([self.exposed] if self.exposed else [])]

    def keys(self, unit: str | None) -> list[str]:
        """Columns that are read as they are."""
        single = (unit, self.received, self.neighbours)
        return list(dict.fromkeys([*self.segments, *self.other.values(), *(name for name in single if name)]))

    def check(self, *, arm: str, unit: str | None, day: str | None, exposures: bool) -> None:
        """Refuse parts that exclude each other."""
        after = {name for outcome in self.outcomes for name in outcome.columns}
        both = [name for name in (*self.covariates, *self.pre) if name in after]
        if both:
            raise DesignError(
                f"column {both[0]!r} is an outcome and measured before the trial",
                advice="A covariate is measured before the assignment; an outcome after it.",
            )
        if arm in {*self.numbers, *self.segments, *self.other.values(), *([unit] if unit else [])}:
            raise DesignError(f"column {arm!r} is the arm and has no other part", advice="Name each column once.")
        if exposures and unit is None:
            raise DesignError("exposures are given but no unit", advice="Name the column of the unit in both tables.")
        if self.planned_days is not None and (day is None or self.planned_days < 1):
            raise DesignError(
                f"planned_days {self.planned_days} needs the column of the day and one day or more",
                advice='Give day="..." too.',
            )


def _assignment(units: TrialUnits, plan: _Plan, *, unit: str | None) -> list[Diagnostic]:
    hints = where_missing(units, plan.segments) if whole_sample_ratio(units).advice else []
    found = [whole_sample_ratio(units, hints=hints)]
    found += clusters_per_arm(units)
    found += [sample_ratio_by(units, column) for column in plan.segments]
    if units.calendar is not None:
        found += [sample_ratio_by_day(units), sequential_sample_ratio(units)]
    if unit is not None:
        found.append(several_arms(units.n_several, units.n_seen))
    found += covariate_balance(units, plan.covariates) if plan.covariates else ()
    return [*found, *(pre_period(units, column) for column in plan.pre)]


def _exposure(units: TrialUnits, plan: _Plan) -> list[Diagnostic]:
    found = [*received_treatment(units, plan.received)] if plan.received else []
    if plan.exposed:
        found.append(never_exposed(units, flag_of_units(units, plan.exposed)))
    return found


def _outcomes(units: TrialUnits, plan: _Plan) -> list[Diagnostic]:
    return [check(units, outcome) for outcome in plan.outcomes for check in (outcome_varies, missing_outcome, one_unit)]


def _time(units: TrialUnits, plan: _Plan) -> list[Diagnostic]:
    if units.calendar is None or units.row_day is None:
        return []
    found = [weekly_cycle(units.calendar, units.row_day), telemetry(units)]
    if plan.planned_days is not None:
        found.append(planned_end(units.calendar, plan.planned_days))
    return [*found, *(novelty(units, outcome) for outcome in plan.outcomes)]


def _others(units: TrialUnits, plan: _Plan) -> list[Diagnostic]:
    found = []
    if plan.neighbours:
        found += [neighbours_matter(units, plan.neighbours, outcome) for outcome in plan.outcomes]
    for name, column in plan.other.items():
        found.append(assigned_apart(units, name, column))
        found += [interaction(units, name, column, outcome) for outcome in plan.outcomes]
    return found
