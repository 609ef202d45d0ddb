"""Random assignment by a salted hash, by unit or by cluster, and the noun that every way of assigning returns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cpi_experiments.display import Displayed, Row, clean_text, percent, plain
from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.randomized.assigning.hashing import ids_of, positions, slices, uniform_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.randomized.assigning.holdout import Holdout
    from cpi_experiments.randomized.experiment import Experiment

__all__ = ["HASH", "Assignment", "assign", "members", "roster", "uniform_hash"]

#: Name of the method of `assign`.
HASH = "hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment(Displayed):
    """Which unit is in which arm, and how it got there.

    Parameters
    ----------
    experiment : str
    salt : str
        Text that makes the assignments of two experiments independent.
    arms : mapping of unit to arm
    allocation : mapping of arm to weight
        Intended shares, in the order in which arms are dealt.
    method : str
        ``hash``, ``stratified`` or ``re-randomised``.
    clusters, strata : mapping of unit to cluster (stratum), or None
    held_out : int
        Units left out by a holdout.
    details : mapping
        What else the method decided: tries, distance, its limit, covariates.
    """

    experiment: str
    salt: str
    arms: Mapping[str, str] = field(repr=False)
    allocation: Mapping[str, float] = field(default_factory=dict)
    method: str = HASH
    clusters: Mapping[str, str] | None = field(default=None, repr=False)
    strata: Mapping[str, str] | None = field(default=None, repr=False)
    held_out: int = 0
    details: Mapping[str, str | int | float] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Units per arm, planned arms first and in their order."""
        found = dict.fromkeys(self.allocation, 0)
        for arm in self.arms.values():
            found[arm] = found.get(arm, 0) + 1
        return found

    @property
    def digest(self) -> str:
        """SHA-256 over everything that was decided; the order of the units does not matter."""
        units = [[unit, self.arms[unit], *self._places(unit).values()] for unit in sorted(self.arms)]
        content = {**self.decided(), "units": units}
        text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def decided(self) -> Row:
        """Everything but the units, as JSON can hold it."""
        return {
            "experiment": self.experiment,
            "salt": self.salt,
            "method": self.method,
            "allocation": [[arm, plain(weight)] for arm, weight in self.allocation.items()],
            "held_out": self.held_out,
            "details": dict(self.details),
        }

    def _places(self, unit: str) -> dict[str, str]:
        places = (("cluster", self.clusters), ("stratum", self.strata))
        return {name: of[unit] for name, of in places if of is not None}

    def _title(self) -> str:
        sizes = ", ".join(f"{clean_text(arm)} {count:,}" for arm, count in sorted(self.counts().items()))
        title = f"{clean_text(self.experiment)}: {len(self.arms):,} units; {sizes}"
        if self.clusters is not None:
            title += f"; {len(set(self.clusters.values())):,} clusters"
        if self.strata is not None:
            title += f"; {len(set(self.strata.values())):,} strata"
        if self.held_out:
            title += f"; {self.held_out:,} held out"
        return "\n".join([title, *([str(self.details["advice"])] if "advice" in self.details else [])])

    def _rows(self) -> list[Row]:
        return [
            {"experiment": self.experiment, "unit": unit, "arm": arm, **self._places(unit)}
            for unit, arm in self.arms.items()
        ]

    def _shown(self) -> list[Row]:
        """One line an arm: a list of a million units is for `to_frame` and for files."""
        counts, total = self.counts(), sum(self.allocation.values())
        return [
            {
                "arm": clean_text(arm),
                "units": f"{count:,}",
                "share": percent(count / len(self.arms), 1),
                "planned": percent(self.allocation[arm] / total, 1) if arm in self.allocation else "",
            }
            for arm, count in counts.items()
        ]


