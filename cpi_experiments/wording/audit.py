"""What the audit of a link says, in sentences."""

from __future__ import annotations


def compliance_sentence(*, cpi: str, moved: str, always: str, never: str, lowered: bool = False) -> str:
    """Say for whom a yes/no CPI speaks.

    Examples
    --------
    >>> compliance_sentence(cpi="got_call", moved="42.0%", always="10.0%", never="48.0%")
    'the effect is that of the 42.0% who had got_call because of the assignment; 10.0% have it anyway, 48.0% never do'

    Of a lever that lowers it:

    >>> compliance_sentence(cpi="waited", moved="31.2%", always="10.0%", never="58.8%", lowered=True)
    'the effect is that of the 31.2% who did not have waited because of the assignment; 10.0% have it anyway, 58.8% never do'
    """  # noqa: E501 - one sentence
    had = "did not have" if lowered else "had"
    return (
        f"the effect is that of the {moved} who {had} {cpi} because of the assignment; {always} have it anyway, "
        f"{never} never do"
    )


def weights_sentence(*, p: str, cpi: str) -> str:
    """Say that some customers were moved the other way.

    Examples
    --------
    >>> weights_sentence(p="0.002", cpi="quote_hours")
    'The lever moved quote_hours of some customers the other way (p 0.002): no average of theirs.'
    """
    return f"The lever moved {cpi} of some customers the other way (p {p}): no average of theirs."


def negative_control_sentence(*, kpi: str, p: str, moved: bool) -> str:
    """Say whether an outcome moved that only a direct path can move.

    Examples
    --------
    >>> negative_control_sentence(kpi="shoe_size", p="0.540", moved=False)
    'shoe_size, which only another way could move, stayed (p 0.540)'
    """
    if moved:
        return f"{kpi}, which only another way could move, moved (p {p}): the lever has another path"
    return f"{kpi}, which only another way could move, stayed (p {p})"


def permutation_sentence(*, why: str, p: str) -> str:
    """Say that the permutation test disagrees with Student's t.

    Examples
    --------
    >>> permutation_sentence(why="3 events in an arm", p="0.120")
    'Permuting the arms says otherwise (p 0.120; 3 events in an arm): believe that.'
    """
    return f"Permuting the arms says otherwise (p {p}; {why}): believe that."
