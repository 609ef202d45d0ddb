"""Which cells of a published table must be hidden so that no number of few customers can be read or worked out."""

from __future__ import annotations

import numpy as np

from cpi_experiments.errors import DataError

Array = np.ndarray

#: Fewest customers behind a published number.
MINIMUM = 10
_FLOOR = 5


def check_minimum(minimum: int) -> int:
    """Return the fewest customers behind a number, or raise if people could be recognised.

    Raises
    ------
    DataError
        Below 5.
    """
    if minimum < _FLOOR:
        raise DataError(
            f"numbers of {minimum} customers may not be shown",
            advice=f"Use minimum={_FLOOR} or more; {MINIMUM} is usual.",
        )
    return minimum


def hidden_groups(counts: Array, *, minimum: int = MINIMUM) -> Array:
    """Choose the groups to hide when the total of all groups is shown as well.

    Groups with 1 to ``minimum - 1`` customers are hidden. The total less the groups that are shown gives the hidden
    ones together, so the smallest others are hidden too until there are two and they hold ``minimum`` customers.

    Parameters
    ----------
    counts : int array, shape (k,)
        Customers per group; groups without customers hold nothing to hide.

    Returns
    -------
    bool array, shape (k,)

    Examples
    --------
    >>> hidden_groups(np.array([400, 3, 60, 0]))
    array([False,  True,  True, False])
    >>> hidden_groups(np.array([400, 30, 60]))
    array([False, False, False])
    """
    return _completed(np.asarray(counts), (counts > 0) & (counts < minimum), minimum)


def _completed(counts: Array, hidden: Array, minimum: int) -> Array:
    hidden = hidden.copy()
    for group in np.argsort(counts, kind="stable"):
        part = hidden & (counts > 0)
        if not part.any() or (part.sum() > 1 and counts[part].sum() >= minimum):
            break
        if counts[group] > 0:
            hidden[group] = True
    return hidden


def hidden_cells(counts: Array, *, minimum: int = MINIMUM) -> tuple[Array, Array, Array]:
    """Choose the cells to hide in a table whose row and column totals are shown.

    Parameters
    ----------
    counts : int array, shape (r, c)

    Returns
    -------
    cells : bool array, shape (r, c)
    rows, columns : bool array, shape (r,) and (c,)
        Totals to hide.

    Examples
    --------
    >>> cells, rows, columns = hidden_cells(np.array([[40, 3, 50], [30, 20, 60], [70, 30, 20]]))
    >>> cells.astype(int).tolist(), bool(rows.any() or columns.any())
    ([[1, 1, 0], [1, 1, 0], [0, 0, 0]], False)
    """
    table = np.asarray(counts)
    rows, columns = (hidden_groups(table.sum(axis=axis), minimum=minimum) for axis in (1, 0))
    cells = (table > 0) & ((table < minimum) | rows[:, None] | columns[None, :])
    while True:
        before = cells.sum()
        for r in np.flatnonzero(~rows):
            cells[r] = _completed(table[r], cells[r], minimum)
        for c in np.flatnonzero(~columns):
            cells[:, c] = _completed(table[:, c], cells[:, c], minimum)
        if cells.sum() == before:
            return cells, rows, columns
