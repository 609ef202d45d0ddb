"""Where a link stands in its portfolio when the decision table is asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A link in its portfolio: the published sets, what was asked of it alone, and its size after shrinkage.

    Parameters
    ----------
    direction, harm, equivalence : bool
        Membership in the published sets of the three families.
    threshold : float
        One-sided p-value that the portfolio asks of this link alone.
    p_value : float
        Running p-value of the direction family.
    shrunken : float
        Size in the oriented scale after the winner's curse is taken out.
    since : mapping of family to step
        From which step the link was published.
    """

    direction: bool
    harm: bool
    equivalence: bool
    threshold: float
    p_value: float = 1.0
    shrunken: float = 0.0
    since: tuple[tuple[str, int], ...] = ()
