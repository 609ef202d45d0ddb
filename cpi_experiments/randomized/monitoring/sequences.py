"""Boundaries laid over the estimates of all looks: intervals, e-values, and when something was shown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.randomized.monitoring.effects import EffectOverTime, Look
from cpi_experiments.randomized.monitoring.looks import Plan
from cpi_experiments.stats.instruments.fieller import Interval, fieller_set, hull
from cpi_experiments.stats.sequential.anytime import always_valid_p, boundary, e_values, student_bound
from cpi_experiments.stats.sequential.conditional_power import conditional_power, predictive_power
from cpi_experiments.stats.sequential.group_sequential import Spending, boundaries
from cpi_experiments.stats.sequential.stopped_trial import Stopped, stopped
from cpi_experiments.stats.student import interval, normal_scores, p_value

if TYPE_CHECKING:
    from cpi_experiments.randomized.monitoring.streams import Stream

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one effect is judged at its looks.

    Parameters
    ----------
    plan : {"fixed", "group_sequential", "anytime"}
    alpha : float
        For this effect.
    alternative : {"two-sided", "greater", "less"}
    spending, rho
        For planned looks; see `cpi_experiments.stats.sequential.group_sequential.spent`.
    better : int
        1 if higher is better, -1 if lower.
    """

    plan: Plan
    alpha: float
    alternative: str = "two-sided"
    spending: Spending = "obrien_fleming"
    rho: float = 3.0
    better: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The looks themselves.

    Parameters
    ----------
    times : tuple of str
    total : int array, shape (k,)
        Randomised units of all arms by each look.
    information : array, shape (k,)
        For the arm of the effect.
    planned_n : int
    ended : bool
        Whether the last look is the end of the trial.
    clustered : bool
        Rows of a cluster may come at several times: a sequence then measures information by the variance.
    """

    times: tuple[str, ...]
    planned_n: int
    total: Array
    information: Array
    ended: bool
    clustered: bool = False


def over_time(
    stream: Stream, timing: Timing, rule: Rule, *, increment: float | None = None, unit: str
) -> EffectOverTime:
    """Judge an effect at all its looks.

    Parameters
    ----------
    stream : Stream
        At least one look.
    timing : Timing
    rule : Rule
    increment : float, optional
        For a link: CPI units of one step. The estimate is then KPI per step with its Anderson-Rubin set; what is shown
        (``crossed``, ``e_value``) is about the KPI, as the set leaves out zero exactly where that is.
    unit : str

    Raises
    ------
    DataError
        If the stream holds no look.
    """
    if not len(stream.place):
        raise DataError(f"no estimate of {stream.outcome!r} yet", advice="Wait for more units.")
    info = fractions(stream, timing)
    bound = _bounds(info, rule, ended=timing.ended)
    critical = student_bound(bound, stream.df)
    e, p = _evidence(stream, info, rule)
    low, high, crossed = _ends(stream, critical, rule)
    sets: list[tuple[Interval, ...]] = [()] * len(info)
    value, error = stream.estimate, stream.std_error
    if increment is not None:
        value, error, sets = _link(stream, critical, increment)
        low, high = np.array([hull(each) for each in sets]).T
    looks = tuple(
        Look(
            time=timing.times[at], n=int(timing.total[at]), information=float(info[i]), estimate=float(value[i]),
            std_error=float(error[i]), low=float(low[i]), high=float(high[i]), boundary=float(bound[i]),
            e_value=float(e[i]), p_value=float(p[i]), crossed=int(crossed[i]), confidence_set=sets[i],
        )
        for i, at in enumerate(stream.place)
    )  # fmt: skip
    first = next((i for i, sign in enumerate(crossed) if sign), None)
    return EffectOverTime(
        outcome=stream.outcome,
        arm=stream.arm,
        unit=unit,
        confidence_level=1 - rule.alpha,
        plan=rule.plan,
        looks=looks,
        planned_n=timing.planned_n,
        decided=0 if first is None else int(crossed[first]),
        final=_final(stream, info, bound, rule, last=_last(rule, first, len(info), ended=timing.ended))
        if increment is None
        else None,
    )


def fractions(stream: Stream, timing: Timing) -> Array:
    """Return the information fractions of a stream's looks.

    With clusters whose rows come at several times the number of clusters at the first look sets the scale, which is
    kept; from then on information grows as the variance falls, whatever it is that grows.
    """
    info = timing.information[stream.place]
    if not timing.clustered:
        return np.asarray(info)
    variance = stream.omega[:, -1, -1]
    return np.asarray(info[0] * variance[0] / variance)


def _evidence(stream: Stream, info: Array, rule: Rule) -> tuple[Array, Array]:
    """Return e-values and p-values; NaN where the plan has none that hold."""
    none = np.full(len(info), math.nan)
    if rule.plan == "anytime":
        e = e_values(
            stream.estimate, stream.std_error, info, alpha=rule.alpha, alternative=rule.alternative, df=stream.df
        )
        return e, always_valid_p(e)
    if rule.plan == "fixed":
        z = stream.estimate / stream.std_error
        return none, np.array([p_value(a, b, alternative=rule.alternative) for a, b in zip(z, stream.df, strict=True)])
    return none, none


def _ends(stream: Stream, critical: Array, rule: Rule) -> tuple[Array, Array, Array]:
    """Return the ends of the intervals, and on which side of zero they lie."""
    infinite = np.full(len(critical), math.inf)
    low = -infinite if rule.alternative == "less" else stream.estimate - critical * stream.std_error
    high = infinite if rule.alternative == "greater" else stream.estimate + critical * stream.std_error
    return low, high, np.where(low > 0, 1, np.where(high < 0, -1, 0))


def _bounds(info: Array, rule: Rule, *, ended: bool) -> Array:
    if rule.plan == "anytime":
        return boundary(info, alpha=rule.alpha, alternative=rule.alternative)
    two_sided = rule.alternative == "two-sided"
    if rule.plan == "fixed":
        return boundaries([1.0], alpha=rule.alpha, two_sided=two_sided)
    return boundaries(info, alpha=rule.alpha, spending=rule.spending, rho=rule.rho, two_sided=two_sided, final=ended)


def _link(stream: Stream, critical: Array, increment: float) -> tuple[Array, Array, list[tuple[Interval, ...]]]:
    """Return KPI per step, its delta-method error, and the Anderson-Rubin set with the sequence's bound for z."""
    x, y = stream.effect[:, 0] / increment, stream.effect[:, 1]
    var_x, cov = stream.omega[:, 0, 0] / increment**2, stream.omega[:, 0, 1] / increment
    var_y = stream.omega[:, 1, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        theta = np.where(x != 0, y / x, math.nan)
        error = np.sqrt(np.maximum(var_y - 2 * theta * cov + theta**2 * var_x, 0)) / np.abs(x)
    sets = [
        fieller_set(x[i], y[i], var_x=var_x[i], var_y=var_y[i], cov=cov[i], critical=critical[i])
        if math.isfinite(critical[i])
        else ((-math.inf, math.inf),)
        for i in range(len(x))
    ]
    return theta, error, sets


def chance_to_succeed(stream: Stream, timing: Timing, rule: Rule, *, planned_effect: float | None = None) -> float:
    """Return the chance that the effect is shown at the planned end, on the side asked for or else the better one.

    Parameters
    ----------
    stream, timing, rule
    planned_effect : float, optional
        If it is the true one (conditional power); else averaged over what the data say (predictive power).

    Returns
    -------
    float
        NaN once the planned end is reached.
    """
    now = float(fractions(stream, timing)[-1])
    if now >= 1 or timing.ended:
        return math.nan
    if rule.plan == "anytime":
        last = float(boundary(1.0, alpha=rule.alpha, alternative=rule.alternative))
    else:
        last = float(_bounds(np.append(fractions(stream, timing), 1.0), rule, ended=True)[-1])
    error = float(stream.std_error[-1])
    side = {"greater": 1, "less": -1}.get(rule.alternative, rule.better)
    z = side * float(stream.estimate[-1]) / error
    if planned_effect is None:
        return predictive_power(z, now, last)
    return conditional_power(z, now, last, drift=abs(planned_effect) / (error * math.sqrt(now)))


def _last(rule: Rule, first: int | None, k: int, *, ended: bool) -> int | None:
    """Return the look at which a trial with planned looks stopped, if it has."""
    if rule.plan != "group_sequential" or (first is None and not ended):
        return None
    return k - 1 if first is None else first


def _final(stream: Stream, info: Array, bound: Array, rule: Rule, *, last: int | None) -> Stopped | None:
    if last is None:
        return None
    estimate, error = float(stream.estimate[last]), float(stream.std_error[last])
    if last == 0:  # one look: Student's own interval needs no way around the normal
        df = float(stream.df[0])
        low, high = interval(estimate, error, df, confidence_level=1 - rule.alpha)
        p = p_value(estimate / error, df, alternative=rule.alternative)
        return Stopped(estimate=estimate, low=low, high=high, p_value=p)
    z = float(normal_scores(np.array([estimate / error]), stream.df[last : last + 1])[0])
    sign = -1 if rule.alternative == "less" else 1
    end = stopped(
        info[: last + 1],
        bound[: last + 1],
        z=sign * z,
        std_error=estimate / z if z else error,
        alpha=rule.alpha,
        two_sided=rule.alternative == "two-sided",
    )
    return end if sign > 0 else Stopped(estimate=-end.estimate, low=-end.high, high=-end.low, p_value=end.p_value)
