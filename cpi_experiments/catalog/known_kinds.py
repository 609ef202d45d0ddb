"""The built-in indicators, one entry each."""

from __future__ import annotations

from typing import Final

from cpi_experiments.catalog.indicator_kinds import IndicatorKind, Interval, Reading
from cpi_experiments.errors import CatalogError, nearest
from cpi_experiments.units import Direction

_TIME: Final = ("second", "minute", "hour", "day", "week")
_MONEY: Final = ("EUR", "USD", "GBP", "CHF", "BRL")
_SHARE: Final = ("fraction",)
_POINT: Final = ("point",)
_HIGHER, _LOWER = Direction.HIGHER, Direction.LOWER

_KINDS: Final = (
    IndicatorKind(
        id="nps",
        label="Net promoter score",
        definition="Share of promoters (9, 10) less share of detractors (0 to 6), times 100.",
        reading=Reading.NPS,
        units=_POINT,
        better=_HIGHER,
        scale=(0.0, 10.0),
        whole=True,
        company=True,
        source="Reichheld (2003), Harvard Business Review 81(12)",
    ),
    IndicatorKind(
        id="csat",
        label="Customer satisfaction",
        definition="Mean answer to how satisfied the customer is.",
        reading=Reading.SCORE,
        units=_POINT,
        better=_HIGHER,
        scale=(1.0, 5.0),
        whole=True,
        company=True,
        source="ISO 10004:2018, customer satisfaction",
    ),
    IndicatorKind(
        id="csat_top_box",
        label="Customer satisfaction, top box",
        definition="Share of answers that are the highest of the scale (or among the `top` highest).",
        reading=Reading.TOP_BOX,
        units=_SHARE,
        better=_HIGHER,
        interval=Interval.SHARE,
        scale=(1.0, 5.0),
        whole=True,
        company=True,
        source="ISO 10004:2018, customer satisfaction",
    ),
    IndicatorKind(
        id="ces",
        label="Customer effort score",
        definition="Mean agreement that the company made it easy, 1 to 7 (CES 2.0).",
        reading=Reading.SCORE,
        units=_POINT,
        better=_HIGHER,
        scale=(1.0, 7.0),
        whole=True,
        source="Dixon, Freeman, Toman (2010), Harvard Business Review 88(7); CES 2.0 of 2013",
    ),
    IndicatorKind(
        id="first_time_resolution",
        label="First time resolution",
        definition="Share of requests that were solved at the first contact.",
        reading=Reading.FLAG,
        units=_SHARE,
        better=_HIGHER,
        interval=Interval.SHARE,
        whole=True,
    ),
    IndicatorKind(
        id="response_time",
        label="Response time",
        definition="Time from a request to the first answer.",
        reading=Reading.DURATION,
        units=_TIME,
        better=_LOWER,
    ),
    IndicatorKind(
        id="resolution_time",
        label="Resolution time",
        definition="Time from a request to its solution.",
        reading=Reading.DURATION,
        units=_TIME,
        better=_LOWER,
    ),
    IndicatorKind(
        id="share_within",
        label="Share within the promise",
        definition="Share of requests that took no longer than was promised.",
        reading=Reading.PROMISE,
        units=_SHARE,
        better=_HIGHER,
        interval=Interval.SHARE,
    ),
    IndicatorKind(
        id="on_time",
        label="On time",
        definition="Share of deliveries that came when promised or earlier.",
        reading=Reading.FLAG,
        units=_SHARE,
        better=_HIGHER,
        interval=Interval.SHARE,
        whole=True,
    ),
    IndicatorKind(
        id="nothing_broke",
        label="Nothing broke",
        definition="Share of deliveries that arrived whole.",
        reading=Reading.FLAG,
        units=_SHARE,
        better=_HIGHER,
        interval=Interval.SHARE,
        whole=True,
    ),
    IndicatorKind(
        id="options_offered",
        label="Options offered",
        definition="Number of choices (plans, ways to pay, dates) that the customer was shown.",
        reading=Reading.NUMBER,
        units=("option", "count"),
        better=_HIGHER,
        whole=True,
    ),
    IndicatorKind(
        id="complaint_resolution",
        label="Complaint resolution",
        definition="Share of complaints that were solved.",
        reading=Reading.FLAG,
        units=_SHARE,
        better=_HIGHER,
        interval=Interval.SHARE,
        whole=True,
        source="ISO 10002:2018, complaints handling",
    ),
    IndicatorKind(
        id="review_score",
        label="Review score",
        definition="Mean number of stars that customers give.",
        reading=Reading.SCORE,
        units=_POINT,
        better=_HIGHER,
        scale=(1.0, 5.0),
        whole=True,
        company=True,
    ),
    IndicatorKind(
        id="engagement",
        label="Engagement of employees",
        definition="Mean answer of a team's employees; the entity is the employee.",
        reading=Reading.SCORE,
        units=_POINT,
        better=_HIGHER,
        scale=(1.0, 5.0),
        whole=True,
        company=True,
        source="Harter, Schmidt, Hayes (2002), J. Appl. Psychol. 87, 268-279 (the five-point questions)",
    ),
    IndicatorKind(
        id="retention",
        label="Retention",
        definition="Share of customers who were active and are active again in the next period.",
        reading=Reading.FLAG,
        units=_SHARE,
        better=_HIGHER,
        interval=Interval.SHARE,
        aggregate="any",
        whole=True,
        company=True,
    ),
    IndicatorKind(
        id="churn",
        label="Churn",
        definition="Share of active customers who are gone in the next period; in trials: who left in the window.",
        reading=Reading.FLAG,
        units=_SHARE,
        better=_LOWER,
        interval=Interval.SHARE,
        aggregate="any",
        whole=True,
        company=True,
    ),
    IndicatorKind(
        id="repurchase",
        label="Repurchase rate",
        definition="Share of customers who buy again within a window after their first purchase.",
        reading=Reading.FLAG,
        units=_SHARE,
        better=_HIGHER,
        interval=Interval.SHARE,
        aggregate="any",
        window="90 days",
        whole=True,
        company=True,
    ),
    IndicatorKind(
        id="survival",
        label="Customers who stay",
        definition="Share of customers who stay longer than a time, with those still there counted as far as seen.",
        reading=Reading.DURATION,
        units=_SHARE,
        better=_HIGHER,
        interval=Interval.SURVIVAL,
        window="365 days",
        company=True,
        by_customer=False,
        source="Kaplan, Meier (1958), J. Am. Stat. Assoc. 53, 457-481",
    ),
    IndicatorKind(
        id="revenue_per_customer",
        label="Revenue per customer",
        definition="Sum of a customer's revenue.",
        reading=Reading.AMOUNT,
        units=_MONEY,
        better=_HIGHER,
        aggregate="sum",
        company=True,
    ),
    IndicatorKind(
        id="margin_per_customer",
        label="Margin per customer",
        definition="Sum of a customer's margin.",
        reading=Reading.AMOUNT,
        units=_MONEY,
        better=_HIGHER,
        aggregate="sum",
        company=True,
    ),
    IndicatorKind(
        id="clv_realised",
        label="Lifetime value, realised",
        definition="Sum of a customer's margin in the window after the first purchase.",
        reading=Reading.AMOUNT,
        units=_MONEY,
        better=_HIGHER,
        aggregate="sum",
        window="365 days",
        company=True,
    ),
    IndicatorKind(
        id="clv_projected",
        label="Lifetime value, projected",
        definition="Margin per period x r / (1 + d - r), with retention r and rate of interest d per period.",
        reading=Reading.AMOUNT,
        units=_MONEY,
        better=_HIGHER,
        interval=Interval.PROJECTION,
        company=True,
        by_customer=False,
        source="Gupta, Lehmann (2003), J. Interactive Marketing 17, 9-24",
    ),
    IndicatorKind(
        id="cac",
        label="Customer acquisition cost",
        definition="Money spent on winning customers, divided by the number of new customers.",
        reading=Reading.NUMBER,
        units=_MONEY,
        better=_LOWER,
        interval=Interval.COST,
        whole=True,
        company=True,
        by_customer=False,
    ),
)

#: Every built-in indicator by its id.
KINDS: Final = {kind.id: kind for kind in _KINDS}


def find_kind(name: str) -> IndicatorKind:
    """Return a built-in indicator.

    Raises
    ------
    CatalogError
        With the nearest known one.

    Examples
    --------
    >>> find_kind("nps").label
    'Net promoter score'
    """
    if name not in KINDS:
        raise CatalogError(f"indicator {name!r} is not built in", advice=nearest(name, list(KINDS)))
    return KINDS[name]
