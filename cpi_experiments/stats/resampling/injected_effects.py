"""What a column would have been under treatment: an effect of exactly a given size, put into data that had none."""

from __future__ import annotations

from typing import Literal

import numpy as np

from cpi_experiments.errors import DesignError

Floats = np.ndarray
Kind = Literal["auto", "mean", "yes_no", "count"]

#: More events than this are no counts but measurements, such as money in cents.
_MOST_EVENTS = 10**9 - 1


def kind_of(values: Floats) -> Literal["mean", "yes_no", "count"]:
    """Tell yes/no columns and counts from measurements.

    Examples
    --------
    >>> [kind_of(np.array(v)) for v in ([0.0, 1.0], [0.0, 3.0], [0.5, 2.0])]
    ['yes_no', 'count', 'mean']
    """
    if np.all((values == 0) | (values == 1)):
        return "yes_no"
    whole = bool(np.all((values >= 0) & (values == np.floor(values))))
    return "count" if whole and float(values.sum()) <= _MOST_EVENTS else "mean"


def with_effect(
    values: Floats, effect: float, *, relative: bool, kind: Kind, rng: np.random.Generator, name: str
) -> Floats:
    """Return the column as it would be if every row were treated.

    Measurements are shifted by the effect (multiplied, if it is relative). Of yes/no answers as many as needed are
    flipped, of counts everyone gets the whole part more and a share of rows one more; counts that fall lose single
    events. Which rows or events it hits is drawn at random; how many is exact, to one row.

    Parameters
    ----------
    values : array, shape (n,)
        Without missing values.
    effect : float
        In the column's unit, or as a share of its mean.
    relative : bool
        Whether it is a share.
    kind : {"auto", "mean", "yes_no", "count"}
    rng : Generator
    name : str
        Of the column, for messages.

    Returns
    -------
    array, shape (n,)

    Raises
    ------
    DesignError
        If yes/no answers or counts cannot move that far, or the kind does not fit the column.

    Examples
    --------
    >>> history = np.array([0.0, 1.0, 0.0, 0.0])
    >>> with_effect(history, 0.25, relative=False, kind="auto", rng=np.random.default_rng(1), name="won").mean()
    np.float64(0.5)
    """
    found = kind_of(values)
    if kind not in ("auto", "mean", found) and not (kind == "count" and found == "yes_no"):
        raise DesignError(
            f"column {name!r} is no {kind.replace('_', '/')} column", advice=f'It looks like kind="{found}".'
        )
    chosen = found if kind == "auto" else kind
    if effect == 0:
        return values
    if chosen == "mean":
        return np.asarray(values * (1 + effect) if relative else values + effect)
    size = effect * float(values.mean()) if relative else effect
    return _flipped(values, size, rng, name) if chosen == "yes_no" else _counted(values, size, rng, name)


def _flipped(values: Floats, size: float, rng: np.random.Generator, name: str) -> Floats:
    start, end = (0.0, 1.0) if size > 0 else (1.0, 0.0)
    free = np.flatnonzero(values == start)
    count = round(abs(size) * len(values))
    if count > len(free):
        raise DesignError(
            f"an effect of {100 * size:+.3g} points is impossible: {100 * values.mean():.3g}% of {name!r} are yes",
            advice=f"At most {100 * len(free) / len(values):.3g} points are left in that direction.",
        )
    moved = values.copy()
    moved[rng.choice(free, count, replace=False)] = end
    return moved


def _counted(values: Floats, size: float, rng: np.random.Generator, name: str) -> Floats:
    n = len(values)
    if size > 0:
        more = np.full(n, np.floor(size))
        more[rng.choice(n, round((size - np.floor(size)) * n), replace=False)] += 1
        return np.asarray(values + more)
    count = round(-size * n)
    if count > values.sum():
        raise DesignError(
            f"an effect of {size:g} is impossible: the mean of {name!r} is {values.mean():.4g}",
            advice="A count cannot fall below zero.",
        )
    lost = rng.multivariate_hypergeometric(values.astype(np.int64), count, method="marginals")
    return np.asarray(values - lost)
