"""The table of effects as a script brings it: read row by row, checked, and turned into cases."""

from __future__ import annotations

import math
import re
from datetime import date
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError, DesignError, nearest
from cpi_experiments.estimate import EffectPair
from cpi_experiments.evidence.case import SINGLE, Case, Trialed, broken
from cpi_experiments.measure.arrays import columns_of_frame
from cpi_experiments.measure.engine import numeric, read_columns
from cpi_experiments.stats.judging.look_plan import look_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.stats.judging.look_plan import LookPlan

TEXT = ("link", "experiment", "lever")
PAIR = ("effect_cpi", "effect_kpi", "var_cpi", "var_kpi", "cov")
NUMBERS = (*PAIR, "sesoi", "expected_sign")
OPTIONAL_TEXT = ("looks", "looked_at", "quarter", "holdout", "projected", "blocked", "overlaps", "bundle")
OPTIONAL_NUMBERS = ("lever_sign", "planned_move", "df", "orientation")
_DEFAULTS = {"lever_sign": 1.0, "planned_move": 1.0, "df": math.inf, "orientation": 0.0}
_QUARTER = re.compile(r"(\d{4})-?Q([1-4])")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_ONE_WAY = "Use quarters like 2026Q4, or days like 2026-12-31, or whole numbers."
_YES, _NO = ("yes", "true", "1"), ("no", "false", "0", "")

Rows = list[dict[str, Any]]


def quarter_number(text: str, *, where: str = "") -> int:
    """Count quarters: year x 4 + quarter - 1, so that the next one is one more.

    Raises
    ------
    DataError
        If it is not written like ``2026Q4``.

    Examples
    --------
    >>> quarter_number("2027Q1") - quarter_number("2026Q4")
    1
    """
    match = _QUARTER.fullmatch(text)
    if not match:
        raise DataError(f"{text!r} is not a quarter", where=where, advice="Write it like 2026Q4.")
    return 4 * int(match.group(1)) + int(match.group(2)) - 1


def cases_of(rows: Rows, *, as_of: str | None = None) -> tuple[dict[str, Case], tuple[str, ...]]:
    """Build one case a link, in order of appearance, and return the labels of the judging steps beside them.

    Parameters
    ----------
    rows : list of dict
        From `read_rows`.
    as_of : str, optional
        Quarter that is judged; the latest of the table by default. Experiments of later quarters are not known yet.

    Raises
    ------
    DataError
        If sizes of a link differ between its rows, a row appears twice, or ``as_of`` is given without quarters.
    """
    now = _now(rows, as_of)
    labels = tuple(sorted({row["looked_at"] for row in rows if _known(row, now)}, key=_order))
    step = {label: i for i, label in enumerate(labels)}
    links: dict[str, Rows] = {}
    for row in rows:
        links.setdefault(row["link"], []).append(row)
    return {link: _case(link, mine, step, now) for link, mine in links.items()}, labels or ("",)


def _known(row: Mapping[str, Any], now: int | None) -> bool:
    """Whether a row was known in the quarter that is judged: its window had closed and it had been looked at."""
    if now is None:
        return True
    looked = _order(row["looked_at"])
    return (row["quarter"] is None or row["quarter"] <= now) and not (looked[0] == "quarter" and looked[1] > now)


def read_rows(table: Data) -> Rows:
    """Read and check the rows of a table of effects.

    Raises
    ------
    DataError
        If a column is missing or no number, or a row cannot be.
    """
    needed, optional = [*TEXT, *NUMBERS], [*OPTIONAL_TEXT, *OPTIONAL_NUMBERS]
    frame: Any = table
    if hasattr(frame, "iloc") and len(frame) == 0:
        columns_of_frame(frame, needed, optional)  # an empty portfolio still has its columns
        return []
    _check_names(getattr(frame, "columns", ()), [*needed, *optional])
    columns = read_columns(table, needed, optional=optional)
    plain = (*NUMBERS, "lever_sign", "planned_move", "orientation")
    numbers = {name: numeric(columns, name) for name in plain if name in columns}
    if "df" in columns:
        numbers["df"] = _degrees(columns["df"])
    rows = [_row(columns, numbers, i) for i in range(len(columns["link"]))]
    _check_looks(rows)
    known = {row["experiment"] for row in rows}
    for row in rows:
        unknown = sorted(_partners(row) - known)
        if unknown:
            raise DataError(
                f"overlaps with experiment {unknown[0]!r}, which is not in the table",
                where=_where(row),
                advice=nearest(unknown[0], sorted(known)),
            )
    return rows


