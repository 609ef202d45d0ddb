"""Rows that are set aside, as numbers and salted hashes: enough to find them at the source, nothing about a person."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from typing import TYPE_CHECKING, Final

from cpi_experiments.errors import DataError
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.quality.rows import broken_rules, reason_sql
from cpi_experiments.measure.quality.table import CheckedTable, checked_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from cpi_experiments.catalog.contract import Contract
    from cpi_experiments.measure.engines.source import Engine

COLUMNS: Final = ("row", "key_hash", "rule", "reason")
_SHORTEST_SALT = 16
_HASH = re.compile(r"([0-9a-f]{64})?")


def quarantine(
    engine: Engine, table: str, contract: Contract, *, salt: str, as_of: str | date | None = None
) -> pd.DataFrame:
    """List the rows that break a contract, without a value of any of them.

    Parameters
    ----------
    engine : Engine
    table : str
    contract : Contract
        Its key is what the hashes are of; without one they are empty.
    salt : str
        At least 16 characters, kept by you: whoever has it can recognise a known key, and nobody else can.
    as_of : str or date, optional
        Last day that the analysis may see.

    Returns
    -------
    DataFrame
        ``row`` (from 1 in the order of the file; 0 where the engine keeps no order), ``key_hash`` (HMAC-SHA-256 in hex,
        empty where the key is missing), ``rule`` and ``reason`` (the first rule that the row breaks).

    Raises
    ------
    DataError
        If the salt is too short.

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.catalog.contract import Contract, Range
    >>> from cpi_experiments.measure.engine import Tables
    >>> orders = Tables({"orders": pd.DataFrame({"order_id": ["a7", "b9"], "hours": [2.0, -1.0]})})
    >>> contract = Contract(key=("order_id",), ranges={"hours": Range(low=0)})
    >>> frame = quarantine(orders, "orders", contract, salt="a long secret text")
    >>> frame["row"].tolist(), frame["reason"].tolist(), frame["key_hash"].str.len().tolist()
    ([2], ['below 0'], [64])
    """
    import pandas as pd  # noqa: PLC0415 - the path from a file to arrays needs no pandas

    if len(salt) < _SHORTEST_SALT:
        raise DataError(
            f"the salt has {len(salt)} characters",
            where="salt",
            advice=f"Give at least {_SHORTEST_SALT}, and keep it apart from the quarantine.",
        )
    checked = checked_table(engine, table, contract, as_of)
    rules = broken_rules(checked)
    found = engine.query(_rows_sql(checked, reason_sql(rules)))
    codes = [int(code) for code in found["reason"]]
    keys = [found[f"k{i}"] for i in range(len(contract.key))]
    names = {name: [getattr(rules[code], name) for code in codes] for name in ("rule", "reason")}
    return pd.DataFrame(
        {
            "row": found["row_no"].astype("int64"),
            "key_hash": pd.Series(_hashes(keys, len(codes), salt), dtype=object),
            "rule": pd.Categorical(names["rule"], categories=sorted({rule.rule for rule in rules})),
            "reason": pd.Categorical(names["reason"], categories=sorted({rule.reason for rule in rules})),
        }
    )


def _rows_sql(table: CheckedTable, reason: str) -> str:
    listed = ", ".join(f"CAST({quote(column)} AS VARCHAR) AS k{i}" for i, column in enumerate(table.contract.key))
    keys = f", {listed}" if listed else ""
    number = "ROW_NUMBER() OVER ()" if table.engine.dialect == "duckdb" else "0"
    inner = f"SELECT {number} AS row_no, {reason} AS reason{keys} FROM {quote(table.name)}"  # noqa: S608 - quoted
    return f"SELECT * FROM ({inner}) AS numbered WHERE reason IS NOT NULL ORDER BY row_no"  # noqa: S608 - quoted


def _hashes(keys: Sequence[np.ndarray], n: int, salt: str) -> list[str]:
    hashes = []
    for i in range(n):
        parts = [column[i] for column in keys]
        if not parts or any(part is None or not str(part).strip() for part in parts):
            hashes.append("")
            continue
        text = "\0".join(str(part) for part in parts)
        hashes.append(hmac.new(salt.encode(), text.encode(), hashlib.sha256).hexdigest())
    return hashes


def write_quarantine(frame: pd.DataFrame, path: Path) -> Path:
    """Write a quarantine as CSV, in one step, and refuse whatever could name a person.

    Parameters
    ----------
    frame : DataFrame
        As `quarantine` returns it.
    path : Path
        The file to make; an existing one is replaced.

    Raises
    ------
    DataError
        If there is any other column, a text that is neither hash nor reason, or the file cannot be written.
    """
    _refuse_texts(frame)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        frame.to_csv(draft, index=False, lineterminator="\n")
        draft.replace(path)
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror}", where=path.name) from None
    finally:
        draft.unlink(missing_ok=True)
    return path


def _refuse_texts(frame: pd.DataFrame) -> None:
    advice = f"A quarantine has {', '.join(COLUMNS)}, as `quarantine` returns them; rows are found at the source."
    others = [str(name) for name in frame.columns if name not in COLUMNS]
    lost = [name for name in COLUMNS if name not in frame.columns]
    if others or lost:
        found = f"{len(others)} columns more and {len(lost)} fewer than a quarantine has"
        raise DataError(found, where="quarantine", advice=advice)
    if frame["row"].dtype.kind not in "iu":
        raise DataError("`row` is not a whole number", where="quarantine", advice=advice)
    for name in ("rule", "reason"):
        if str(frame[name].dtype) != "category":
            raise DataError(f"`{name}` is free text", where="quarantine", advice=advice)
    wrong = sum(not _HASH.fullmatch(str(value)) for value in frame["key_hash"])
    if wrong:
        raise DataError(f"{wrong:,} values of `key_hash` are not hashes", where="quarantine", advice=advice)
