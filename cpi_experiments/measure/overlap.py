"""Customers that two experiments share at the same time: their evidence is then not independent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpi_experiments.measure.engine import quote

if TYPE_CHECKING:
    from cpi_experiments.measure.engines.source import Engine


def shared_share(
    tables: Engine,
    one: str,
    other: str,
    *,
    days: float,
    unit: str = "customer_id",
    assignments: str = "assignments",
) -> float:
    """Share of the smaller experiment's units that were in both within ``days`` of each other.

    Units that took part in one experiment after the other do not count: independent random assignments make the two
    estimates uncorrelated, unless both levers act at once.

    Parameters
    ----------
    tables : Engine
    one, other : str
        Ids of the experiments.
    days : float
        Length of the window in which outcomes are measured.
    unit, assignments : str
        Column of the unit and table of assignments (columns: experiment, the unit, assigned_at).

    Returns
    -------
    float
        Between 0 and 1; 0 if an experiment has no units.

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.measure.engine import Tables
    >>> rows = pd.DataFrame({"experiment": ["a", "a", "b", "b"], "customer_id": [1, 2, 1, 2],
    ...                      "assigned_at": pd.to_datetime(["2026-01-01", "2026-01-01", "2026-01-11", "2026-06-01"])})
    >>> with Tables({"assignments": rows}) as tables:
    ...     shared_share(tables, "a", "b", days=28)
    0.5
    """
    key, table = quote(unit), quote(assignments)
    part = f"SELECT {key} AS u, min(assigned_at) AS since FROM {table} WHERE CAST(experiment AS VARCHAR) = ? GROUP BY u"  # noqa: S608 - quoted
    found = tables.query(
        f"WITH a AS ({part}), b AS ({part}) "  # noqa: S608 - quoted
        "SELECT (SELECT count(*) FROM a JOIN b ON a.u = b.u "
        f"WHERE abs(epoch(a.since) - epoch(b.since)) < {float(days) * 86400!r}::DOUBLE) AS shared, "
        "(SELECT count(*) FROM a) AS n_one, (SELECT count(*) FROM b) AS n_other",
        (one, other),
    )
    smaller = min(int(found["n_one"][0]), int(found["n_other"][0]))
    return int(found["shared"][0]) / smaller if smaller else 0.0
