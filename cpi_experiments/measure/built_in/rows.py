"""The rows that a level is made of: what each is worth, whose it is, which group it belongs to, and what was lost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.measure.columns import LARGEST
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.engines.source import Engine

if TYPE_CHECKING:
    from collections.abc import Sequence


Array = np.ndarray
Label = str | int | float | bool | None
#: Labels of one group, in the order of its columns.
Key = tuple[Label, ...]
Dropped = tuple[tuple[str, int], ...]

MAX_GROUPS: Final = 10_000
MAX_SHARE_BAD: Final = 0.01
MAX_SHARE_NULL_ENTITY: Final = 0.05
_FINE, _CAPPED = "", "capped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group of rows: how many are usable, and why the others are not.

    Parameters
    ----------
    key : tuple
    n : int
        Usable rows.
    mean : float
        Their mean, roughly; NaN without any.
    dropped : tuple of (reason, rows)
    """

    key: Key
    n: int
    mean: float
    dropped: Dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of a table, read as one indicator.

    Parameters
    ----------
    engine : Engine
    table : str
    by : mapping of name to SQL
        Groups.
    value : str
        SQL of a row's worth as a double, not yet capped.
    entity : str
        Column of the customer (or employee); empty if every row is one.
    at : str
        SQL of the time, empty if times do not matter.
    where : str
        SQL of the rows that count.
    cap : float or None
    is_duration : bool
        Whether a value below zero is impossible.
    before : str
        SQL of the moment from which on rows are later than asked for; empty for none.
    """

    engine: Engine
    table: str
    by: Mapping[str, str]
    value: str
    entity: str = ""
    at: str = ""
    where: str = "TRUE"
    cap: float | None = None
    is_duration: bool = False
    before: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the group columns in SQL: ``g0, g1, ...``."""
        return tuple(f"g{i}" for i in range(len(self.by)))

    def listed(self, *more: str, of: str = "") -> str:
        """Write the group columns and more, for SELECT; ``of`` is the table they belong to."""
        return ", ".join([*(f"{of}.{key} AS {key}" if of else key for key in self.keys), *more])

    def grouped(self, *more: str) -> str:
        """Write GROUP BY with the group columns and more; nothing where there is none."""
        names = [*self.keys, *more]
        return f" GROUP BY {', '.join(names)}" if names else ""

    @property
    def sql(self) -> str:
        """SELECT of the usable rows: ``g0, ..., e, t, v``."""
        known = "".join(f" AND {key} IS NOT NULL" for key in self.keys)
        usable = f"state IN ('{_FINE}', '{_CAPPED}'){known}"
        return f"SELECT {self.listed('e', 't', 'v')} FROM ({self._read()}) AS seen WHERE {usable}"  # noqa: S608 - quoted

    def _read(self) -> str:
        groups = [f"{text} AS g{i}" for i, text in enumerate(self.by.values())]
        entity = label_sql(self.engine, self.table, self.entity) if self.entity else "0"
        columns = ", ".join([*groups, f"{entity} AS e", f"{self.at or 'NULL'} AS t", f"{self.value} AS x"])
        seen = f"SELECT {columns} FROM {quote(self.table)} WHERE {self.where}"  # noqa: S608 - quoted
        worth = (
            f"CASE WHEN x > {float(self.cap)!r} THEN {float(self.cap)!r} ELSE x END" if self.cap is not None else "x"
        )
        return f"SELECT {self.listed('e', 't', f'{worth} AS v', f'{self._state()} AS state')} FROM ({seen}) AS raw"  # noqa: S608 - quoted

    def _state(self) -> str:
        """Write the SQL that names the first reason why a row cannot be used."""
        tests = [("e IS NULL", "entity")] if self.entity else []
        tests += [("t IS NULL", "time")] if self.at else []
        tests += [(f"t >= {self.before}", "late")] if self.before else []
        tests += [("x IS NULL OR isnan(x)", "value"), (f"abs(x) > {LARGEST!r}", "infinite")]
        tests += [("x < 0", "negative")] if self.is_duration else []
        tests += [(f"x > {float(self.cap)!r}", _CAPPED)] if self.cap is not None else []
        return f"CASE {' '.join(f'WHEN {test} THEN {name!r}' for test, name in tests)} ELSE '{_FINE}' END"

    def run(self, sql: str) -> dict[Key, dict[str, float]]:
        """Run a query that returns one row a group; numbers by group and column."""
        found = self.engine.query(sql)
        names = [name for name in found if name not in self.keys]
        keys = keys_of(found, self.keys)
        return {key: {name: float(found[name][row]) for name in names} for row, key in enumerate(keys)}

    def count(self) -> tuple[tuple[Group, ...], Dropped]:
        """Count the usable rows of every group and the others by reason.

        Returns
        -------
        groups, dropped
            In order of the labels; and the rows that belong to no group.

        Raises
        ------
        DataError
            If no row is usable, more than 5% name no customer, more than 1% are impossible, or there are too many
            groups.
        """
        mean = "avg(CASE WHEN state IN ('', 'capped') THEN v END) AS mean"
        sql = f"SELECT {self.listed('state', 'count(*) AS n', mean)} FROM ({self._read()}) AS seen"  # noqa: S608 - quoted
        order = ", ".join([*self.keys, "state"])
        found = self.engine.query(f"{sql}{self.grouped('state')} ORDER BY {order} LIMIT {8 * MAX_GROUPS + 8}")
        per_group: dict[Key, dict[str, tuple[int, float]]] = {}
        for row, key in enumerate(keys_of(found, self.keys)):
            per_group.setdefault(key, {})[str(found["state"][row])] = (
                int(found["n"][row]),
                float(found["mean"][row]),
            )
        self._check(per_group)
        unknown = dict.fromkeys(self.by, 0)
        groups = []
        for key, states in per_group.items():
            missing = next((name for name, label in zip(self.by, key, strict=True) if label is None), None)
            if missing is not None:
                unknown[missing] += sum(n for n, _ in states.values())
                continue
            groups.append(self._group(key, states))
        if not any(group.n for group in groups):
            raise self._nothing(groups)
        return tuple(groups), tuple((f"without {name}", n) for name, n in unknown.items() if n)

    def _group(self, key: Key, states: Mapping[str, tuple[int, float]]) -> Group:
        usable = [states[name] for name in (_FINE, _CAPPED) if name in states]
        n = sum(count for count, _ in usable)
        mean = sum(count * mean for count, mean in usable) / n if n else float("nan")
        reasons = self._reasons()
        return Group(
            key=key,
            n=n,
            mean=mean,
            dropped=tuple((reasons[name], states[name][0]) for name in reasons if name in states),
        )

    def _reasons(self) -> dict[str, str]:
        return {
            "entity": f"without {self.entity}",
            "time": "without a time",
            "late": "later than as_of",
            "value": "without a value",
            "infinite": "infinite or absurdly large",
            "negative": "negative duration",
            _CAPPED: f"capped at {self.cap:g}" if self.cap is not None else "capped",
        }

    def _check(self, per_group: Mapping[Key, Mapping[str, tuple[int, float]]]) -> None:
        total = sum(n for states in per_group.values() for n, _ in states.values())
        if len(per_group) > MAX_GROUPS:
            raise DataError(
                f"{', '.join(self.by)} make more than {MAX_GROUPS:,} groups",
                advice="Group by something with fewer labels; `entity` says whose a row is.",
            )
        limits = {"entity": MAX_SHARE_NULL_ENTITY, "infinite": MAX_SHARE_BAD, "negative": MAX_SHARE_BAD}
        for name, limit in limits.items():
            n = sum(states[name][0] for states in per_group.values() if name in states)
            if n > limit * total:
                raise DataError(
                    f"{n:,} of {total:,} rows are {self._reasons()[name]}, more than {100 * limit:g}%",
                    advice="A few such rows are set aside and counted; this many are a defect: correct the export.",
                )

    def _nothing(self, groups: Sequence[Group]) -> DataError:
        lost: dict[str, int] = {}
        for reason, n in (each for group in groups for each in group.dropped):
            lost[reason] = lost.get(reason, 0) + n
        why = "; ".join(f"{n:,} {reason}" for reason, n in lost.items()) or "no row meets the filter"
        return DataError(f"no value is left: {why}", advice="Look at the columns, or at the filter.")


