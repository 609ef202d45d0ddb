"""When a running trial is looked at, and how much of the planned information each look has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cpi_experiments.errors import DesignError, nearest

Array = np.ndarray
Plan = Literal["fixed", "group_sequential", "anytime"]
PLANS = ("fixed", "group_sequential", "anytime")
#: More looks than this are thinned out, evenly over the times.
MOST_LOOKS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LookPlan:
    """How often, and when, a trial is looked at.

    Parameters
    ----------
    plan : {"fixed", "group_sequential", "anytime"}
    planned_n : int
        Randomised units of all arms at the planned end.
    looks : int, or sequence of float, or None
        Number of looks, or shares of ``planned_n``.
    final : bool
        The trial has ended, whatever its size.
    clustered : bool
        Clusters are counted; a fixed plan then has an end that only the caller knows.
    """

    plan: Plan
    planned_n: int
    looks: int | Sequence[float] | None = None
    final: bool = False
    clustered: bool = False

    def __post_init__(self) -> None:
        if self.plan not in PLANS:
            raise DesignError(f"plan {self.plan!r} is not known", advice=nearest(str(self.plan), list(PLANS)))
        if not (isinstance(self.planned_n, int | np.integer) and self.planned_n >= 4):
            raise DesignError(
                f"planned_n {self.planned_n!r} is not a number of units",
                advice="Give the randomised units of all arms together, as `design` returns them.",
            )
        if self.plan == "fixed" and (self.looks is not None or (self.final and not self.clustered)):
            raise DesignError(
                "a fixed plan is read once, at planned_n: it has no other looks and no other end",
                advice='Use plan="group_sequential" for planned looks, or plan="anytime".',
            )
        if self.plan == "group_sequential" and self.looks is None:
            raise DesignError("planned looks are not named", advice="Such as looks=4, or looks=[0.25, 0.5, 0.75, 1.0].")
        shares = self.shares
        if shares is not None and (
            not np.all(np.isfinite(shares))
            or not len(shares)
            or shares[0] <= 0
            or np.any(np.diff(shares) <= 0)
            or shares[-1] > 1
        ):
            raise DesignError(
                f"looks {self.looks!r} are not increasing shares of planned_n",
                advice="Such as looks=4, or looks=[0.25, 0.5, 0.75, 1.0].",
            )

    @property
    def shares(self) -> Array | None:
        """Planned looks as shares of ``planned_n``; None if every time is one."""
        if self.looks is None:
            return None
        if isinstance(self.looks, int | np.integer):
            return np.arange(1, self.looks + 1) / self.looks if self.looks > 0 else np.zeros(0)
        try:
            return np.asarray(self.looks, dtype=float)
        except (TypeError, ValueError):
            return np.full(1, np.nan)

    def places(self, total: Array) -> list[int]:
        """Choose the times at which the trial was looked at, given the units that had come by each time.

        A planned look falls on the first time by which its share had come; looks that are not due yet are left out.
        A fixed plan that is said to have ended is looked at there.
        """
        if self.plan == "anytime" and (self.looks is None or isinstance(self.looks, int | np.integer)):
            most = int(self.looks or MOST_LOOKS)
            return [int(place) for place in np.unique(np.linspace(len(total) - 1, 0, most, endpoint=False).round())]
        if self.plan == "fixed" and self.final:
            return [len(total) - 1]
        due = (np.ones(1) if self.shares is None else self.shares) * self.planned_n
        due = due[due <= total[-1]]
        found = np.searchsorted(total, due - 1e-9)
        if self.final:
            found = np.append(found, len(total) - 1)
        return [int(place) for place in np.unique(found)]


def information(units: Array, weights: Array, planned_n: int) -> Array:
    """Return the information fraction of a treatment against the control at each look.

    ``(1/N0 + 1/N1) / (1/n0 + 1/n1)`` with N the planned and n the present units: exact for arms of one variance, equal
    to n/N where the arms grow as planned, and independent of the results.

    Parameters
    ----------
    units : array, shape (k, 2)
        Units of control and treatment that had come by each look.
    weights : array, shape (2,)
        Their intended shares of all units.
    planned_n : int

    Examples
    --------
    >>> information(np.array([[30, 30], [100, 20]]), np.array([0.5, 0.5]), 120)
    array([0.5       , 0.55555556])
    """
    with np.errstate(divide="ignore"):
        return np.asarray(np.sum(1 / (planned_n * weights)) / np.sum(1 / units, axis=1))
