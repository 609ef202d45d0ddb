"""The sentences of customer segments, of reasons for leaving, of less churn, and of promoters against detractors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpi_experiments.wording.review import plural

if TYPE_CHECKING:
    from collections.abc import Mapping


def risk_sentence(*, money: str, span: str, value: str, customers: str) -> str:
    """Say how much money stands at risk.

    Examples
    --------
    >>> risk_sentence(money="412,000", span="380,000 to 444,000", value="revenue", customers="1,204")
    'Of 1,204 customers, those at risk (large and at risk, critical and disappointed) stand for 412,000 of revenue (likely 380,000 to 444,000).'
    """  # noqa: E501 - one sentence, one line
    who = f"Of {customers} customers, those at risk (large and at risk, critical and disappointed)"
    if money == "not available":
        return f"{who} are too few to be shown."
    if span == "not available":
        return f"{who} stand for {money} of {value}."
    return f"{who} stand for {money} of {value} (likely {span})."


def unknown_sentence(*, count: str, share: str) -> str:
    """Say how many customers could not be placed.

    Examples
    --------
    >>> unknown_sentence(count="300", share="25%")
    'Without the answers or value needed to place them: 300 customers (25%); they are no passives, and may be at risk.'
    """
    if not count:
        return "How many customers could not be placed is hidden: too few, or it would give a small group away."
    if count == "0":
        return "Every customer could be placed."
    head = f"Without the answers or value needed to place them: {count} customers ({share})"
    return f"{head}; they are no passives, and may be at risk."


def limits_sentence(limits: Mapping[str, str]) -> str:
    """Say which limits made the groups.

    Examples
    --------
    >>> limits_sentence({"promoter_from": "9", "detractor_to": "6"})
    'Limits: promoter from 9, detractor to 6.'
    """
    said = [f"{name} {limit}".replace("_", " ") for name, limit in limits.items()]
    return f"Limits: {', '.join(said)}."


def reasons_sentence(*, customers: str, top: str, share: str, span: str, unknown: str) -> str:
    """Say why customers leave.

    Examples
    --------
    >>> reasons_sentence(customers="812", top="price", share="34%", span="29% to 40%", unknown="12%")
    'Of 812 lost customers most name "price": 34% (likely 29% to 40%). The reason is not known for 12%.'
    """
    head = f'Of {customers} lost customers most name "{top}": {share} (likely {span}).' if top else ""
    tail = f"The reason is not known for {unknown}." if unknown else ""
    return " ".join(part for part in (head, tail) if part) or f"{customers} lost customers: too few to show reasons."


def churn_sentence(  # noqa: PLR0913 - every number of the sentence
    *, reduction: str, churn: str, period: str, periods: int, customers: str, span: str, money: str, money_span: str
) -> str:
    """Say what less churn would keep.

    Examples
    --------
    >>> churn_sentence(reduction="20%", churn="2.0%", period="month", periods=12, customers="412", span="380 to 444",
    ...                money="98,000", money_span="90,000 to 107,000")
    'If churn of 2.0% a month fell by 20%, about 412 more customers (likely 380 to 444) would still be here after 12 months, worth 98,000 (likely 90,000 to 107,000) until then.'
    """  # noqa: E501 - one sentence, one line
    when = f"{periods} {period}{'' if periods == 1 else 's'}"
    span, money_span = (f" (likely {each})" if each else "" for each in (span, money_span))
    return (
        f"If churn of {churn} a {period} fell by {reduction}, about {customers} more customers{span} would "
        f"still be here after {when}, worth {money}{money_span} until then."
    )


_ASSUMED = {
    "lost": "kept customers bring what lost ones brought before they left",
    "average": "kept customers bring what the average customer brings",
    "given": "kept customers bring the value that was given",
}


def churn_assumptions(*, like: str, exact: tuple[str, ...], discount: str) -> str:
    """Say what the calculation takes for granted.

    Examples
    --------
    >>> churn_assumptions(like="lost", exact=(), discount="")
    'Assumed: churn stays the same in every period, nobody new comes, and kept customers bring what lost ones brought before they left. That churn can be lowered is an assumption, not a finding.'
    """  # noqa: E501 - one text, one line
    known = f" Taken as exact: {', '.join(exact)}." if exact else ""
    less = f" Later money counts {discount} less a period." if discount else ""
    return (
        f"Assumed: churn stays the same in every period, nobody new comes, and {_ASSUMED[like]}.{known}{less} "
        "That churn can be lowered is an assumption, not a finding."
    )


def gap_sentence(*, more: bool, size: str, span: str, value: str, told: bool) -> str:
    """Say how promoters differ from detractors.

    Examples
    --------
    >>> gap_sentence(more=True, size="120", span="+80 to +160", value="revenue", told=True)
    'Promoters have 120 more revenue than detractors (+80 to +160).'
    >>> gap_sentence(more=True, size="12", span="-80 to +104", value="revenue", told=False)
    'We cannot tell whether promoters and detractors differ in revenue: -80 to +104.'
    """
    if not told:
        return f"We cannot tell whether promoters and detractors differ in {value}: {span}."
    return f"Promoters have {size} {'more' if more else 'less'} {value} than detractors ({span})."


def gap_note(*, ratio: str, span: str, promoters: str, detractors: str, unanswered: int) -> str:
    """Say the ratio, the counts, and that this is no cause.

    Examples
    --------
    >>> gap_note(ratio="1.7", span="1.4 to 2.1", promoters="512", detractors="240", unanswered=0)
    'That is 1.7 times as much (1.4 to 2.1). 512 promoters, 240 detractors. They may differ in other ways: this does not show that a better score brings more.'
    """  # noqa: E501 - one text, one line
    times = f"That is {ratio} times as much ({span}). " if ratio else ""
    lost = f" Not used: {plural(unanswered, 'row')} without a score or value." if unanswered else ""
    return (
        f"{times}{promoters} promoters, {detractors} detractors.{lost} They may differ in other ways: this does not "
        "show that a better score brings more."
    )
