"""An experiment as planned: a design, no data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cpi_experiments.display import Displayed, percent
from cpi_experiments.errors import DesignError, nearest
from cpi_experiments.estimate import Link

#: How an experiment may end: see `Experiment`.
STOPPING = ("fixed", "group_sequential", "anytime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment(Displayed):
    """Which lever is varied, over which arms, for whom, when, and which hypotheses it tests.

    Parameters
    ----------
    id, lever : str
    control : str
        The arm that keeps today's way; always named, never guessed.
    allocation : mapping of arm to weight
        Intended shares; any positive numbers.
    hypotheses : tuple of str
        Links, ``"cpi -> kpi"``.
    randomize : str
        Column of the unit that is randomised.
    start, end : str
        ISO dates of the first and last assignment.
    planned_n : int
        Units in all arms together; 0 if not planned.
    planned_move : float
        Expected move of the CPI in increments, above zero.
    covariates : tuple of str
        Pre-period columns used for precision: columns of the customer table, or ``pre_`` and the id of a CPI or KPI.
    stopping : str
        ``fixed``: one look, at the end. ``group_sequential``: at the ``looks``. ``anytime``: whenever one likes.
    looks : tuple of float
        Shares of the planned size at which effects are looked at, rising to 1.
    exclude : str
        Assigned units that meet it are left out, such as ``kind = 'staff'``; columns of the table of assignments.
    guardrails : mapping of KPI to float
        How much worse each may get before it counts as harm, in its own unit, above zero.
    table : str
        Table of assignments (columns: experiment, the unit, arm, assigned_at).

    Raises
    ------
    DesignError
        If arms, dates or sizes cannot be a design.
    """

    id: str
    lever: str
    control: str
    allocation: Mapping[str, float]
    hypotheses: tuple[str, ...]
    randomize: str
    start: str
    end: str
    planned_n: int = 0
    planned_move: float = 1.0
    covariates: tuple[str, ...] = field(default=())
    stopping: str = "fixed"
    looks: tuple[float, ...] = (1.0,)
    exclude: str = ""
    guardrails: Mapping[str, float] = field(default_factory=dict)
    table: str = "assignments"

    def __post_init__(self) -> None:
        arms = list(self.allocation)
        if len(arms) < 2:
            raise DesignError(f"experiment {self.id!r} has {len(arms)} arm", advice="An experiment needs two arms.")
        if self.control not in arms:
            raise DesignError(
                f"control {self.control!r} of experiment {self.id!r} is not one of its arms",
                advice=nearest(self.control, arms),
            )
        if not all(weight > 0 for weight in self.allocation.values()):
            raise DesignError(f"allocation of experiment {self.id!r} holds a share that is not above zero")
        if self.end < self.start:
            raise DesignError(f"experiment {self.id!r} ends ({self.end}) before it starts ({self.start})")
        if not self.planned_move > 0:
            raise DesignError(f"planned move of experiment {self.id!r} is not above zero")
        self._check_looks()

    def _check_looks(self) -> None:
        if self.stopping not in STOPPING:
            raise DesignError(
                f"stopping {self.stopping!r} of experiment {self.id!r} is not known",
                advice=nearest(self.stopping, list(STOPPING)),
            )
        rising = all(low < high for low, high in zip((0.0, *self.looks), self.looks, strict=False))
        if not (self.looks and rising and self.looks[-1] == 1):
            raise DesignError(
                f"looks {list(self.looks)} of experiment {self.id!r} do not rise to 1",
                advice="Give shares of the planned size, such as [0.5, 1].",
            )
        if len(self.looks) > 1 and self.stopping != "group_sequential":
            raise DesignError(
                f"experiment {self.id!r} has {len(self.looks)} looks and stopping {self.stopping!r}",
                advice="Several planned looks need `stopping: group_sequential`.",
            )
        bad = [kpi for kpi, margin in self.guardrails.items() if not margin > 0]
        if bad:
            raise DesignError(
                f"the margin of guardrail {bad[0]!r} of experiment {self.id!r} is not above zero",
                advice="Give how much worse it may get, in its own unit.",
            )

    def _title(self) -> str:
        total = sum(self.allocation.values())
        arms = ", ".join(f"{arm} {percent(weight / total)}" for arm, weight in self.allocation.items())
        size = f", {self.planned_n:,} units planned" if self.planned_n else ""
        return (
            f"{self.id}: {self.lever} varied by {self.randomize} ({arms}; control {self.control}), {self.start} to "
            f"{self.end}{size}; tests {'; '.join(self.hypotheses) or 'no hypothesis'}."
        )

    @property
    def treatments(self) -> tuple[str, ...]:
        """Every arm but the control."""
        return tuple(arm for arm in self.allocation if arm != self.control)

    @property
    def links(self) -> tuple[Link, ...]:
        """The links that the experiment tests."""
        return tuple(Link.parse(text) for text in self.hypotheses)