def _check_names(names: Iterable[Any], known: list[str]) -> None:
    """Refuse a column whose name is nearly that of an optional one: it would be ignored, and a default taken."""
    for name in names:
        close = [] if name in known else get_close_matches(str(name), [*OPTIONAL_TEXT, *OPTIONAL_NUMBERS], cutoff=0.85)
        if close:
            raise DataError(f"column {str(name)!r} is not used", advice=f"Did you mean {close[0]!r}?")


def _row(columns: Mapping[str, Any], numbers: Mapping[str, np.ndarray], i: int) -> dict[str, Any]:
    row: dict[str, Any] = {name: _text(columns[name][i]) for name in (*TEXT, *OPTIONAL_TEXT) if name in columns}
    for name in (*NUMBERS, *OPTIONAL_NUMBERS):
        value = float(numbers[name][i]) if name in numbers else _DEFAULTS[name]
        row[name] = _DEFAULTS[name] if name in _DEFAULTS and math.isnan(value) else value
    _check_row(row)
    where = _where(row)
    quarter = row.get("quarter", "")
    row["looked_at"] = row.get("looked_at", "") or quarter
    row["quarter"] = quarter_number(quarter, where=where) if quarter else None
    row["holdout"] = _yes(row.get("holdout", ""), where)
    projected = row.get("projected", "")
    if projected and not _is_day(projected):
        raise DataError(
            f"projected is {projected!r}",
            where=where,
            advice="Give the day on which the KPI is known: 2027-03-31.",
        )
    row["projected"] = projected
    return row


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _where(row: Mapping[str, Any]) -> str:
    return f"link {row['link']!r}, experiment {row['experiment']!r}"


def _yes(text: str, where: str) -> bool:
    word = text.lower().removesuffix(".0")
    if word not in (*_YES, *_NO):
        raise DataError(f"holdout is {text!r}", where=where, advice="Write yes or no.")
    return word in _YES


def _check_looks(rows: Rows) -> None:
    """Judging steps are told for every row or for none, and in one way, or they could not be put in order."""
    told = [row for row in rows if row["looked_at"]]
    if told and len(told) < len(rows):
        silent = next(row for row in rows if not row["looked_at"])
        raise DataError(
            f"looked_at is empty in {len(rows) - len(told)} of {len(rows)} rows", where=_where(silent),
            advice="Give every row the look at which it counted first, or none.",
        )  # fmt: skip
    kinds = {_order(row["looked_at"])[0] for row in told}
    if len(kinds) > 1:
        raise DataError(
            "looked_at is written in different ways, so the looks cannot be put in order: "
            f"{sorted({row['looked_at'] for row in told})[:4]}",
            advice=_ONE_WAY,
        )


def _order(label: str) -> tuple[str, float, str]:
    """Key that sorts quarters, days and numbers in time."""
    if _QUARTER.fullmatch(label):
        return "quarter", quarter_number(label), ""
    if _DAY.fullmatch(label):
        return "day", 0, label
    if re.fullmatch(r"\d{1,9}", label):
        return "number", int(label), ""
    if not label:
        return "none", 0, ""
    raise DataError(f"looked_at {label!r} is no look", advice=_ONE_WAY)


def _now(rows: Rows, as_of: str | None) -> int | None:
    told = [row["quarter"] for row in rows if row["quarter"] is not None]
    if as_of is not None and not isinstance(as_of, str):
        raise DataError(f"as_of is {as_of!r}", advice="Write a quarter like 2026Q4.")
    if as_of is None:
        return max(told, default=None)
    if not told:
        raise DataError("as_of needs the column quarter", advice="Say in which quarter each KPI window closed.")
    return quarter_number(as_of)