def assign(
    experiment: Experiment,
    units: Iterable[object] | Data,
    *,
    unit: str | None = None,
    cluster: str | Mapping[object, object] | None = None,
    holdout: Holdout | None = None,
    salt: str | None = None,
) -> Assignment:
    """Assign units to the arms of an experiment, each by the hash of its own id (or its cluster's).

    Parameters
    ----------
    experiment : Experiment
        Its allocation gives the shares, its id the default salt.
    units : iterable, or data of any kind with `unit`
        Ids of the randomised units; each is assigned by its text alone, so order and repetition never matter.
    unit : str, optional
        Column of the ids, where `units` is a table (DataFrame, path, relation, Spark, warehouse).
    cluster : str or mapping of unit to cluster, optional
        Column of the table, or what every unit belongs to: all units of a cluster get its arm.
    holdout : Holdout, optional
        Its units are left out.
    salt : str, optional
        Use the salt of another experiment only to repeat its split on purpose.

    Raises
    ------
    DataError
        If there is no unit, an id is missing, a unit lies in two clusters or has none.
    DesignError
        If the holdout has the salt of the experiment.

    Examples
    --------
    >>> from cpi_experiments.randomized.experiment import Experiment
    >>> trial = Experiment(id="demo", lever="auto_quote", control="manual", allocation={"manual": 1, "auto": 1},
    ...                    hypotheses=(), randomize="customer_id", start="2026-01-01", end="2026-03-31")
    >>> dict(assign(trial, ["customer-1", "customer-2"]).arms)
    {'customer-1': 'auto', 'customer-2': 'manual'}
    >>> dict(assign(trial, ["Ada", "Bo", "Cy"], cluster={"Ada": "north", "Bo": "south", "Cy": "north"}).arms)
    {'Ada': 'auto', 'Bo': 'manual', 'Cy': 'auto'}
    """
    salt = experiment.id if salt is None else salt
    named = cluster if isinstance(cluster, str) else None
    ids, columns = roster(units, unit=unit, columns=[named] if named else [])
    clusters = _clusters(ids, columns[named] if named else cluster)  # type: ignore[arg-type] # a column or a mapping
    kept, held = kept_units(ids, holdout=holdout, salt=salt)
    if clusters is None:
        found = dict(zip(kept, slices(positions(kept, salt=salt), experiment.allocation), strict=True))
    else:
        clusters = {unit: clusters[unit] for unit in kept}
        groups = list(dict.fromkeys(clusters.values()))
        of_group = dict(zip(groups, slices(positions(groups, salt=salt), experiment.allocation), strict=True))
        found = {unit: of_group[group] for unit, group in clusters.items()}
    return Assignment(
        experiment=experiment.id,
        salt=salt,
        arms=found,
        allocation=dict(experiment.allocation),
        clusters=clusters,
        held_out=held,
    )


def members(
    assignment: Assignment,
    units: Iterable[object] | Data,
    *,
    unit: str | None = None,
    cluster: str | Mapping[object, object],
) -> Assignment:
    """Carry an assignment of clusters, by whatever method, over to their units.

    Parameters
    ----------
    assignment : Assignment
        Its units are clusters.
    units, unit, cluster
        As in `assign`.

    Raises
    ------
    DataError
        If a unit's cluster was not assigned.

    Examples
    --------
    >>> of_regions = Assignment(experiment="demo", salt="demo", arms={"north": "auto", "south": "manual"})
    >>> dict(members(of_regions, ["Ada", "Bo"], cluster={"Ada": "north", "Bo": "south"}).arms)
    {'Ada': 'auto', 'Bo': 'manual'}
    """
    named = cluster if isinstance(cluster, str) else None
    ids, columns = roster(units, unit=unit, columns=[named] if named else [])
    clusters = _clusters(ids, columns[named] if named else cluster) or {}  # type: ignore[arg-type] # as in `assign`
    unknown = [group for group in dict.fromkeys(clusters.values()) if group not in assignment.arms]
    if unknown:
        raise DataError(
            f"{len(unknown):,} clusters were not assigned, such as {unknown[0]!r}",
            advice=f"The assignment of {assignment.experiment!r} has {len(assignment.arms):,} clusters.",
        )
    strata = assignment.strata
    return Assignment(
        experiment=assignment.experiment,
        salt=assignment.salt,
        arms={unit: assignment.arms[group] for unit, group in clusters.items()},
        allocation=assignment.allocation,
        method=assignment.method,
        clusters=clusters,
        strata=None if strata is None else {unit: strata[group] for unit, group in clusters.items()},
        held_out=assignment.held_out,
        details=assignment.details,
    )


