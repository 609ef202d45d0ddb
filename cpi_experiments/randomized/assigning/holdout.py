"""A universal holdout: units that no experiment touches, so that all of them together can be judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.display import Displayed, Row, percent
from cpi_experiments.errors import DesignError
from cpi_experiments.randomized.assigning.assignment import roster
from cpi_experiments.randomized.assigning.hashing import ids_of, positions

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from cpi_experiments.measure.engine import Data


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout(Displayed):
    """A share of all units that is kept out of every experiment; a rule, so units that come later are covered too.

    Parameters
    ----------
    share : float
        Above 0, below 1.
    salt : str
        Change it only when a new holdout begins.
    units : tuple of str
        Those held out among the units that were shown to `hold_out`.
    of : int
        Units that were shown.
    """

    share: float
    salt: str
    units: tuple[str, ...]
    of: int

    @property
    def hash_salt(self) -> str:
        """Salt of the hash; its prefix keeps it apart from the salts of experiments."""
        return f"holdout:{self.salt}"

    def holds(self, units: Iterable[object]) -> np.ndarray:
        """Mark the units that are held out, whether they were shown before or not.

        Returns
        -------
        bool array, shape (n,)
        """
        return positions(ids_of(units), salt=self.hash_salt) < self.share

    def _title(self) -> str:
        return (
            f"Holdout {self.salt!r}: {len(self.units):,} of {self.of:,} units ({percent(len(self.units) / self.of, 1)},"
            f" planned {percent(self.share, 1)}) stay out of every experiment"
        )

    def _rows(self) -> list[Row]:
        return [{"holdout": self.salt, "unit": unit} for unit in self.units]

    def _shown(self) -> list[Row]:
        """One line: the units are for `to_frame`."""
        return [{"held out": f"{len(self.units):,}", "units": f"{self.of:,}"}]


def hold_out(units: Iterable[object] | Data, share: float, *, salt: str, unit: str | None = None) -> Holdout:
    """Keep a share of the units out of every experiment.

    A unit is held out if the hash of its id under the salt ``holdout:`` + `salt` is below `share`: independent of every
    experiment's salt, and of the order and the number of units.

    Parameters
    ----------
    units : iterable, or data of any kind with `unit`
    share : float
        Above 0, below 1.
    salt : str
        Name of the holdout, such as ``2026``.
    unit : str, optional
        Column of the ids, where `units` is a table.

    Raises
    ------
    DesignError
        If the share is not between 0 and 1.
    DataError
        If there is no unit, or an id is missing.

    Examples
    --------
    >>> hold_out(["c1", "c2", "c3", "c4", "c5", "c6"], 0.3, salt="2026").units
    ('c4', 'c5')
    """
    if not 0 < share < 1:
        raise DesignError(f"a holdout of {share:g} is not a share", advice="Give a number above 0 and below 1.")
    once = list(dict.fromkeys(roster(units, unit=unit)[0]))
    rule = Holdout(share=share, salt=salt, units=(), of=len(once))
    held = tuple(unit for unit, out in zip(once, rule.holds(once), strict=True) if out)
    return Holdout(share=share, salt=salt, units=held, of=len(once))
