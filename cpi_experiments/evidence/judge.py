"""Judging: the plain door over a table of effects, and the same rule over ledger and catalog."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError, EstimationError, nearest
from cpi_experiments.estimate import EffectPair
from cpi_experiments.evidence.case import Case, Trialed, broken, weigh
from cpi_experiments.evidence.decision import Decision, Standing, decide
from cpi_experiments.measure.arrays import columns_of_frame
from cpi_experiments.measure.engine import numeric, read_columns
from cpi_experiments.stats.judging.portfolio import alone_threshold, publish, slots_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from cpi_experiments.measure.engine import Data

_TEXT = ("link", "experiment", "lever")
_PAIR = ("effect_cpi", "effect_kpi", "var_cpi", "var_kpi", "cov")
_NUMBERS = (*_PAIR, "sesoi", "expected_sign")
_OPTIONAL_TEXT = ("looks", "looked_at", "blocked", "overlaps", "bundle")
_OPTIONAL_NUMBERS = ("lever_sign", "planned_move", "df")
_DEFAULTS = {"lever_sign": 1.0, "planned_move": 1.0, "df": math.inf}
_LOOKS = ("single",)


def judge_cases(cases: Sequence[Case], *, fdr: float = 0.10, slots: int | None = None) -> tuple[Decision, ...]:
    """Judge a whole portfolio at once: three families, each published by closed step-e at the same rate.

    Parameters
    ----------
    cases : sequence of Case
        Every registered link, dormant ones too: they belong to the family.
    fdr : float
        Expected share of wrong verdicts among those published, for each family.
    slots : int, optional
        Size of the portfolio; the number of links (at least 4) by default.
    """
    if not 0 < fdr < 1:
        raise EstimationError(f"fdr {fdr:g} is not between 0 and 1", advice="Did you mean 0.1?")
    if not cases:
        return ()
    size = slots_of(len(cases) if slots is None else slots)
    weighed = [weigh(case) for case in cases]
    sets = {
        family: publish([getattr(w, family) for w in weighed], q=fdr, slots=size)
        for family in ("direction", "harm", "equivalence")
    }
    return tuple(
        decide(
            case,
            w,
            Standing(
                direction=i in sets["direction"],
                harm=i in sets["harm"],
                equivalence=i in sets["equivalence"],
                threshold=alone_threshold(fdr, size),
            ),
        )
        for i, (case, w) in enumerate(zip(cases, weighed, strict=True))
    )


def judge_links(table: Data, *, fdr: float = 0.10, slots: int | None = None) -> pd.DataFrame:
    """Judge links from a table of experiment effects.

    Parameters
    ----------
    table : DataFrame, or path of a Parquet or CSV file
        One row per link x experiment with columns ``link, experiment, lever, effect_cpi, effect_kpi, var_cpi,
        var_kpi, cov, sesoi, expected_sign``. ``effect_cpi`` counts increments, + = better for the customer; the KPI
        keeps its own unit and sign; ``sesoi`` is a size in KPI units per increment. Optional: ``lever_sign`` (declared
        sign of the lever on the CPI, 1), ``planned_move`` (increments, 1), ``df`` (infinite), ``looks``
        (``single``), ``looked_at`` (when the planned look was, for the record), ``blocked`` (why the experiment is
        broken), ``overlaps`` (other experiments, comma-separated, that share customers: of those of one link only the
        one with most planned information counts), ``bundle`` (other CPIs that the lever moved). An empty cell of an
        optional column means its default.
    fdr : float
        False discovery rate of each family (direction, harm, no material effect) over all links of the table.
    slots : int, optional
        Size of the portfolio if it is larger than the table; never fewer than 4.

    Returns
    -------
    DataFrame
        One row per link, in order of appearance: ``link, verdict, cause, grade, effect, effect_shrunken, ci_low,
        ci_high, p_value, reasons``; no rows for an empty DataFrame. ``p_value`` is the one-sided
        p-value against "no effect or the wrong sign".

    Raises
    ------
    DataError
        If a column is missing or no number, a row appears twice, sizes of a link differ between its rows, or a row
        cannot be (a covariance beyond its variances, an unknown look, an overlap with an unknown experiment).
    EstimationError
        If ``fdr`` is not a share or the table has more links than slots.

    Notes
    -----
    A missing ``cov`` (or effect, or variance) blocks its link; it is never taken as zero. Blocked links stay in the
    family with p = 1. The false discovery rate holds under any dependence between links, for one planned look.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({
    ...     "link": ["quote_hours -> win_rate"], "experiment": ["E1"], "lever": ["auto_quote"], "effect_cpi": [3.0],
    ...     "effect_kpi": [0.030], "var_cpi": [0.04], "var_kpi": [4e-5], "cov": [0.0], "sesoi": [0.004],
    ...     "expected_sign": [1]})
    >>> judge_links(table)[["verdict", "grade"]].values.tolist()
    [['confirmed', 'B']]
    """
    import pandas as pd  # noqa: PLC0415 - a frame is returned, nothing else needs pandas

    rows = _read(table)
    cases = _cases(rows)
    decisions = judge_cases(list(cases.values()), fdr=fdr, slots=slots)
    columns = ["link", "verdict", "cause", "grade", "effect", "effect_shrunken", "ci_low", "ci_high", "p_value"]
    content = [
        {
            "link": link,
            **{name: getattr(d, name) for name in columns[3:]},
            "verdict": d.verdict.value,
            "cause": d.cause,
            "reasons": " ".join(d.reasons),
        }
        for link, d in zip(cases, decisions, strict=True)
    ]
    return pd.DataFrame(content, columns=[*columns, "reasons"])


def _read(table: Data) -> list[dict[str, Any]]:
    needed, optional = [*_TEXT, *_NUMBERS], [*_OPTIONAL_TEXT, *_OPTIONAL_NUMBERS]
    frame: Any = table
    if hasattr(frame, "iloc") and len(frame) == 0:
        columns_of_frame(frame, needed, optional)  # an empty portfolio still has its columns
        return []
    columns = read_columns(table, needed, optional=optional)
    numbers = {name: numeric(columns, name) for name in (*_NUMBERS, "lever_sign", "planned_move") if name in columns}
    if "df" in columns:
        numbers["df"] = _degrees(columns["df"])
    rows = []
    for i in range(len(columns["link"])):
        row: dict[str, Any] = {name: _text(columns[name][i]) for name in (*_TEXT, *_OPTIONAL_TEXT) if name in columns}
        for name in (*_NUMBERS, *_OPTIONAL_NUMBERS):
            value = float(numbers[name][i]) if name in numbers else _DEFAULTS[name]
            row[name] = _DEFAULTS[name] if name in _DEFAULTS and math.isnan(value) else value
        rows.append(row)
    known = {row["experiment"] for row in rows}
    for row in rows:
        _check_row(row)
        unknown = sorted(_partners(row) - known)
        if unknown:
            raise DataError(
                f"overlaps with experiment {unknown[0]!r}, which is not in the table",
                where=f"link {row['link']!r}, experiment {row['experiment']!r}",
                advice=nearest(unknown[0], sorted(known)),
            )
    return rows


def _degrees(values: np.ndarray) -> np.ndarray:
    """Degrees of freedom; unlike other numbers they may be infinite."""
    if values.dtype.kind == "f":
        values = np.where(np.isposinf(values), np.nan, values)  # the default is infinite
    return numeric({"df": values}, "df")


def _check_row(row: Mapping[str, Any]) -> None:
    where = f"link {row['link']!r}, experiment {row['experiment']!r}"
    checks = (
        (not all(row[name] for name in _TEXT), "a link, experiment or lever without a name", "Name all three."),
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
        (not row["df"] > 0, f"df is {row['df']}", "Give degrees of freedom above zero."),
    )
    for wrong, found, advice in checks:
        if wrong:
            raise DataError(found, where=where, advice=advice)
    looks = row.get("looks") or "single"
    if looks not in _LOOKS:
        raise DataError(f"looks {looks!r} is not known", where=where, advice=nearest(looks, list(_LOOKS)))


def _cases(rows: list[dict[str, Any]]) -> dict[str, Case]:
    links: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        links.setdefault(row["link"], []).append(row)
    return {link: _case(link, mine) for link, mine in links.items()}


def _case(link: str, rows: list[dict[str, Any]]) -> Case:
    names = [row["experiment"] for row in rows]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"experiment {twice!r} appears {names.count(twice)} times",
            where=f"link {link!r}",
            advice="Give one row per link and experiment: one planned look each.",
        )
    for name in ("sesoi", "expected_sign"):
        values = {row[name] for row in rows}
        if len(values) > 1:
            raise DataError(f"{name} differs between rows: {sorted(values)}", where=f"link {link!r}")
    trials = tuple(_trial(row) for row in sorted(rows, key=lambda row: str(row["experiment"])))
    case = Case(trials=trials, sesoi=rows[0]["sesoi"], expected_sign=int(rows[0]["expected_sign"]))
    return case.without_overlaps({row["experiment"]: _partners(row) for row in rows})


def _trial(row: Mapping[str, Any]) -> Trialed:
    pair = EffectPair(**{name: row[name] for name in _PAIR}, df=row["df"])
    blocked = "; ".join(filter(None, (broken(pair), row.get("blocked"))))
    return Trialed(
        experiment=row["experiment"],
        lever=row["lever"],
        pair=pair,
        lever_sign=int(row["lever_sign"]),
        planned_move=row["planned_move"],
        blocked=blocked,
        bundle=row.get("bundle") or "",
    )


def _partners(row: Mapping[str, Any]) -> set[str]:
    return {part.strip() for part in (row.get("overlaps") or "").split(",")} - {""}


def _text(value: Any) -> str:  # noqa: ANN401 - whatever the column held
    if value is None or value != value:  # noqa: PLR0124 - true for NaN only
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
