"""Random assignment by a salted hash: stable, stateless, the same in every language.

Algorithm: SHA-256 of the UTF-8 text ``salt + ":" + unit``; its first 8 bytes as a big-endian integer, divided by 2^64,
is a number in [0, 1); arms take consecutive slices of it in the order of the experiment's allocation.
Test vector: salt ``demo``, units ``customer-1`` and ``customer-2`` give 0.99225827 and 0.16832544.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.display import Displayed, Row
from cpi_experiments.errors import DataError

if TYPE_CHECKING:
    from cpi_experiments.randomized.experiment import Experiment


#: Texts of what pandas and numpy hold where an id is missing.
_NO_ID = ("", "nan", "NaN", "NaT", "<NA>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment(Displayed):
    """Which unit is in which arm.

    Parameters
    ----------
    experiment : str
    salt : str
        Text that makes the assignments of two experiments independent.
    arms : mapping of unit to arm
    """

    experiment: str
    salt: str
    arms: Mapping[str, str]

    def counts(self) -> dict[str, int]:
        """Units per arm."""
        found: dict[str, int] = {}
        for arm in self.arms.values():
            found[arm] = found.get(arm, 0) + 1
        return found

    def _title(self) -> str:
        sizes = ", ".join(f"{arm} {count:,}" for arm, count in sorted(self.counts().items()))
        return f"{self.experiment}: {len(self.arms):,} units; {sizes}"

    def _rows(self) -> list[Row]:
        return [{"experiment": self.experiment, "unit": unit, "arm": arm} for unit, arm in self.arms.items()]


def uniform_hash(unit: str, *, salt: str) -> float:
    """Turn a unit into a number in [0, 1) under a salt.

    Examples
    --------
    >>> round(uniform_hash("customer-1", salt="demo"), 8), round(uniform_hash("customer-2", salt="demo"), 8)
    (0.99225827, 0.16832544)
    """
    digest = hashlib.sha256(f"{salt}:{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign(experiment: Experiment, units: Iterable[object], *, salt: str | None = None) -> Assignment:
    """Assign units to the arms of an experiment.

    Parameters
    ----------
    experiment : Experiment
        Its allocation gives the shares, its id the default salt.
    units : iterable
        Ids of the randomised units; each is assigned by its text alone, so order and repetition never matter.
    salt : str, optional
        Use the salt of another experiment only to repeat its split on purpose.

    Raises
    ------
    DataError
        If there is no unit, or an id is missing.

    Examples
    --------
    >>> from cpi_experiments.randomized.experiment import Experiment
    >>> trial = Experiment(id="demo", lever="auto_quote", control="manual", allocation={"manual": 1, "auto": 1},
    ...                    hypotheses=(), randomize="customer_id", start="2026-01-01", end="2026-03-31")
    >>> dict(assign(trial, ["customer-1", "customer-2"]).arms)
    {'customer-1': 'auto', 'customer-2': 'manual'}
    """
    salt = experiment.id if salt is None else salt
    total = sum(experiment.allocation.values())
    arms = list(experiment.allocation)
    edges, edge = [], 0.0
    for weight in experiment.allocation.values():
        edge += weight / total
        edges.append(edge)
    edges[-1] = 1.0
    found: dict[str, str] = {}
    for unit in units:
        if unit is None or str(unit) in _NO_ID:
            raise DataError(f"a unit after {len(found):,} others has no id", advice="Remove rows without an id first.")
        position = uniform_hash(str(unit), salt=salt)
        found[str(unit)] = arms[next(j for j, high in enumerate(edges) if position < high)]
    if not found:
        raise DataError("there is no unit to assign", advice="Give the ids of the randomised units.")
    return Assignment(experiment=experiment.id, salt=salt, arms=found)
