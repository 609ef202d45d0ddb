"""One table under a contract: what counts as a known value, in SQL that every engine runs, and one way to ask."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from cpi_experiments.catalog.contract import Contract, check_contract
from cpi_experiments.errors import DataError, nearest
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.engines.files import literal
from cpi_experiments.measure.engines.source import Engine
from cpi_experiments.measure.indicators import moment
from cpi_experiments.measure.periods import bound
from cpi_experiments.measure.quality.findings import Finding

if TYPE_CHECKING:
    from datetime import date

    from cpi_experiments.catalog.contract import Code
    from cpi_experiments.measure.quality.findings import Severity

Family = Literal["number", "text", "time", "flag", "other"]
Key = tuple[str, ...]

_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_REALS = ("DOUBLE", "FLOAT", "REAL", "DECIMAL")
_ID_NAME = re.compile(
    r"(.*[_ ])?(id|ids|uuid|guid|key|code|zip|postcode|phone|number|no|row#|prefix)|.*[a-z](ID|Id|id)"
)
_OLDEST, _NEWEST = datetime(1950, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001 - local clocks
_MOST_AT_ONCE: Final = 400  # expressions in one SELECT: engines that compile queries slow down beyond


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedTable:
    """A table, what it promises, and the moment after the day of the analysis.

    Parameters
    ----------
    engine : Engine
    name : str
    types : mapping of column to type
        In DuckDB's words.
    contract : Contract
    end : str or None
        First moment after the day of the analysis.
    rows : int
    span : pair of datetime or None
        First and last local time, where the contract says whose clock shows them.
    """

    engine: Engine
    name: str
    types: Mapping[str, str]
    contract: Contract
    end: str | None
    rows: int
    span: tuple[datetime, datetime] | None = None

    def family(self, column: str) -> Family:
        """Return what a column is, by its type."""
        return family_of(self.types[column])

    def of_family(self, *families: Family) -> tuple[str, ...]:
        """Return the columns of some families, in the order of the table."""
        return tuple(column for column in self.types if self.family(column) in families)

    @property
    def local_columns(self) -> tuple[str, ...]:
        """The time columns that state no zone and show a clock, if the contract says whose."""
        if self.contract.time_zone in ("", "UTC"):
            return ()
        return tuple(c for c in self.types if self.types[c].startswith("TIMESTAMP") and "ZONE" not in self.types[c])

    def known(self, column: str) -> str:
        """Write the SQL of whether a value is there: not empty, not blank, not NaN, no code for missing."""
        name, kind = quote(column), self.family(column)
        parts = [f"{name} IS NOT NULL"]
        if kind == "text":
            parts.append(f"TRIM({name}) <> ''")
        if self.types[column] in ("DOUBLE", "FLOAT", "REAL"):
            parts.append(f"{name} <= CAST('Infinity' AS DOUBLE)")  # every engine orders NaN above infinity
        codes = self.contract.missing.get(column, ())
        if codes and kind in ("text", "number"):
            parts.append(f"NOT ({self.is_one_of(column, codes)})")
        return " AND ".join(parts)

    def is_one_of(self, column: str, codes: tuple[Code, ...]) -> str:
        """Write the SQL of whether a value is one of some levels; numbers are compared as numbers."""
        name = quote(column)
        if self.family(column) == "number":
            numbers = [value for code in codes if (value := _as_number(code)) is not None]
            return " OR ".join(f"{name} = {value}" for value in numbers) or "1 = 0"
        if self.family(column) == "text":
            return f"TRIM({name}) IN ({', '.join(literal(_as_text(code)) for code in codes)})"
        return f"LOWER(CAST({name} AS VARCHAR)) IN ({', '.join(literal(_as_text(code).lower()) for code in codes)})"

    def number(self, column: str) -> str:
        """Write the SQL of a known number as a double, NULL where it is missing or absurdly large."""
        value = f"CAST({quote(column)} AS DOUBLE)"
        return f"CASE WHEN {self.known(column)} AND ABS({value}) <= 1e150 THEN {value} END"

    def moment(self, column: str) -> str:
        """Write the SQL of a time as the contract's clock shows it."""
        zone = self.contract.time_zone or "UTC"
        return moment(self.engine, self.name, column, time_zone=zone)

    def is_id(self, column: str) -> bool:
        """Whether a column names things rather than measures them, by the contract or else by its name."""
        contract = self.contract
        if column in contract.kinds:
            return contract.kinds[column] == "text"
        told = {*contract.key, contract.entity, *contract.same_as, *contract.same_as.values(), *contract.references}
        return column in told or bool(_ID_NAME.fullmatch(column))

    def finding(
        self, rule: str, column: str, *, rows: float, found: str, advice: str, severity: Severity = "warning"
    ) -> Finding:
        """Make a finding about a column of this table."""
        return Finding(
            rule=rule,
            severity=severity,
            table=self.name,
            column=column,
            rows=int(rows),
            of=self.rows,
            found=found,
            advice=advice,
        )

    def means_number(self, column: str) -> bool:
        """Whether the contract uses a column as a number."""
        contract = self.contract
        counted = {*contract.ranges, *contract.units, *contract.rates, *contract.rates.values()}
        counted.update(each for columns in contract.not_all_zero for each in columns)
        return contract.kinds.get(column) == "number" or column in counted

    def means_time(self, column: str) -> bool:
        """Whether the contract uses a column as a time."""
        contract = self.contract
        if contract.kinds.get(column) == "time" or column in (contract.time, contract.recorded):
            return True
        partners = [pair[2 - i] for pair in contract.pairs for i in (0, 2) if pair[i] == column]
        return not self.means_number(column) and any(self.family(each) in ("time", "text") for each in partners)

    def ask(self, asked: Mapping[Key, str]) -> dict[Key, Any]:
        """Ask for many aggregates in one scan; missing answers are None."""
        keys = list(asked)
        answers: dict[Key, Any] = {}
        for start in range(0, len(keys), _MOST_AT_ONCE):
            part = keys[start : start + _MOST_AT_ONCE]
            listed = ", ".join(f"{asked[key]} AS a{i}" for i, key in enumerate(part))
            found = self.engine.query(f"SELECT {listed} FROM {quote(self.name)}")  # noqa: S608 - quoted
            answers |= {key: plain_value(found[f"a{i}"][0]) for i, key in enumerate(part)}
        return answers


