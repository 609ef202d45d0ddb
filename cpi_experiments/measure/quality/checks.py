"""Quality gates: a table against its contract, before anything is estimated from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpi_experiments.catalog.contract import Contract
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.engines.opening import open_data
from cpi_experiments.measure.engines.warehouse import WarehouseTable
from cpi_experiments.measure.quality.clock import clock_findings, clock_sql
from cpi_experiments.measure.quality.columns import column_findings, profile_sql
from cpi_experiments.measure.quality.findings import Finding, QualityReport, worst_first
from cpi_experiments.measure.quality.keys import check_join, key_findings
from cpi_experiments.measure.quality.levels import level_findings
from cpi_experiments.measure.quality.rows import broken_row_findings, count_sql, kept_rows_sql
from cpi_experiments.measure.quality.scale import scale_findings, scale_sql
from cpi_experiments.measure.quality.table import checked_table

if TYPE_CHECKING:
    from datetime import date

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.measure.engines.source import Engine

__all__ = ["Finding", "QualityReport", "check_data", "check_join", "check_table", "kept_rows_sql"]


def check_table(
    engine: Engine, table: str, contract: Contract | None = None, *, as_of: str | date | None = None
) -> QualityReport:
    """Look at one table: what breaks its contract, and what looks wrong without one.

    Every column is read twice and the levels of columns with few of them once, whatever the number of rules; each key
    and reference costs one more scan of its columns.

    Parameters
    ----------
    engine : Engine
        Where the table is.
    table : str
    contract : Contract, optional
        What the table promises; without one, only what looks wrong in any table is found.
    as_of : str or date, optional
        Last day that the analysis may see; later rows are set aside and counted.

    Returns
    -------
    QualityReport
        The worst first. No finding holds a text of the table, unless its column is public by the contract.

    Raises
    ------
    CatalogError
        If the contract cannot be meant.
    DataError
        If the table, or a column that the contract names, is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.catalog.contract import Range
    >>> orders = pd.DataFrame({"order_id": ["a", "b", "b"], "hours": [2.0, -1.0, 3.0]})
    >>> contract = Contract(key=("order_id",), ranges={"hours": Range(low=0)})
    >>> report = check_table(Tables({"orders": orders}), "orders", contract)
    >>> [(finding.rule, finding.column, finding.rows) for finding in report.errors]
    [('out-of-range', 'hours', 1), ('double-key', 'order_id', 2)]
    """
    checked = checked_table(engine, table, contract or Contract(), as_of)
    if not checked.rows:
        empty = Finding(
            rule="no-rows",
            severity="error",
            table=table,
            found="the table has no rows",
            advice="Look at the filter or the export that made it.",
        )
        return QualityReport(table=table, rows=0, findings=(empty,))
    first = checked.ask({**count_sql(checked), **profile_sql(checked), **clock_sql(checked)})
    both = {**first, **checked.ask(scale_sql(checked, first))}
    findings = [
        *broken_row_findings(checked, both),
        *key_findings(checked),
        *column_findings(checked, both),
        *clock_findings(checked, both),
        *level_findings(checked),
        *scale_findings(checked, both),
    ]
    return QualityReport(table=table, rows=checked.rows, findings=worst_first(findings))


def check_data(data: Data, *, contract: Contract | None = None, as_of: str | date | None = None) -> QualityReport:
    """Look at one plain table, needing no project: the door for research scripts.

    Parameters
    ----------
    data : DataFrame, path or glob, DuckDB relation, Arrow table, Spark DataFrame, warehouse table, or (Engine, table)
        A path names CSV or Parquet files. Everything but pandas stays where it is.
    contract, as_of
        As in `check_table`.

    Raises
    ------
    CatalogError, DataError
        As `check_table`.

    Examples
    --------
    >>> import pandas as pd
    >>> report = check_data(pd.DataFrame({"charges": ["29.85", " ", "56.95", "42.3", "70.7"] * 4}))
    >>> print(report.named("number-as-text")[0])
    warning  data.charges: numbers are kept as text: 4 blank. Leave the cell empty
    where the value is unknown.
    """
    if isinstance(data, str | Path) or hasattr(data, "iloc"):
        with Tables({"data": data}) as tables:
            return check_table(tables, "data", contract, as_of=as_of)
    with open_data(data, _columns_of(data)) as (engine, table):
        report = check_table(engine, table, contract, as_of=as_of)
    name = report.table if isinstance(data, tuple | WarehouseTable) else "data"  # else the engine made a name up
    return replace(report, table=name, findings=tuple(replace(each, table=name) for each in report.findings))


def _columns_of(data: Any) -> list[str]:  # noqa: ANN401 - every kind is told apart here
    if isinstance(data, tuple):
        return list(data[0].columns(data[1]))
    return list(data.column_names) if hasattr(data, "column_names") else list(data.columns)
