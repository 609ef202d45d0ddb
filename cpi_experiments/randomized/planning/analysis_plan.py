"""The analysis plan of an experiment: all that is decided before its data are looked at, under one digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from cpi_experiments.display import Displayed, Row, plain
from cpi_experiments.estimate import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cpi_experiments.catalog.entities import Catalog, Measure
    from cpi_experiments.hypotheses.hypothesis import Hypothesis
    from cpi_experiments.randomized.experiment import Experiment

#: The scale on which links are judged, and how covariates are used: part of what a lock freezes.
SCALE = "absolute: KPI units per increment of the CPI"
ADJUSTMENT = "CUPED, one coefficient vector for both arms, the same covariates for CPI and KPI"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisPlan(Displayed):
    """What will be done with the data of one experiment.

    Parameters
    ----------
    experiment, lever, control : str
    allocation : mapping of arm to weight
    randomize, table, start, end : str
        Unit, table of assignments, first and last day of assignment.
    links : tuple of str
    sesoi : mapping of link to float
        Smallest effect worth acting on, KPI units per increment.
    scale, adjustment : str
    outcomes : mapping of CPI or KPI to text
        How each is measured, as JSON: table, value, aggregate, filter, window.
    caps : mapping of CPI or KPI to float or None
        Above it values are set to it.
    increments : mapping of CPI to float
        Raw units of one step, signed so that + is better for the customer.
    better : mapping of CPI or KPI to ``lower`` or ``higher``
    lever_moves : mapping of CPI to ``lower`` or ``higher``
        What the lever is said to move.
    watched : mapping of CPI to text
        Other CPIs that are looked at, because a lever that moves several is a bundle; more may be added later.
    covariates : tuple of str
    exclude : str
        Assigned units that meet it are left out.
    stopping : str
    looks : tuple of float
        Shares of the planned size at which effects are looked at.
    guardrails : mapping of KPI to margin
    planned_n : int
    planned_move : float
    locked_at, digest, after_data : str
        UTC time and hash of the lock; digest of the version under which data were analysed before this one was locked.
    reason : str
        Why a lock was amended.
    seq : int
        Row of the ledger.

    Examples
    --------
    >>> from dataclasses import replace
    >>> plan = AnalysisPlan(experiment="e1", lever="auto", control="manual", allocation={"manual": 1, "auto": 1},
    ...                     randomize="customer_id", table="assignments", start="2026-01-01", end="2026-02-01",
    ...                     links=("hours -> won",), sesoi={"hours -> won": 0.004}, covariates=("premium",))
    >>> [str(change) for change in changes(plan, replace(plan, covariates=()))]
    ['covariates: premium became none']
    """

    experiment: str
    lever: str
    control: str
    allocation: Mapping[str, float]
    randomize: str
    table: str
    start: str
    end: str
    links: tuple[str, ...]
    sesoi: Mapping[str, float]
    outcomes: Mapping[str, str] = field(default_factory=dict)
    caps: Mapping[str, float | None] = field(default_factory=dict)
    increments: Mapping[str, float] = field(default_factory=dict)
    better: Mapping[str, str] = field(default_factory=dict)
    lever_moves: Mapping[str, str] = field(default_factory=dict)
    watched: Mapping[str, str] = field(default_factory=dict)
    covariates: tuple[str, ...] = ()
    exclude: str = ""
    stopping: str = "fixed"
    looks: tuple[float, ...] = (1.0,)
    guardrails: Mapping[str, float] = field(default_factory=dict)
    planned_n: int = 0
    planned_move: float = 1.0
    scale: str = SCALE
    adjustment: str = ADJUSTMENT
    locked_at: str = ""
    digest: str = ""
    after_data: str = ""
    reason: str = ""
    seq: int = 0

    @property
    def locked(self) -> bool:
        """Whether the plan is frozen in a ledger."""
        return bool(self.digest)

    def content(self) -> dict[str, Any]:
        """Every field that a lock freezes, as plain content."""
        return {name: value for name, value in plain(self).items() if name not in _ABOUT_THE_LOCK}

    def content_digest(self) -> str:
        """Hash of what a lock freezes."""
        return digest_of(self.content())

    def _title(self) -> str:
        when = f"locked {self.locked_at[:19]}Z, {self.digest[:8]}" if self.locked else "not locked"
        amended = f"; amended: {self.reason}" if self.reason else ""
        return f"Analysis plan of {self.experiment}: {when}{amended}."

    def _rows(self) -> list[Row]:
        rows: list[Row] = []
        for name, value in self.content().items():
            if isinstance(value, dict):
                rows += [{"decided": f"{name}, {key}", "as": _text(each)} for key, each in sorted(value.items())]
            else:
                rows.append({"decided": name, "as": _text(value)})
        return rows

    def _shown(self) -> list[Row]:
        return [{"decided": row["decided"], "as": _in_short(row["as"])} for row in self._rows()]


#: Longest text of a decision in the printed table.
_WIDEST = 46
_ABOUT_THE_LOCK = frozenset({"locked_at", "digest", "after_data", "reason", "seq"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One field of a plan that is not as it was locked.

    Examples
    --------
    >>> str(Change(what="cap of spend", locked="500.0", now="none"))
    'cap of spend: 500.0 became none'
    """

    what: str
    locked: str
    now: str

    def __str__(self) -> str:
        return f"{self.what}: {self.locked} became {self.now}"


