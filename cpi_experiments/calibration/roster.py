"""The list of all worlds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpi_experiments.calibration import (
    judged_looks,
    judged_many,
    judged_worlds,
    portfolio_laws,
    portfolio_worlds,
    unit_worlds,
)

if TYPE_CHECKING:
    from cpi_experiments.calibration.world import World


def worlds() -> tuple[World, ...]:
    """Return every world, in the order in which it is reported.

    Examples
    --------
    >>> "null_underpowered" in {world.name for world in worlds()}
    True
    """
    return (
        *judged_worlds.WORLDS,
        *judged_many.WORLDS,
        *judged_looks.WORLDS,
        *portfolio_worlds.WORLDS,
        *portfolio_laws.WORLDS,
        *unit_worlds.WORLDS,
        *unit_worlds.TABLES,
    )