def checked_table(engine: Engine, table: str, contract: Contract, as_of: str | date | None) -> CheckedTable:
    """Look at a table for the first time: the contract can be meant, and every column that it names is there.

    Raises
    ------
    CatalogError
        If the contract cannot be meant.
    DataError
        If the table or a column is missing; names the nearest.
    """
    check_contract(contract, where=f"the contract of {table!r}")
    types = dict(engine.columns(table))
    lost = [column for column in contract.columns if column not in types]
    if lost:
        where = ".".join(str(part) for part in contract.columns[lost[0]])
        listed = ", ".join(repr(column) for column in lost)
        found = f"column {listed} is missing" if len(lost) == 1 else f"columns {listed} are missing"
        near = nearest(lost[0], list(types))
        raise DataError(f"{found}, which `{where}` of the contract names", where=table, advice=near)
    rows = int(engine.query(f"SELECT COUNT(*) AS n FROM {quote(table)}")["n"][0])  # noqa: S608 - quoted
    end = bound(as_of, last=True, where="as_of")
    checked = CheckedTable(engine=engine, name=table, types=types, contract=contract, end=end, rows=rows)
    return replace(checked, span=_span(checked)) if checked.local_columns else checked


def _span(table: CheckedTable) -> tuple[datetime, datetime] | None:
    names = [(end, column) for column in table.local_columns for end in ("MIN", "MAX")]
    answers = table.ask({key: f"{key[0]}({quote(key[1])})" for key in names})
    times = [value.astype("datetime64[us]").item() for value in answers.values() if value is not None]
    known = [time for time in times if _OLDEST <= time <= _NEWEST]
    return (min(known), max(known)) if known else None


def family_of(kind: str) -> Family:
    """Sort a type, in DuckDB's words.

    Examples
    --------
    >>> family_of("DECIMAL(18,2)"), family_of("TIMESTAMP_NS"), family_of("VARCHAR"), family_of("BLOB")
    ('number', 'time', 'text', 'other')
    """
    if kind in _NUMBERS or kind.startswith(_REALS):
        return "number"
    if kind == "VARCHAR":
        return "text"
    if kind.startswith(("TIMESTAMP", "DATE")):
        return "time"
    return "flag" if kind == "BOOLEAN" else "other"


def count_if(condition: str) -> str:
    """Write the SQL that counts rows."""
    return f"SUM(CASE WHEN {condition} THEN 1 ELSE 0 END)"


def time_literal(text: str) -> str:
    """Write a moment for SQL."""
    return f"CAST({literal(text)} AS TIMESTAMP)"


def plain_value(value: Any) -> Any:  # noqa: ANN401 - any cell of a result
    """Turn one cell into a plain number, text or time; missing is None."""
    if hasattr(value, "dtype") and value.dtype.kind == "M":
        return None if str(value) == "NaT" else value
    if hasattr(value, "item"):
        value = value.item()
    return None if value is None or value != value else value  # noqa: PLR0124 - NaN differs from itself


def _as_number(code: Code) -> float | None:
    try:
        return float(code)
    except ValueError:
        return None


def _as_text(code: Code) -> str:
    return str(int(code)) if isinstance(code, float) and code.is_integer() else str(code)
