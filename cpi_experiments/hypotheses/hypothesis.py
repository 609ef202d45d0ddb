"""A hypothesis: one claimed link with everything that must be fixed before the data are looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cpi_experiments.display import Displayed, plain
from cpi_experiments.errors import DesignError
from cpi_experiments.estimate import Link, digest_of
from cpi_experiments.stats.judging.look_plan import look_plan

#: The decision rule of this version; it is part of what a registration freezes.
DECISION_RULE = "direction, harm and equivalence families; closed step-e on running p-values over the declared looks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis(Displayed):
    """A link with sign, size, lag, population and adjustment; frozen once registered.

    Parameters
    ----------
    link : Link
    expected_sign : int
        +1 or -1: predicted sign of KPI per increment.
    sesoi : float
        Smallest effect worth acting on, KPI units per increment, above zero.
    lag_days : (int, int)
        From and to which day after the CPI the KPI counts.
    population : str
        Who the claim is about, in words.
    adjustment : tuple of str
        Columns held constant in past data and used for precision in experiments.
    decision_rule : str
        Rule that the verdict will follow.
    looks : str
        Looks declared beforehand: ``retest`` (one planned look that may be repeated), ``single``, ``planned 4``,
        ``capped 0.002`` or ``open 0.002`` (standard errors of the effect, in KPI units per increment).
    registered_at, digest : str
        UTC time and hash of the registration; empty before it.

    Raises
    ------
    DesignError
        If the sign is not +1 or -1, the size is not above zero and finite, or the looks are not known.
    """

    link: Link
    expected_sign: int
    sesoi: float
    lag_days: tuple[int, int] = (0, 28)
    population: str = "all customers"
    adjustment: tuple[str, ...] = ()
    decision_rule: str = DECISION_RULE
    looks: str = "retest"
    registered_at: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        if self.expected_sign not in (-1, 1):
            raise DesignError(f"expected sign of {self.link} is {self.expected_sign}", advice="Give +1 or -1.")
        if not 0 < self.sesoi < math.inf:
            raise DesignError(
                f"sesoi of {self.link} is {self.sesoi}",
                advice="It is a size, above zero and finite, in KPI units per increment.",
            )
        look_plan(self.looks)

    @property
    def registered(self) -> bool:
        """Whether the hypothesis is frozen in a ledger."""
        return bool(self.digest)

    def content_digest(self) -> str:
        """Hash of what a registration freezes: every field but the time and the hash itself."""
        content = {**plain(self), "sesoi": float(self.sesoi)}  # 1 and 1.0 are one claim
        return digest_of({key: content[key] for key in content if key not in ("registered_at", "digest")})

    def _title(self) -> str:
        sign = "+" if self.expected_sign > 0 else "-"
        when = f"registered {self.registered_at[:19]}Z, {self.digest[:8]}" if self.registered else "not registered"
        return f"{self.link}: expect {sign}, at least {self.sesoi:g} per increment; looks: {self.looks}\n{when}"
