"""The gate before measuring: tables with a contract are checked, and only rows that keep it are measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpi_experiments.measure.quality.checks import check_table, kept_rows_sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cpi_experiments.catalog.contract import Contract
    from cpi_experiments.measure.engine import Tables
    from cpi_experiments.measure.quality.findings import QualityReport


def hold_to_contracts(tables: Tables, contracts: Mapping[str, Contract]) -> tuple[QualityReport, ...]:
    """Check every table that has a contract, and hide the rows that break it from what is measured.

    Parameters
    ----------
    tables : Tables
    contracts : mapping of table to Contract

    Returns
    -------
    tuple of QualityReport
        Their ``losses`` are the hidden rows by reason, their ``alarms`` what a reader must know.

    Raises
    ------
    DataError
        If more rows break a rule than the contract allows; it lists them all.

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.catalog.contract import Contract, Limits
    >>> from cpi_experiments.measure.engine import Tables
    >>> rows = pd.DataFrame({"customer_id": ["a", "b", None], "hours": [1.0, 2.0, 3.0]})
    >>> tables = Tables({"quotes": rows})
    >>> reports = hold_to_contracts(tables, {"quotes": Contract(entity="customer_id", limits=Limits(null_id=0.5))})
    >>> reports[0].losses, tables.query("SELECT count(*) AS n FROM quotes")["n"].tolist()
    ((('customer_id', 'without customer_id', 1),), [2])
    """
    reports = tuple(check_table(tables, table, contract) for table, contract in contracts.items())
    for report in reports:
        report.raise_if_bad()
    for table, contract in contracts.items():
        _restrict(tables, table, contract)
    return reports


def _restrict(tables: Tables, table: str, contract: Contract) -> None:
    tables.restrict(
        table,
        lambda every: kept_rows_sql(tables, every, contract),
        repeats_are_events=contract.repeated_rows == "events",
    )
