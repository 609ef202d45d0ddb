"""Customers that two experiments share: evidence from both is then not independent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpi_experiments.measure.engine import quote

if TYPE_CHECKING:
    from cpi_experiments.measure.engine import Tables


def shared_units(
    tables: Tables, one: str, other: str, *, unit: str = "customer_id", assignments: str = "assignments"
) -> int:
    """Count the units that were assigned in both experiments.

    Parameters
    ----------
    tables : Tables
    one, other : str
        Ids of the experiments.
    unit, assignments : str
        Column of the unit and table of assignments (columns: experiment, the unit).

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.measure.engine import Tables
    >>> rows = pd.DataFrame({"experiment": ["a", "a", "b"], "customer_id": [1, 2, 2]})
    >>> with Tables({"assignments": rows}) as tables:
    ...     shared_units(tables, "a", "b")
    1
    """
    key, table = quote(unit), quote(assignments)
    found = tables.query(
        f"SELECT count(*) AS shared FROM (SELECT {key} FROM {table} WHERE experiment = ? INTERSECT "  # noqa: S608 - quoted
        f"SELECT {key} FROM {table} WHERE experiment = ?)",
        (one, other),
    )
    return int(found["shared"][0])
