"""What the rows of one table must look like: keys, kinds, ranges, levels, times, and how many rows may break a rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Final, Literal
from zoneinfo import ZoneInfo

from cpi_experiments.catalog.findings import raise_all
from cpi_experiments.display import Displayed
from cpi_experiments.errors import CatalogError, CpiError

Kind = Literal["number", "text", "time", "flag"]
Unit = Literal["fraction", "percent", "second", "minute", "hour", "day"]
Code = str | int | float
#: Where in a contract something stands, what is wrong with it, and what to do.
Problem = tuple[tuple[str | int, ...], str, str]

ORDERING: Final = re.compile(r"\s*(\S.*?)\s*(<=|<)\s*(\S.*?)\s*")
_BY_COLUMN = ("same_as", "required_when", "kinds", "units", "ranges", "levels", "missing", "rates", "references")
_REFERENCE = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,63})\.(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Lowest and highest value that can be true; either end may be open.

    Parameters
    ----------
    low, high : float, optional
        Both belong to the range.
    """

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Largest share of rows that may break a rule; more is an error, fewer are set aside and counted.

    Parameters
    ----------
    future : float
        Rows after the day of the analysis.
    early : float
        Rows before the first day that can be true.
    negative : float
        Rows whose times are in the wrong order.
    null_id : float
        Rows without key or person.
    missing : float
        Rows without a value that is required.
    range, level : float
        Rows outside a range, or with a level that is not listed.
    repeated : float
        Rows that repeat another one in every column.
    reference : float
        Rows that name something the other table does not hold.
    same_as : float
        Persons with several ids, or ids with several persons.
    """

    future: float = 0.001
    early: float = 0.001
    negative: float = 0.01
    null_id: float = 0.05
    missing: float = 0.05
    range: float = 0.0
    level: float = 0.0
    repeated: float = 0.01
    reference: float = 0.01
    same_as: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract(Displayed):
    """What a table promises; everything may be left out, and only what is said is required.

    Parameters
    ----------
    key : tuple of str
        Columns that together are unique.
    entity : str
        Column that names the person or account.
    same_as : mapping of column to column
        Two ids of one thing: each value of the one goes with one value of the other.
    required : tuple of str
        Columns that hold a value in every row.
    required_when : mapping of column to {column: levels}
        The first column holds a value where the others have one of these levels.
    kinds : mapping of column to kind
        ``number``, ``text`` (ids are texts), ``time`` or ``flag``.
    units : mapping of column to unit
        ``fraction``, ``percent``, ``second``, ``minute``, ``hour`` or ``day``.
    ranges : mapping of column to Range
        Values that can be true.
    not_all_zero : tuple of tuple of str
        Columns that are never zero all at once, such as the nights of a stay.
    levels : mapping of column to tuple
        Every level that is allowed.
    missing : mapping of column to tuple
        Codes that stand for "not known", such as -1 or ``Undefined``.
    rates : mapping of column to column
        Count to the exposure that it is divided by.
    time, recorded : str
        When the row happened, and when it reached the table.
    earliest, latest : date, optional
        First and last day that can be true.
    time_zone : str
        Whose clock times without a zone show.
    gap_times : {"refuse", "later", "set_aside"}
        What becomes of local times that the clock skipped: an error, one hour later, or set aside.
    orderings : tuple of str
        Such as ``purchased_at <= delivered_at``.
    references : mapping of column to ``table.column``
        Values that the other table must hold.
    repeated_rows : {"", "copies", "events"}
        What rows are that repeat another one in every column: copies, which count once, or events without an id.
        Undeclared, a few count as copies and many are an error.
    outcome : str
        Column that nothing else in the table may give away.
    public : tuple of str
        Columns whose levels may be shown in findings; the words of all other columns never are.
    limits : Limits
        Largest share of rows that may break a rule.

    Examples
    --------
    >>> contract = Contract(key=("order_id",), orderings=("bought_at <= delivered_at",))
    >>> contract.pairs
    (('bought_at', '<=', 'delivered_at'),)
    >>> problems_of(Contract(orderings=("bought_at before delivered_at",)))[0][1]
    "'bought_at before delivered_at' is not an ordering"
    """

    key: tuple[str, ...] = ()
    entity: str = ""
    same_as: Mapping[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    required_when: Mapping[str, Mapping[str, tuple[Code, ...]]] = field(default_factory=dict)
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    units: Mapping[str, Unit] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    not_all_zero: tuple[tuple[str, ...], ...] = ()
    levels: Mapping[str, tuple[Code, ...]] = field(default_factory=dict)
    missing: Mapping[str, tuple[Code, ...]] = field(default_factory=dict)
    rates: Mapping[str, str] = field(default_factory=dict)
    time: str = ""
    recorded: str = ""
    earliest: date | None = None
    latest: date | None = None
    time_zone: str = ""
    gap_times: Literal["refuse", "later", "set_aside"] = "refuse"
    orderings: tuple[str, ...] = ()
    references: Mapping[str, str] = field(default_factory=dict)
    repeated_rows: Literal["", "copies", "events"] = ""
    outcome: str = ""
    public: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    @property
    def pairs(self) -> tuple[tuple[str, str, str], ...]:
        """The orderings as (earlier column, ``<=`` or ``<``, later column)."""
        found = (ORDERING.fullmatch(text) for text in self.orderings)
        return tuple((match[1], match[2], match[3]) for match in found if match)

    @property
    def foreign(self) -> dict[str, tuple[str, str]]:
        """The references as column to (table, column)."""
        found = {column: _REFERENCE.fullmatch(text) for column, text in self.references.items()}
        return {column: (match[1], match[2]) for column, match in found.items() if match}

    @property
    def columns(self) -> dict[str, tuple[str | int, ...]]:
        """Every column that is named, and where in the contract it first stands."""
        found: dict[str, tuple[str | int, ...]] = {}
        for name in ("key", "required", "public"):
            _note(found, {(name, i): column for i, column in enumerate(getattr(self, name))})
        _note(found, {(name,): getattr(self, name) for name in ("entity", "time", "recorded", "outcome")})
        for name in _BY_COLUMN:
            _note(found, {(name, column): column for column in getattr(self, name)})
        for name in ("same_as", "rates"):
            _note(found, {(name, column): other for column, other in getattr(self, name).items()})
        _note(found, {("required_when", c, other): other for c, when in self.required_when.items() for other in when})
        for i, columns in enumerate(self.not_all_zero):
            _note(found, {("not_all_zero", i, k): column for k, column in enumerate(columns)})
        for i, text in enumerate(self.orderings):
            match = ORDERING.fullmatch(text)
            if match:
                _note(found, {("orderings", i): match[1]})
                _note(found, {("orderings", i): match[3]})
        return found

    def _title(self) -> str:
        nothing = Contract()
        said = [each.name for each in fields(self) if getattr(self, each.name) != getattr(nothing, each.name)]
        return f"contract: {', '.join(said) or 'nothing is required'}"


def _note(found: dict[str, tuple[str | int, ...]], named: Mapping[tuple[str | int, ...], str]) -> None:
    for place, column in named.items():
        if column:
            found.setdefault(column, place)


def problems_of(contract: Contract) -> list[Problem]:
    """Say everything about a contract that cannot be meant.

    Returns
    -------
    list of (place, found, advice)
        The place is the path of keys inside the contract.
    """
    return [*_wrong_words(contract), *_wrong_numbers(contract), *_contradictions(contract)]


def errors_of(contract: Contract, where: Callable[..., str]) -> list[CpiError]:
    """Turn everything wrong with a contract into errors; ``where`` names file and line of a path of keys."""
    return [
        CatalogError(f"`{'.'.join(str(part) for part in place)}`: {text}", where=where(*place), advice=advice)
        for place, text, advice in problems_of(contract)
    ]


def check_contract(contract: Contract, *, where: str) -> None:
    """Refuse a contract that cannot be meant.

    Raises
    ------
    CatalogError
        With every finding.
    """
    raise_all(_mistyped(contract, where) or errors_of(contract, lambda *_: where))


def _mistyped(contract: Contract, where: str) -> list[CpiError]:
    """Find values of a contract made in Python that the YAML loader would refuse, such as unknown words."""
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - only contracts made in Python need it

    said = {each.name: getattr(contract, each.name) for each in fields(contract)}
    try:
        TypeAdapter(Contract).validate_python(said)
    except ValidationError as error:
        return [
            CatalogError(
                f"`{'.'.join(map(str, problem['loc']))}` of the contract: {problem['msg'].lower()}",
                where=where,
                advice="See Contract for what each part takes.",
            )
            for problem in error.errors()
        ]
    return []


def _wrong_words(contract: Contract) -> list[Problem]:
    found: list[Problem] = [
        (("orderings", i), f"{text!r} is not an ordering", "Write `earlier_column <= later_column`.")
        for i, text in enumerate(contract.orderings)
        if not ORDERING.fullmatch(text)
    ]
    found += [
        (("references", column), f"{text!r} is not a column of a table", "Write `table.column`.")
        for column, text in contract.references.items()
        if not _REFERENCE.fullmatch(text)
    ]
    if contract.time_zone and not _zone_exists(contract.time_zone):
        found.append((("time_zone",), f"{contract.time_zone!r} is not a time zone", "Write it like Europe/Berlin."))
    lists = {name: getattr(contract, name) for name in ("key", "required", "public", "orderings")}
    found += [
        ((name, i), f"{value!r} stands twice", "Write it once.")
        for name, values in lists.items()
        for i, value in enumerate(values)
        if value in values[:i]
    ]
    return found


def _wrong_numbers(contract: Contract) -> list[Problem]:
    found: list[Problem] = []
    for column, span in contract.ranges.items():
        if span.low is None and span.high is None:
            found.append((("ranges", column), "the range has no end", "Write {low: 0}, {high: 10} or both."))
        elif span.low is not None and span.high is not None and span.low > span.high:
            found.append((("ranges", column), f"low {span.low:g} is above high {span.high:g}", "Swap them."))
    for each in fields(contract.limits):
        share = getattr(contract.limits, each.name)
        if not 0 <= share <= 1:
            advice = f"Write a share: {share / 100:g} is {share:g}%." if 1 < share <= 100 else "Write 0.01 for 1%."
            found.append((("limits", each.name), f"{share:g} is not between 0 and 1", advice))
    if contract.earliest and contract.latest and contract.earliest > contract.latest:
        found.append((("earliest",), f"{contract.earliest} is after latest, {contract.latest}", "Swap them."))
    return found


def _contradictions(contract: Contract) -> list[Problem]:
    found: list[Problem] = [
        ((name,), "there is no `time` to compare it with", "Name the time column: `time: ...`.")
        for name in ("earliest", "latest", "recorded")
        if getattr(contract, name) and not contract.time
    ]
    found += [
        ((name, column), "the list is empty", "Name at least one, or leave it out.")
        for name in ("levels", "missing")
        for column, codes in getattr(contract, name).items()
        if not codes
    ]
    found += [
        (place, f"{column!r} is compared with itself", "Name two columns.")
        for place, column, other in _compared(contract)
        if column == other
    ]
    found += [
        (("kinds", column), f"{contract.kinds[column]!r} has no range, unit or rate", "Write `number`.")
        for column in sorted({*contract.ranges, *contract.units, *contract.rates})
        if contract.kinds.get(column, "number") != "number"
    ]
    return found


def _compared(contract: Contract) -> list[tuple[tuple[str | int, ...], str, str]]:
    pairs: list[tuple[tuple[str | int, ...], str, str]] = [
        ((name, column), column, other)
        for name in ("same_as", "rates")
        for column, other in getattr(contract, name).items()
    ]
    return [*pairs, *((("orderings",), earlier, later) for earlier, _, later in contract.pairs)]


def _zone_exists(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
