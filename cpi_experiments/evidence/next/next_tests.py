"""The plain door: from a table of links and levers to ranked tests."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import fields
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError, DesignError, kind_of, nearest
from cpi_experiments.evidence.next.option import LeverOption, rank, size_up, why_none, why_not
from cpi_experiments.evidence.next.result import STEPS, NextTests
from cpi_experiments.measure.engine import numeric, read_columns
from cpi_experiments.stats.judging.portfolio import alone_threshold, slots_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cpi_experiments.evidence.next.option import Scarce
    from cpi_experiments.evidence.next.result import NextTest
    from cpi_experiments.measure.engine import Data

_TEXT = ("link", "lever")
_NUMBERS = ("effect", "sd", "break_even", "unit_sd", "planned_move")
_PARTS = ("worth", "steps", "customers")
_OPTIONAL_TEXT = ("grade", "unit")
_OPTIONAL_NUMBERS = (
    "value", *_PARTS, "sesoi", "inert_chance", "per_day", "window_days", "cost", "new_lever", "estimate", "std_error",
    "population", "confirmed",
)  # fmt: skip
_DEFAULTS = {field.name: field.default for field in fields(LeverOption)}
_SCARCE = ("weeks", "customers")
_FAR = 1e50
_RANGES = (
    (("sd", "unit_sd", "planned_move", "sesoi", "per_day", "std_error"), (1 / _FAR, _FAR), "It is a size above zero."),
    (("population",), (1 / _FAR, math.inf), "It is a number of customers above zero."),
    (("value", *_PARTS, "window_days", "cost"), (0.0, _FAR), "It is a size, zero or more."),
    (("inert_chance", "new_lever", "confirmed"), (0.0, 1.0), "It lies between 0 and 1."),
)  # fmt: skip
#: No test is planned for longer.
MOST_WEEKS = 520
#: Grades of evidence, as verdicts have them.
_GRADES = ("A+", "A", "B", "C", "D")


def next_tests(
    table: Data,
    *,
    currency: str = "",
    scarce: Scarce = "weeks",
    most_weeks: float = 26.0,
    links: int | None = None,
    fdr: float = 0.10,
) -> NextTests:
    """Rank the tests that could be run next by the value of what they would tell.

    Parameters
    ----------
    table : DataFrame, or path of a Parquet or CSV file
        One row per link x lever with columns ``link, lever, effect, sd, break_even, unit_sd, planned_move``: posterior
        mean and standard deviation of the KPI effect per step (oriented so that the claimed sign is +), the effect
        from which one acts, the KPI's standard deviation between customers, and the steps by which the lever moves the
        CPI. Optional: ``value`` (worth of one KPI unit per step: worth of the KPI x attainable steps x customers) or
        its parts ``worth, steps, customers``; ``sesoi`` (for the verdict; the break-even), ``inert_chance`` (0),
        ``per_day`` (customers who enter a day), ``window_days`` (0), ``cost`` (to build the lever, 0), ``grade``
        (A+ to D, of the evidence so far), ``new_lever`` (0 or 1), ``confirmed`` (0 or 1: whether the link is confirmed,
        so that one acts on it today), ``estimate`` and ``std_error`` (of the trials so far, with which the judge will
        pool the test; an empty or infinite error means that there are none), ``population``, ``unit`` (of effects, for
        the sentences). An empty cell means the default.
    currency : str
        Unit of ``value``, for the sentences. Without ``value`` and its parts the worth of a test counts steps of
        break-even size that each customer gains, and ``cost`` cannot be taken off.
    scarce : {"weeks", "customers"}
        Rank by value per week, or per customer and week. Weeks suit a company that runs a few tests at a time;
        customers one whose tests compete for them (sizes are then small, and many tests do not settle a verdict).
    most_weeks : float
        No test may last longer, windows included.
    links, fdr : int, float
        Size and false discovery rate of the portfolio in which the links are judged; the links of the table.

    Returns
    -------
    NextTests
        One test a link, best first, each with its size, worth, and what each answer would make us do.

    Raises
    ------
    DataError
        If a column is missing or no number, a link and lever appear twice, or a number is outside its range.
    DesignError
        If an option is outside its range.

    Notes
    -----
    Expected value of sample information under a normal posterior and linear loss (Raiffa and Schlaifer, 1961), times
    the chance that the lever moves the CPI, less what the lever costs; the size has most value per week. A test that
    will be judged on its own is large enough to confirm 1.5 SESOI with power 0.8, if such a test fits ``most_weeks``.
    Within 5 % a new lever on a link of grade B goes first: it lifts the evidence to A.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({
    ...     "link": ["quote_hours -> win_rate", "plan_options -> purchases"], "lever": ["auto_quote", "plan_chooser"],
    ...     "effect": [0.004, 0.02], "sd": [0.003, 0.02], "break_even": [0.004, 0.12], "unit_sd": [0.45, 0.9],
    ...     "planned_move": [10.0, 3.0], "value": [3e6, 2e5], "per_day": [160, 85], "window_days": [28, 28]})
    >>> found = next_tests(table, currency="EUR")
    >>> [(test.link, test.n, round(test.weeks, 1)) for test in found.tests][0]
    ('quote_hours -> win_rate', 3200, 6.9)
    """
    check_options(scarce, most_weeks=most_weeks, fdr=fdr)
    if not isinstance(currency, str):
        raise DesignError(f"currency {currency!r} is {kind_of(currency)}", advice='Give its name, such as "EUR".')
    rows, in_money = _read(table)
    known = len({row["link"] for row in rows})
    _check_links(links, known)
    options = [_option(row, in_money=in_money) for row in rows]
    unpaced = [c for c in options if math.isnan(c.per_day)]
    if unpaced and len(unpaced) < len(options):
        raise DataError(
            f"per_day is missing in {len(unpaced)} of {len(options)} rows", where=f"link {unpaced[0].link!r}",
            advice="Give it for all of them or for none: tests with and without it cannot be ranked together.",
        )  # fmt: skip
    if not in_money and any(c.cost for c in options):
        raise DataError(
            "there is a cost, but no value to set it against", where="column cost",
            advice="Give `value`, or `worth`, `steps` and `customers`; or leave `cost` out.",
        )  # fmt: skip
    threshold = alone_threshold(fdr, slots_of(known if links is None else links))
    notes = []
    settle = scarce == "weeks"
    if unpaced:
        scarce = "customers"
        notes.append("Nobody said how many customers enter a day: sizes and ranks count customers, not weeks.")
    if not in_money:
        notes.append("No money is declared: values count steps of break-even size that each customer gains.")
    return ranked(
        options, currency=currency.strip() if in_money else "", in_money=in_money, scarce=scarce, settle=settle,
        most_weeks=most_weeks, threshold=threshold, notes=notes,
    )  # fmt: skip


def ranked(  # noqa: PLR0913 - what a ranking depends on, each named
    options: Iterable[LeverOption],
    *,
    currency: str,
    in_money: bool,
    scarce: Scarce,
    settle: bool,
    most_weeks: float,
    threshold: float,
    left_out: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> NextTests:
    """Size up and rank options; links for which there are too few customers are said to be so."""
    told_in = currency if in_money else STEPS
    sized: list[tuple[LeverOption, NextTest]] = []
    not_now: dict[str, dict[str, str]] = {}
    for option in options:
        test = size_up(option, scarce=scarce, settle=settle, most_weeks=most_weeks, threshold=threshold)
        if test is None:
            why = why_none(option, settle=settle, most_weeks=most_weeks, threshold=threshold, told_in=told_in)
        else:
            why = tuple(filter(None, [why_not(option, test, told_in)]))
        if test is not None and not why:
            sized.append((option, test))
        else:
            said = not_now.setdefault(option.link, {})
            for each in why:  # whatever a test says holds for the link: once is enough
                said.setdefault(each.partition(" whatever ")[0], each)
    testable = {option.link for option, _ in sized}
    return NextTests(
        tests=tuple(rank(sized)),
        left_out=(
            *left_out,
            *((link, " Also: ".join(why.values())) for link, why in not_now.items() if link not in testable),
        ),
        currency=currency,
        in_money=in_money,
        scarce=scarce,
        notes=tuple(notes),
    )


def check_options(scarce: str, *, most_weeks: float, fdr: float) -> None:
    """Refuse options outside their range.

    Raises
    ------
    DesignError
    """
    if scarce not in _SCARCE:
        raise DesignError(f"scarce {scarce!r} is not known", advice=nearest(scarce, list(_SCARCE)))
    if not (_is_number(most_weeks) and 0 < most_weeks <= MOST_WEEKS):
        raise DesignError(
            f"most_weeks {most_weeks!r} is not above 0 and at most {MOST_WEEKS}",
            advice="Give a number of weeks, windows included, such as 26.",
        )
    if not (_is_number(fdr) and 0 < fdr < 1):
        raise DesignError(f"fdr {fdr!r} is not between 0 and 1", advice="Give a rate, such as 0.1.")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _check_links(links: object, known: int) -> None:
    if links is None:
        return
    if not isinstance(links, int | np.integer) or isinstance(links, bool):
        raise DesignError(f"links {links!r} is no whole number", advice=f"Give {known} or more, or leave it out.")
    if links < known:
        raise DesignError(f"{known} links do not fit a portfolio of {links}", advice="Leave `links` out.")


def _read(table: Data) -> tuple[list[dict[str, Any]], bool]:
    columns = read_columns(table, [*_TEXT, *_NUMBERS], optional=[*_OPTIONAL_TEXT, *_OPTIONAL_NUMBERS])
    if ("estimate" in columns) != ("std_error" in columns):
        raise DataError("of the columns estimate and std_error only one is given", advice="Give both or none.")
    given = [name for name in _PARTS if name in columns]
    if given and "value" in columns:
        raise DataError(f"column value stands beside {', '.join(given)}", advice="Give the value or its parts.")
    if given and len(given) < len(_PARTS):
        missing = ", ".join(name for name in _PARTS if name not in columns)
        raise DataError(f"column {missing} is missing", advice=f"A value has three parts: {', '.join(_PARTS)}.")
    numbers = {name: _numbers(columns, name) for name in (*_NUMBERS, *_OPTIONAL_NUMBERS) if name in columns}
    rows = []
    for i in range(len(columns["link"])):
        row: dict[str, Any] = {name: _text(columns[name][i]) for name in (*_TEXT, *_OPTIONAL_TEXT) if name in columns}
        row |= {name: float(values[i]) for name, values in numbers.items()}
        rows.append({name: value for name, value in row.items() if name not in _OPTIONAL_NUMBERS or value == value})  # noqa: PLR0124 - NaN
        _check(rows[-1])
    (link, lever), times = Counter((row["link"], row["lever"]) for row in rows).most_common(1)[0]
    if times > 1:
        raise DataError(
            f"link {link!r} with lever {lever!r} appears {times} times", advice="Give one row per link and lever."
        )
    return rows, bool(given) or "value" in columns


def _numbers(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Read a column of numbers; an error or a population may be infinite, which is the default."""
    values = columns[name]
    if name in ("std_error", "population") and values.dtype.kind == "f":
        values = np.where(np.isposinf(values), np.nan, values)
    return numeric({name: values}, name)