def plan_of(experiment: Experiment, catalog: Catalog, hypotheses: Iterable[Hypothesis]) -> AnalysisPlan:
    """Put together what the catalog, the experiment's file and its hypotheses decide.

    Parameters
    ----------
    experiment : Experiment
    catalog : Catalog
    hypotheses : iterable of Hypothesis
        One for every link of the experiment.

    Returns
    -------
    AnalysisPlan
        Not locked; see `cpi_experiments.randomized.planning.plan_lock.lock_plan`.
    """
    known = {
        **{cpi.id: cpi.measure for cpi in catalog.cpis.values()},
        **{k.id: k.measure for k in catalog.kpis.values()},
    }
    used = [name for link in experiment.links for name in (link.cpi_id, link.kpi_id)]
    used += [*experiment.guardrails, *(name.removeprefix("pre_") for name in experiment.covariates)]
    measures = {name: known[name] for name in dict.fromkeys(used) if name in known}
    return AnalysisPlan(
        experiment=experiment.id,
        lever=experiment.lever,
        control=experiment.control,
        allocation={arm: float(weight) for arm, weight in experiment.allocation.items()},
        randomize=experiment.randomize,
        table=experiment.table,
        start=experiment.start,
        end=experiment.end,
        links=experiment.hypotheses,
        sesoi={str(hypothesis.link): float(hypothesis.sesoi) for hypothesis in hypotheses},
        outcomes={name: _measured(measure) for name, measure in measures.items()},
        increments={link.cpi_id: catalog.cpi(link.cpi_id).divisor for link in experiment.links},
        better={name: _side(catalog, name) for name in measures},
        lever_moves={cpi: side.value for cpi, side in catalog.lever(experiment.lever).moves.items()},
        watched={cpi.id: _measured(cpi.measure) for cpi in catalog.cpis.values() if cpi.id not in measures},
        caps={name: measure.cap for name, measure in measures.items()},
        covariates=experiment.covariates,
        exclude=experiment.exclude,
        stopping=experiment.stopping,
        looks=tuple(float(look) for look in experiment.looks),
        guardrails={kpi: float(margin) for kpi, margin in experiment.guardrails.items()},
        planned_n=experiment.planned_n,
        planned_move=float(experiment.planned_move),
    )


def _measured(measure: Measure) -> str:
    """Write how an indicator is measured, without its cap, as JSON."""
    return json.dumps({key: value for key, value in plain(measure).items() if key != "cap"}, sort_keys=True)


def _side(catalog: Catalog, name: str) -> str:
    known = catalog.cpis.get(name) or catalog.kpi(name)
    return known.better.value


def changes(locked: AnalysisPlan, now: AnalysisPlan) -> tuple[Change, ...]:
    """List what is not as it was locked, field by field.

    Examples
    --------
    See `AnalysisPlan`.
    """
    found = []
    for each in fields(AnalysisPlan):
        if each.name in _ABOUT_THE_LOCK:
            continue
        was, is_now = plain(getattr(locked, each.name)), plain(getattr(now, each.name))
        if was == is_now:
            continue
        if isinstance(was, dict) and isinstance(is_now, dict):
            either = was if each.name == "watched" else {**was, **is_now}  # more may be watched later
            keys = [key for key in either if was.get(key, _ABSENT) != is_now.get(key, _ABSENT)]
            found += [
                Change(what=f"{each.name}, {key}", locked=_text(was.get(key)), now=_text(is_now.get(key)))
                for key in keys
            ]
        else:
            found.append(Change(what=each.name, locked=_text(was), now=_text(is_now)))
    return tuple(found)


_ABSENT = object()


def _in_short(text: str) -> str:
    """Say how an outcome is measured, and cut what is long."""
    if text.startswith('{"aggregate"'):
        how = json.loads(text)
        text = f"{how['indicator'] or how['aggregate']} of {how['value']}, {how['window']}, {how['table']}"
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."


def _text(value: Any) -> str:  # noqa: ANN401 - plain content
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None or value == "" else str(value)
