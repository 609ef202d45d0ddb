"""The diagnostics of a combination as rows: name, number, what it says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cpi_experiments.display import decimals, number, p_text, percent, short
from cpi_experiments.evidence.combining.terms import ends_text
from cpi_experiments.stats.combining.debiased import STRONG

if TYPE_CHECKING:
    from cpi_experiments.display import Row
    from cpi_experiments.evidence.combining.combination import Views
    from cpi_experiments.stats.combining.link_point import LinkPoint

#: Below this p-value the experiments are said to disagree.
DISAGREE = 0.10


def finding_rows(point: LinkPoint, views: Views) -> list[Row]:
    """Write every diagnostic as a row of check, number, the number in short, and meaning.

    Parameters
    ----------
    point : LinkPoint
    views : Views
    """
    digits = decimals(point.low, point.high)
    rows = [*_strength(point, views), *_spread(point, digits), *_intercept(views, digits)]
    if not math.isnan(views.lever_low):
        upto = f"to {number(views.lever_high, digits)} when each lever in turn is left out"
        rows.append(_slope("without one lever", views.lever_low, upto, digits))
    rows.append(_slope("weighted median", views.weighted_median, "a view that outliers move little", digits))
    if views.prediction is not None:
        ends = ends_text(views.prediction.low, views.prediction.high, digits)
        rows.append(_slope("a new lever", views.prediction.value, f"to be expected at {ends}", digits))
    if not math.isnan(point.q):
        if not math.isnan(point.value):
            says = _error(views.least_disagreement_error, digits)
            rows.append(_slope("least disagreement", views.least_disagreement, says, digits))
        rows.append(_row("joint set", math.nan, _joint(views, digits)))
    if not math.isnan(views.halves):
        rows.append(_slope("independent halves", views.halves, _error(views.halves_error, digits), digits))
    rows.append(_row("noise correlation", views.noise_correlation, "of the two effects, by shared customers"))
    if not math.isnan(views.naive.scatter):
        rows.append(_slope("naive slope", views.naive.scatter, "what a plain scatter would say", digits))
    return [*rows, *_direct(point)]


def _row(check: str, value: float, says: str) -> Row:
    return {"check": check, "value": value, "shown": short(float(f"{round(value, 9):.3g}")), "says": says}


def _slope(check: str, value: float, says: str, digits: int) -> Row:
    return {"check": check, "value": value, "shown": number(value, digits), "says": says}


def _error(error: float, digits: int) -> str:
    return "no error: the moves are too weak" if math.isinf(error) else f"standard error {number(error, digits)}"


def _direct(point: LinkPoint) -> list[Row]:
    if point.low <= 0 <= point.high or not point.breakdown > 0:
        return []
    says = "most that may bypass the CPI: the sign holds"
    row = _row("direct path", point.breakdown, says)
    return [{**row, "shown": percent(point.breakdown)}]


def _strength(point: LinkPoint, views: Views) -> list[Row]:
    rows = [_row("strength (mean F)", views.mean_f, "how surely a lever moved the CPI; never a gate")]
    if not math.isnan(point.strength):
        enough = "strong enough for a point" if point.strength >= STRONG else f"below {STRONG:g}: no point is printed"
        rows.append(_row("strength (kappa)", point.strength, f"of all together: {enough}"))
    return rows


def _spread(point: LinkPoint, digits: int) -> list[Row]:
    if math.isnan(point.q):
        return []
    says = "more than chance explains" if point.q_p_value < DISAGREE else "no more than chance explains"
    share = _row("not noise (I squared)", point.i_squared, "of the differences between experiments")
    rows = [
        _row("disagreement (Q)", point.q, f"{says} (p {p_text(point.q_p_value)})"),
        {**share, "shown": percent(point.i_squared)},
    ]
    if math.isfinite(point.std_error):
        says = "sd over levers of what bypasses the CPI"
        rows.append(_slope("direct effects (tau)", math.sqrt(point.tau_squared), says, digits))
    return rows


def _intercept(views: Views, digits: int) -> list[Row]:
    line = views.egger
    if line is None:
        return []
    if line.informative:
        rows = [
            _slope(
                "shared direct effect",
                line.intercept,
                f"of all levers (Egger intercept, t {line.intercept_t:.1f})",
                digits,
            ),
            _slope("slope beside it", line.value, _error(line.std_error, digits), digits),
        ]
    else:
        rows = [_row("shared direct effect", math.nan, "not informative: the levers are too alike")]
    if views.not_oriented:
        rows.append(_row("not oriented", float(views.not_oriented), "left out of that line: no declared orientation"))
    return rows


def _joint(views: Views, digits: int) -> str:
    if not views.joint_set:
        return "empty: no single ratio fits all experiments"
    return f"{' or '.join(ends_text(low, high, digits) for low, high in views.joint_set)}: fits all at once"