def _degrees(values: np.ndarray) -> np.ndarray:
    """Degrees of freedom; unlike other numbers they may be infinite."""
    if values.dtype.kind == "f":
        values = np.where(np.isposinf(values), np.nan, values)  # the default is infinite
    return numeric({"df": values}, "df")


def _check_row(row: Mapping[str, Any]) -> None:
    checks = (
        (not all(row[name] for name in TEXT), "a link, experiment or lever without a name", "Name all three."),
        (not row["sesoi"] > 0, f"sesoi is {row['sesoi']}", "It is a size above zero, in KPI units per increment."),
        (row["expected_sign"] not in (-1, 1), f"expected_sign is {row['expected_sign']}", "Give +1 or -1."),
        (row["lever_sign"] not in (-1, 1), f"lever_sign is {row['lever_sign']}", "Give +1 or -1."),
        (
            not row["planned_move"] > 0,
            f"planned_move is {row['planned_move']}",
            "It is a size above zero, in increments.",
        ),
        (row["var_cpi"] < 0 or row["var_kpi"] < 0, "a variance is negative", "Give sampling variances."),
        (
            row["cov"] ** 2 > row["var_cpi"] * row["var_kpi"] * (1 + 1e-9),
            f"covariance {row['cov']:g} is impossible for variances {row['var_cpi']:g} and {row['var_kpi']:g}",
            "All three are of the two effects; a standard error is not a variance.",
        ),
        (row["orientation"] not in (-1, 0, 1), f"orientation is {row['orientation']}", "Give +1, -1 or 0."),
        (not row["df"] > 0, f"df is {row['df']}", "Give degrees of freedom above zero."),
    )
    for wrong, found, advice in checks:
        if wrong:
            raise DataError(found, where=_where(row), advice=advice)


def _case(link: str, rows: Rows, step: Mapping[str, int], now: int | None) -> Case:
    names = [row["experiment"] for row in rows]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"experiment {twice!r} appears {names.count(twice)} times",
            where=f"link {link!r}",
            advice="Give one row per link and experiment: what it says after its own planned end.",
        )
    for name in ("sesoi", "expected_sign", "looks"):
        values = {row.get(name, "") for row in rows}
        if len(values) > 1:
            raise DataError(f"{name} differs between rows: {sorted(values)}", where=f"link {link!r}")
    known = [row for row in rows if _known(row, now)]
    ordered = sorted(known, key=lambda row: str(row["experiment"]))
    case = Case(
        trials=tuple(_trial(row, step[row["looked_at"]]) for row in ordered),
        sesoi=rows[0]["sesoi"],
        expected_sign=int(rows[0]["expected_sign"]),
        looks=_looks(link, rows[0].get("looks", "")),
        now=now,
    )
    return case.without_overlaps({row["experiment"]: _partners(row) for row in known})


def _looks(link: str, declared: str) -> LookPlan:
    try:
        return look_plan(declared) if declared else SINGLE
    except DesignError as error:
        raise DataError(error.found, where=f"link {link!r}", advice=error.advice) from error


def _trial(row: Mapping[str, Any], step: int) -> Trialed:
    pair = EffectPair(**{name: row[name] for name in PAIR}, df=row["df"])
    blocked = "; ".join(filter(None, (broken(pair), row.get("blocked"))))
    return Trialed(
        experiment=row["experiment"],
        lever=row["lever"],
        pair=pair,
        lever_sign=int(row["lever_sign"]),
        planned_move=row["planned_move"],
        blocked=blocked,
        bundle=row.get("bundle") or "",
        looked_at=step,
        quarter=row["quarter"],
        orientation=int(row["orientation"]),
        holdout=row["holdout"],
        projected=row["projected"],
    )


def _partners(row: Mapping[str, Any]) -> set[str]:
    return {part.strip() for part in (row.get("overlaps") or "").split(",")} - {""}


def _text(value: Any) -> str:  # noqa: ANN401 - whatever the column held
    if value is None or value != value:  # noqa: PLR0124 - true for NaN only
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
