"""How many customers, and how much of their money, a lower constant churn would keep over some periods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpi_experiments.errors import EstimationError

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept, per customer at the start, with its derivatives.

    Parameters
    ----------
    customers : float
        Share of the customers at the start who are there at the end and would not have been.
    periods : float
        Periods that a customer at the start is kept for, later ones counting less if there is a discount.
    d_customers, d_periods : float
        Derivatives of both by the churn.
    """

    customers: float
    periods: float
    d_customers: float
    d_periods: float


def kept_by_less_churn(churn: float, *, reduction: float, periods: int, discount: float = 0.0) -> Kept:
    """Compare survivors at churn ``c (1 - reduction)`` with those at churn ``c``, the same in every period.

    ``customers = (1 - c (1 - r))^T - (1 - c)^T`` and ``periods`` is its sum over 1, ..., T, where period t counts
    ``(1 + discount)^-t``.

    Parameters
    ----------
    churn : float
        Share of customers lost in a period.
    reduction : float
        Share by which it falls, above 0 up to 1.
    periods : int
    discount : float
        Rate by which a later period counts less.

    Raises
    ------
    EstimationError
        If a number is outside its range.

    Examples
    --------
    >>> kept = kept_by_less_churn(0.02, reduction=0.2, periods=12)
    >>> round(kept.customers, 6), round(kept.periods, 6)
    (0.03931, 0.273489)
    """
    if not 0 <= churn <= 1:
        raise EstimationError(f"churn {churn:g} is not a share between 0 and 1", advice="Write 0.02 for 2%.")
    if not 0 < reduction <= 1:
        raise EstimationError(
            f"reduction {reduction:g} is not a share above 0, up to 1", advice="Write 0.2 for a fifth less."
        )
    if periods != int(periods) or not 0 <= discount < 1:
        raise EstimationError(
            f"{periods:g} periods at a discount of {discount:g}",
            advice="Periods are whole; a discount is a share, such as 0.01 for 1 % per period.",
        )
    if periods < 1:
        raise EstimationError(f"{periods} periods are no horizon", advice="1 or more.")
    t = np.arange(1, periods + 1)
    left, lower = 1 - churn, 1 - churn * (1 - reduction)
    gained = lower**t - left**t
    slope = -(1 - reduction) * t * lower ** (t - 1) + t * left ** (t - 1)
    weight = (1 + discount) ** -t.astype(float)
    return Kept(
        customers=float(gained[-1]),
        periods=float(gained @ weight),
        d_customers=float(slope[-1]),
        d_periods=float(slope @ weight),
    )