def keys_of(found: Mapping[str, Array], keys: Sequence[str]) -> list[Key]:
    """Read the labels of the groups, one tuple a row of the result; None where a label is missing.

    Examples
    --------
    >>> keys_of({"g0": np.array([1.0, 2.0]), "n": np.array([3, 4])}, ["g0"])
    [(1,), (2,)]
    """
    rows = len(next(iter(found.values()))) if found else 0
    columns = [[_label(value) for value in found[key]] for key in keys]
    return list(zip(*columns, strict=True)) if columns else [()] * rows


def _label(value: object) -> Label:
    if isinstance(value, np.datetime64):
        day = value.astype("datetime64[D]")
        return None if np.isnat(value) else str(day if day == value else value)
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, float):
        return None if math.isnan(plain) else int(plain) if plain.is_integer() else plain
    return plain if isinstance(plain, str | int | bool) or plain is None else str(plain)


def label_sql(engine: Engine, table: str, column: str) -> str:
    """Write a column as a label: NaN and empty texts are missing.

    Raises
    ------
    DataError
        If there is no such column.
    """
    kind, name = engine.type_of(table, column), quote(column)
    if kind == "VARCHAR":
        return f"nullif({name}, '')"
    return f"CASE WHEN isnan({name}) THEN NULL ELSE {name} END" if kind in ("DOUBLE", "FLOAT") else name
