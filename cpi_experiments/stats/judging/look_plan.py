"""When a hypothesis may be looked at: declared in one short text at registration, before the first look."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from cpi_experiments.errors import DesignError, nearest

Kind = Literal["single", "retest", "planned", "capped", "open"]
KINDS = ("single", "retest", "planned", "capped", "open")
MOST_LOOKS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class LookPlan:
    """When a hypothesis is looked at, declared at registration.

    Attributes
    ----------
    kind : {"single", "retest", "planned", "capped", "open"}
    looks : int
        Number of planned looks (``planned``), else 1.
    information : float
        ``1 / E**2`` for the standard error E of the effect at which looks end (``capped``) or at which the first of
        three caps lies (``open``); else infinite.

    Examples
    --------
    >>> str(LookPlan(kind="planned", looks=4)), LookPlan(kind="single").sentence
    ('planned 4', 'One planned look; later experiments do not change the verdict of this plan.')
    """

    kind: Kind
    looks: int = 1
    information: float = math.inf

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DesignError(f"looks {self.kind!r} are not known", advice=nearest(str(self.kind), list(KINDS)))
        if self.kind == "planned" and not (isinstance(self.looks, int) and 2 <= self.looks <= MOST_LOOKS):
            raise DesignError(
                f"planned looks: {self.looks!r} is not a whole number from 2 to {MOST_LOOKS}",
                advice='One look is "single"; more looks than that are "capped E", E = the standard error to stop at.',
            )
        if self.kind in ("capped", "open") and not (self.information > 0 and math.isfinite(self.information)):
            raise DesignError(
                f"{self.kind} looks need a standard error above zero",
                advice=f'Write "{self.kind} 0.004": the standard error of the effect at which looks end.',
            )

    @property
    def standard_error(self) -> float:
        """Standard error of the effect at the (first) cap; 0 without one."""
        return 1 / math.sqrt(self.information)

    @property
    def sentence(self) -> str:
        """The plan in words."""
        size = f"{self.standard_error:.6g}"
        return {
            "single": "One planned look; later experiments do not change the verdict of this plan.",
            "retest": "One planned look, and new plans after it, each judged on its new experiments.",
            "planned": f"{self.looks} planned looks.",
            "capped": f"Any looks until the standard error of the effect is {size}.",
            "open": f"Looks without a fixed end, planned for a standard error of {size}, at least half of that.",
        }[self.kind]

    def __str__(self) -> str:
        if self.kind == "planned":
            return f"planned {self.looks}"
        return f"{self.kind} {self.standard_error:.15g}" if self.kind in ("capped", "open") else self.kind


def look_plan(text: str) -> LookPlan:
    """Read a look plan as it is written at registration.

    Parameters
    ----------
    text : str
        ``single``, ``retest``, ``planned K`` (2 to 24 looks), ``capped E`` or ``open E`` (E = standard error of the
        effect, KPI units per increment).

    Raises
    ------
    DesignError
        If the text is none of these.

    Examples
    --------
    >>> look_plan("planned 4").looks, look_plan("capped 0.5").information
    (4, 4.0)
    >>> str(look_plan(" Capped  0.001 "))
    'capped 0.001'
    """
    words = str(text).lower().split()
    kind = words[0] if words else ""
    if kind not in KINDS:
        raise DesignError(
            f"looks {text!r} are not known",
            advice=f"{nearest(kind, list(KINDS))} Write such as single, retest, planned 4, capped 0.001 or open 0.004.",
        )
    wanted = 1 if kind in ("single", "retest") else 2
    if len(words) != wanted:
        example = {"planned": "planned 4", "capped": "capped 0.001", "open": "open 0.004"}.get(kind, kind)
        raise DesignError(f"looks {text!r} cannot be read", advice=f'Write "{example}".')
    named: Any = kind
    if wanted == 1:
        return LookPlan(kind=named)
    if kind == "planned":
        return LookPlan(kind=named, looks=_count(words[1]))
    return LookPlan(kind=named, information=_information(words[1], text))


def _count(word: str) -> int:
    if not word.isdecimal():
        raise DesignError(f"planned looks: {word!r} is not a whole number", advice='Write "planned 4".')
    return int(word)


def _information(word: str, text: str) -> float:
    try:
        error = float(word)
    except ValueError as unread:
        raise DesignError(f"{word!r} in looks {text!r} is not a number", advice="Give a standard error.") from unread
    return error**-2 if 1e-100 < error < 1e100 else 0.0