def _text(value: Any) -> str:  # noqa: ANN401 - whatever the column held
    return "" if value is None or value != value else str(value).strip()  # noqa: PLR0124 - true for NaN only


def _check_words(row: Mapping[str, Any], where: str) -> None:
    if not (row["link"] and row["lever"]):
        raise DataError("a link or lever without a name", where=where, advice="Name both.")
    grade = row.get("grade", "")
    if grade and grade not in _GRADES:
        raise DataError(f"grade {grade!r} is not known", where=where, advice=f"Grades: {', '.join(_GRADES)}, or empty.")


def _check(row: Mapping[str, Any]) -> None:
    where = f"link {row['link']!r}, lever {row['lever']!r}"
    _check_words(row, where)
    missing = [name for name in _NUMBERS if math.isnan(row[name])]
    if missing:
        raise DataError(f"{', '.join(missing)} missing", where=where, advice="Fill it in, or leave the row out.")
    for names, (least, most), advice in _RANGES:
        for name in names:
            value = row.get(name, most)
            if not least <= value <= most:
                raise DataError(f"{name} is {value:g}", where=where, advice=advice)
    if not row.get("sesoi", row["break_even"]) > 0:
        raise DataError(
            f"break_even is {row['break_even']:g} and there is no sesoi", where=where,
            advice="Give `sesoi`, a size above zero: the verdict needs it.",
        )  # fmt: skip
    if "std_error" in row and "estimate" not in row:
        raise DataError("there is a std_error, but no estimate", where=where, advice="Give both or none.")


def _option(row: Mapping[str, Any], *, in_money: bool) -> LeverOption:
    where = f"link {row['link']!r}, lever {row['lever']!r}"
    sesoi = row.get("sesoi", row["break_even"])
    if in_money:
        parts = [row.get("value", math.nan)] if "value" in row else [row.get(name, math.nan) for name in _PARTS]
        value = math.prod(parts)
        if math.isnan(value):
            raise DataError("value missing", where=where, advice="Fill it in, or leave the column out for all rows.")
    else:
        value = 1 / sesoi
    unit = row.get("unit", "")
    plain = {name: row[name] for name in ("link", "lever", *_NUMBERS)}
    optional = {
        name: row.get(name, _DEFAULTS[name])
        for name in ("inert_chance", "per_day", "window_days", "cost", "grade", "estimate", "std_error", "population")
    }
    return LeverOption(
        **plain, **optional, sesoi=sesoi, value=value, new_lever=bool(row.get("new_lever", 0.0)),
        confirmed=bool(row.get("confirmed", 0.0)), unit=f" {unit}" if unit else "",
    )  # fmt: skip
