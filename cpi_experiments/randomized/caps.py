"""The cut of a winsorised column: one rule, whichever way the values are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError

if TYPE_CHECKING:
    from cpi_experiments.randomized.effects.outcomes import Cap

Array = np.ndarray


def cut_of(values: Array, cap: Cap, *, column: str, among: Array | None = None) -> float:
    """Return a cap as a number; a percentile is of the known values of all arms together.

    Parameters
    ----------
    values : float array, shape (n,)
        NaN where missing.
    cap : float or str
        A number, or a percentile such as ``"p99"`` (between two values linearly).
    column : str
        For messages.
    among : bool array, shape (n,), optional
        Rows that are compared: with an arm, of units in one arm. Other rows must not move the cut.

    Raises
    ------
    DataError
        If a percentile is asked for and no such row has a value.

    Examples
    --------
    >>> cut_of(np.array([1.0, 2.0, 30.0]), "p50", column="hours"), cut_of(np.array([1.0]), 5, column="hours")
    (2.0, 5.0)
    """
    if not isinstance(cap, str):
        return float(cap)
    known = ~np.isnan(values) & (True if among is None else among)
    if not known.any():
        raise DataError(f"column {column!r} has no value to cap", advice="Leave the cap out.")
    return float(np.quantile(values[known], float(cap[1:]) / 100))
