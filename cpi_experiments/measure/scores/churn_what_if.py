"""What would be kept if churn fell: customers and their money over a horizon, with ranges and every assumption said."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import Displayed, clean_text, decimals, interval, number, percent
from cpi_experiments.errors import DataError, EstimationError
from cpi_experiments.measure.columns import complete_cases, numeric
from cpi_experiments.measure.engine import read_columns
from cpi_experiments.stats.contrast import SampleMean, sample_mean, share_ends
from cpi_experiments.stats.inputs import label_codes
from cpi_experiments.stats.kept import Kept, kept_by_less_churn
from cpi_experiments.stats.kept_range import kept_over, product_ends
from cpi_experiments.wording import segments as wording

if TYPE_CHECKING:
    from cpi_experiments.measure.engine import Data

Array = np.ndarray
_LIKE = ("lost", "average")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChurnWhatIf(Displayed):
    """What a lower churn would keep.

    Parameters
    ----------
    churn, churn_low, churn_high : float
        Share of customers lost in a period.
    reduction : float
        Share by which it would fall.
    periods, period : int, str
        Horizon.
    customers : float
        Customers at its start.
    value_per_customer : float
        What a kept customer brings in a period.
    customers_kept, customers_low, customers_high : float
        More customers at the end of the horizon.
    money_kept, money_low, money_high : float
        What they bring until then.
    like : str
        Whose value kept customers have: ``lost``, ``average`` or ``given``.
    exact : tuple of str
        What entered without an error.
    currency : str
    discount : float
    n_obs, n_clusters : int
        Rows and customers behind the estimates; 0 where numbers were given.
    dropped : tuple of (reason, rows)
    confidence_level : float
    """

    churn: float
    churn_low: float
    churn_high: float
    reduction: float
    periods: int
    customers: float
    value_per_customer: float
    customers_kept: float
    customers_low: float
    customers_high: float
    money_kept: float
    money_low: float
    money_high: float
    period: str = "month"
    like: str = "given"
    exact: tuple[str, ...] = ()
    currency: str = ""
    discount: float = 0.0
    n_obs: int = 0
    n_clusters: int = 0
    dropped: tuple[tuple[str, int], ...] = ()
    confidence_level: float = 0.95

    def _title(self) -> str:
        few, many = _spoken(self.customers_low, self.customers_high)
        much, more = _spoken(self.money_low, self.money_high)
        unit = f" {self.currency}" if self.currency else ""
        said = wording.churn_sentence(
            reduction=percent(self.reduction),
            churn=percent(self.churn, 1),
            period=self.period,
            periods=self.periods,
            customers=number(self.customers_kept, few),
            span=many,
            money=number(self.money_kept, much) + unit,
            money_span=more,
        )
        discount = percent(self.discount, 1) if self.discount else ""
        return f"{said}\n{wording.churn_assumptions(like=self.like, exact=self.exact, discount=discount)}"


def _spoken(low: float, high: float) -> tuple[int, str]:
    """Choose decimals, and write the range if there is one."""
    if low == high:
        return 0, ""
    digits = decimals(low, high, most=2)
    return digits, interval(low, high, digits)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    """Estimated churn and value, with their errors."""

    churn: float
    churn_ends: tuple[float, float]
    value: float
    value_error: float
    df: float
    correlation: float


def what_if_churn(  # noqa: PLR0913 - a calculator: every number by name
    *,
    churn: float,
    customers: float,
    value_per_customer: float,
    reduction: float = 0.20,
    periods: int = 12,
    period: str = "month",
    churn_std_error: float | None = None,
    value_std_error: float | None = None,
    correlation: float = 0.0,
    discount: float = 0.0,
    currency: str = "",
    confidence_level: float = 0.95,
) -> ChurnWhatIf:
    """Say how many customers, and how much money, a lower churn would keep.

    Churn is taken as the same in every period (constant hazard), nobody new comes, and a kept customer brings
    ``value_per_customer`` in each period. After T periods ``customers * ((1 - c (1 - r))^T - (1 - c)^T)`` more are
    there. The range follows the range of the churn, and for money that of the value; the reduction is taken as given.

    Parameters
    ----------
    churn : float
        Share of customers lost in a period, 0 to 1.
    customers : float
        Customers at the start.
    value_per_customer : float
        What a kept customer brings in a period; above 0.
    reduction : float
        Share by which churn falls.
    periods : int
        Horizon.
    period : str
        What a period is, in words.
    churn_std_error : float, optional
        Default: that of a share counted among ``customers`` independent ones.
    value_std_error : float, optional
        Without it the value is taken as exact, and the sentence says so.
    correlation : float
        Of the estimated churn and the estimated value.
    discount : float
        Rate by which a later period counts less, such as 0.01.
    currency : str
    confidence_level : float

    Returns
    -------
    ChurnWhatIf

    Raises
    ------
    EstimationError
        If a number is outside its range, or there is no churn to lower.

    References
    ----------
    Fader, Hardie (2007), J. Interactive Marketing 21 (why churn that differs between customers makes this optimistic);
    Zou, Huang, Zhang (2009) for the range of the product.

    Examples
    --------
    >>> print(what_if_churn(churn=0.02, customers=10_000, value_per_customer=30, currency="EUR"))
    If churn of 2.0% a month fell by 20%, about 393 more customers (likely 352 to
      438) would still be here after 12 months, worth 82,047 EUR (likely 72,740 to
      92,286) until then.
    Assumed: churn stays the same in every period, nobody new comes, and kept
      customers bring the value that was given. Taken as exact: the value per
      customer. That churn can be lowered is an assumption, not a finding.
    """
    _check_level(confidence_level)
    _check_size(customers=customers, value=value_per_customer)
    kept = kept_by_less_churn(churn, reduction=reduction, periods=periods, discount=discount)
    error = math.sqrt(churn * (1 - churn) / customers) if churn_std_error is None else churn_std_error
    if not error >= 0 or not (value_std_error is None or value_std_error >= 0) or not -1 <= correlation <= 1:
        raise EstimationError("a standard error is below zero, or the correlation is not between -1 and 1")
    inputs = _Inputs(
        churn=churn,
        churn_ends=(churn, churn)
        if error == 0
        else share_ends(churn, error, max(int(customers), 2), confidence_level=confidence_level),
        value=value_per_customer,
        value_error=value_std_error or 0.0,
        df=math.inf,
        correlation=correlation,
    )
    exact = tuple(
        name for name, known in (("the churn", error), ("the value per customer", inputs.value_error)) if known == 0
    )
    answer = _answer(inputs, kept, customers, (reduction, periods, discount), confidence_level)
    return replace(answer, exact=exact, currency=clean_text(currency), period=clean_text(period))


def what_if_churn_in(  # noqa: PLR0913 - a door: everything by name
    data: Data,
    *,
    unit: str,
    churned: str,
    value: str,
    customers: float | None = None,
    like: str = "lost",
    reduction: float = 0.20,
    periods: int = 12,
    period: str = "month",
    discount: float = 0.0,
    currency: str = "",
    confidence_level: float = 0.95,
) -> ChurnWhatIf:
    """Say what a lower churn would keep, with churn and value estimated from rows of customers and periods.

    Errors take customers as the sampled units, and keep the covariance of churn and value.

    Parameters
    ----------
    data : DataFrame, path or relation
        One row per customer and period in which the customer was there at the start.
    unit : str
        Column of the customer.
    churned : str
        Column that is 1 if the customer left in the period, else 0.
    value : str
        Column of what the customer brought in the period.
    customers : float, optional
        Customers at the start of the horizon; default: those of the data who did not leave.
    like : {"lost", "average"}
        Whose value kept customers have. Those who leave often bring less: ``average`` may promise too much.
    reduction, periods, period, discount, currency, confidence_level
        As of `what_if_churn`; ``period`` is that of the rows.

    Returns
    -------
    ChurnWhatIf

    Raises
    ------
    DataError
        If ``churned`` holds other numbers than 0 and 1, or a customer left twice.
    EstimationError
        If nobody left, fewer than two customers left with a known value, or their value is not above zero.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"id": range(500), "left": [1] * 20 + [0] * 480, "spend": [20.0, 30.0] * 250})
    >>> found = what_if_churn_in(rows, unit="id", churned="left", value="spend", periods=6)
    >>> found.churn, found.value_per_customer, round(found.customers_kept, 1)
    (0.04, 25.0, 19.2)
    """
    _check_level(confidence_level)
    if like not in _LIKE:
        raise DataError(f"like={like!r} is not known", advice=f"Known: {', '.join(_LIKE)}.")
    table = read_columns(data, [unit, churned, value])
    flags, worth = numeric(table, churned), numeric(table, value)
    keep, dropped = complete_cases({unit: table[unit], churned: flags})
    units, left, worth = label_codes(table[unit][keep])[0], flags[keep], worth[keep]
    _check_flags(left, units, churned)
    inputs = _estimated(units, left, worth, like=like, confidence_level=confidence_level)
    unpriced = int(np.sum(np.isnan(worth) & ((left == 1) | (like == "average"))))
    start = float(len(np.unique(units)) - left.sum()) if customers is None else customers
    _check_size(customers=start, value=inputs.value)
    kept = kept_by_less_churn(inputs.churn, reduction=reduction, periods=periods, discount=discount)
    return replace(
        _answer(inputs, kept, start, (reduction, periods, discount), confidence_level),
        like=like,
        currency=clean_text(currency),
        period=clean_text(period),
        n_obs=len(left),
        n_clusters=len(np.unique(units)),
        dropped=(*dropped, *(((f"without {value}", unpriced),) if unpriced else ())),
    )


def _check_level(confidence_level: float) -> None:
    if not 0 < confidence_level < 1:
        raise EstimationError(f"confidence level {confidence_level} is not between 0 and 1")


def _check_size(*, customers: float, value: float) -> None:
    if not (customers > 0 and math.isfinite(customers)):
        raise EstimationError(f"{customers:g} customers cannot be kept", advice="Give the customers at the start.")
    if not (value > 0 and math.isfinite(value)):
        raise EstimationError(
            f"a value of {value:g} per customer and period is not above zero",
            advice="Customers who bring nothing, or cost money, are not worth keeping by this calculation.",
        )


def _check_flags(left: Array, units: Array, name: str) -> None:
    other = left[(left != 0) & (left != 1)]
    if len(other):
        raise DataError(
            f"column {name!r} holds {len(other):,} numbers other than 0 and 1, such as {other[0]:g}",
            advice="It says whether the customer left in the period.",
        )
    twice = int(np.sum(np.bincount(units, weights=left) > 1))
    if twice:
        raise DataError(f"{twice:,} customers left more than once", advice="Rows after leaving do not belong here.")


def _estimated(units: Array, left: Array, worth: Array, *, like: str, confidence_level: float) -> _Inputs:
    """Estimate churn and value with the errors and the correlation of sampled customers."""
    rate = sample_mean(left, units)
    priced = ~np.isnan(worth) & ((left == 1) | (like == "average"))
    if len(np.unique(units[priced])) < 2 or not left.any():
        raise EstimationError(
            f"{int(left.sum()):,} customers left, {len(np.unique(units[priced])):,} customers have the value needed",
            advice="At least one has to leave and two to have a value.",
        )
    worth_of = sample_mean(worth[priced], units[priced])
    ends = share_ends(rate.value, rate.std_error, rate.n_clusters, df=rate.df, confidence_level=confidence_level)
    return _Inputs(
        churn=rate.value,
        churn_ends=ends,
        value=worth_of.value,
        value_error=worth_of.std_error,
        df=worth_of.df,
        correlation=_correlation(rate, worth_of),
    )


def _correlation(a: SampleMean, b: SampleMean) -> float:
    _, here, there = np.intersect1d(a.clusters, b.clusters, assume_unique=True, return_indices=True)
    both = a.std_error * b.std_error
    return float(np.sum(a.shifts[here] * b.shifts[there]) / both) if both > 0 else 0.0


def _answer(
    inputs: _Inputs,
    kept: Kept,
    customers: float,
    horizon: tuple[float, int, float],
    confidence_level: float,
) -> ChurnWhatIf:
    reduction, periods, discount = horizon
    if not kept.customers > 0:
        raise EstimationError(
            f"a churn of {percent(inputs.churn)} leaves nothing to keep by {percent(reduction)} less",
            advice="There has to be churn, and someone left after the horizon.",
        )
    few, spans = kept_over(inputs.churn_ends, reduction=reduction, periods=periods, discount=discount)
    low, high = product_ends(
        kept.periods,
        spans,
        inputs.value,
        std_error=inputs.value_error,
        df=inputs.df,
        correlation=math.copysign(inputs.correlation, inputs.correlation * kept.d_periods),
        confidence_level=confidence_level,
    )
    return ChurnWhatIf(
        churn=inputs.churn,
        churn_low=inputs.churn_ends[0],
        churn_high=inputs.churn_ends[1],
        reduction=reduction,
        periods=periods,
        customers=customers,
        value_per_customer=inputs.value,
        customers_kept=customers * kept.customers,
        customers_low=customers * few[0],
        customers_high=customers * few[1],
        money_kept=customers * kept.periods * inputs.value,
        money_low=customers * low,
        money_high=customers * high,
        discount=discount,
        confidence_level=confidence_level,
    )