def roster(
    units: Iterable[object] | Data, *, unit: str | None, columns: Sequence[str] = ()
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Read the ids of units and columns beside them, in the rows' own order.

    Raises
    ------
    DataError
        If `unit` is missing where `units` is a table, or there is no unit.

    Examples
    --------
    >>> import pandas as pd
    >>> roster(pd.DataFrame({"id": [1, 2], "region": ["n", "s"]}), unit="id", columns=["region"])[0]
    ['1', '2']
    """
    table: dict[str, np.ndarray] = {}
    if unit is not None:
        from cpi_experiments.measure.engine import read_columns  # noqa: PLC0415 - ids in a list need no engine

        table = read_columns(units, list(dict.fromkeys([unit, *columns])))  # type: ignore[arg-type] # it says what it takes
        values: Iterable[object] = table[unit]
    elif columns or isinstance(units, str) or hasattr(units, "columns"):
        raise DataError(
            f"`units` is a {type(units).__name__}" if not columns else f"column {columns[0]!r} needs a table",
            advice="For a table or a file name the column of the ids: unit='customer_id'.",
        )
    else:
        values = units  # type: ignore[assignment] # whatever can be iterated over
    ids = ids_of(values)
    if not ids:
        raise DataError("there is no unit to assign", advice="Give the ids of the randomised units.")
    return ids, {name: table[name] for name in columns}


def kept_units(ids: Iterable[str], *, holdout: Holdout | None, salt: str) -> tuple[list[str], int]:
    """Return every unit once, without those held out, and how many those are."""
    once = list(dict.fromkeys(ids))
    if holdout is None:
        return once, 0
    if holdout.hash_salt == salt:
        raise DesignError(f"the holdout and the experiment share the salt {salt!r}", advice="Give one of them another.")
    held = holdout.holds(once)
    kept = [unit for unit, out in zip(once, held, strict=True) if not out]
    if not kept:
        raise DataError(f"all {len(once):,} units are held out", advice="Nobody is left for the experiment.")
    return kept, len(once) - len(kept)


def _clusters(ids: Sequence[str], given: np.ndarray | Mapping[object, object] | None) -> dict[str, str] | None:
    if given is None:
        return None
    if hasattr(given, "items"):  # a mapping, or a Series by unit
        pairs = list(given.items())
        listed = dict(zip(ids_of(u for u, _ in pairs), ids_of((c for _, c in pairs), what="cluster"), strict=True))
        lost = [unit for unit in ids if unit not in listed]
        if lost:
            raise DataError(
                f"{len(lost):,} units have no cluster, such as {lost[0]!r}", advice="Add them to `cluster`."
            )
        return {unit: listed[unit] for unit in ids}
    return constant_of(ids, ids_of(given, what="cluster"), what="cluster")


def constant_of(ids: Sequence[str], values: Sequence[str], *, what: str) -> dict[str, str]:
    """Return the one value of every unit.

    Raises
    ------
    DataError
        If a unit has two.

    Examples
    --------
    >>> constant_of(["a", "b", "a"], ["x", "y", "x"], what="cluster")
    {'a': 'x', 'b': 'y'}
    """
    found: dict[str, str] = {}
    for unit, value in zip(ids, values, strict=True):
        if found.setdefault(unit, value) != value:
            raise DataError(
                f"unit {unit!r} is in {what} {found[unit]!r} and in {value!r}",
                advice=f"A unit belongs to one {what}: correct the rows, or choose the {what} before the start.",
            )
    return found
