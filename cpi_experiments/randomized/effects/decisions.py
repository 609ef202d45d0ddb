"""Margins registered beforehand: is an arm not worse than the control, is it equivalent, and in which words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from cpi_experiments.display import Displayed, decimals, interval, number, p_text, percent
from cpi_experiments.errors import DesignError, nearest
from cpi_experiments.estimate import Status
from cpi_experiments.stats.equivalence import BETTER, MarginTest, equivalence, noninferiority
from cpi_experiments.stats.instruments.fieller import fieller_set
from cpi_experiments.stats.student import quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.estimate import Estimate
    from cpi_experiments.stats.arm_means import ArmMeans

Kind = Literal["non-inferiority", "equivalence"]
Scale = Literal["absolute", "relative"]
Better = Literal["higher", "lower"]
SCALES = ("absolute", "relative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """What was registered for one outcome.

    Parameters
    ----------
    kind : {"non-inferiority", "equivalence"}
    size : float
        In the outcome's unit, or as a share of the control's mean.
    scale : {"absolute", "relative"}
    better : {"higher", "lower"}
        Which way the outcome is better; non-inferiority needs it.
    """

    kind: Kind
    size: float
    scale: Scale = "absolute"
    better: Better = "higher"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginVerdict(Displayed):
    """Whether an effect keeps a margin.

    Parameters
    ----------
    margin : Margin
    outcome, arm, control : str
    p_value : float
        One-sided test against the margin; for equivalence the larger of the two. NaN where it cannot be tested.
    low, high : float
        The interval that decides the same: one-sided for non-inferiority, at 1 - 2 alpha for equivalence; in the
        margin's scale.
    shown : bool
        Whether the margin is kept.
    """

    margin: Margin
    outcome: str
    arm: str
    control: str
    p_value: float
    low: float
    high: float
    shown: bool

    @property
    def verdict(self) -> str:
        """``not worse``, ``equivalent``, ``worse``, ``different``, ``not shown`` or ``not tested``."""
        if math.isnan(self.p_value):
            return "not tested"
        if self.margin.kind == "equivalence":
            apart = self.low > self.margin.size or self.high < -self.margin.size
            return "equivalent" if self.shown else "different" if apart else "not shown"
        return "not worse" if self.shown else "not shown"

    def _title(self) -> str:
        size = f"{100 * self.margin.size:g}%" if self.margin.scale == "relative" else f"{self.margin.size:g}"
        about = f"{self.outcome} with {self.arm}"
        said = f"({self._interval()}, p {p_text(self.p_value)})"
        if self.verdict == "not tested":
            return f"{about}: the margin of {size} cannot be tested."
        if self.margin.kind == "equivalence":
            within = f"within ±{size} of {self.control}"
            words = {"equivalent": f"equivalent, {within}", "different": f"not {within}"}
            return f"{about}: {words.get(self.verdict, f'not shown to be {within}')} {said}."
        worse = f"worse than {self.control} by {size} or more" if self.margin.size else f"no better than {self.control}"
        return f"{about}: {'not' if self.shown else 'may be'} {worse} {said}."

    def _interval(self) -> str:
        if self.margin.scale == "relative":
            ends = [end if math.isinf(end) else 100 * end for end in (self.low, self.high)]
            return f"{interval(ends[0], ends[1], 1, sign=True)} percent"
        return interval(self.low, self.high, decimals(self.low, self.high), sign=True)

    def _rows(self) -> list[dict[str, object]]:
        return [
            {
                "outcome": self.outcome,
                "arm": self.arm,
                "test": self.margin.kind,
                "margin": self.margin.size,
                "margin_scale": self.margin.scale,
                "better": self.margin.better if self.margin.kind == "non-inferiority" else "",
                "low": self.low,
                "high": self.high,
                "p_value": self.p_value,
                "verdict": self.verdict,
            }
        ]


Sizes = float | Mapping[str, float] | None


def read_margins(
    outcomes: Sequence[str],
    *,
    margin: Sizes,
    equivalence: Sizes,
    scale: Scale,
    better: Better | Mapping[str, Better],
) -> dict[str, tuple[Margin, ...]]:
    """Read margins per outcome: one number for all, or a mapping of outcome to number.

    Raises
    ------
    DesignError
        If a margin is no size, or names an outcome, scale or direction that is not known.

    Examples
    --------
    >>> found = read_margins(
    ...     ["won", "hours"], margin={"won": 0.02}, equivalence=None, scale="absolute", better="higher"
    ... )
    >>> [each.size for each in found["won"]], found["hours"]
    ([0.02], ())
    """
    if scale not in SCALES:
        raise DesignError(f"margin scale {scale!r} is not known", advice=nearest(scale, list(SCALES)))
    directions = _by_outcome(better, outcomes, what="better")
    for way in directions.values():
        if way not in BETTER:
            raise DesignError(f"better {way!r} is not known", advice="Known: higher, lower.")
    found: dict[str, tuple[Margin, ...]] = {}
    worse, apart = _by_outcome(margin, outcomes, what="margin"), _by_outcome(equivalence, outcomes, what="equivalence")
    for name in outcomes:
        each: list[Margin] = []
        if name in worse:
            each.append(
                Margin(kind="non-inferiority", size=_size(worse[name], name), scale=scale,
                       better="lower" if directions.get(name) == "lower" else "higher")
            )  # fmt: skip
        if name in apart:
            each.append(Margin(kind="equivalence", size=_size(apart[name], name, least_open=True), scale=scale))
        found[name] = tuple(each)
    return found


def _by_outcome(given: object, outcomes: Sequence[str], *, what: str) -> dict[str, object]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        return dict.fromkeys(outcomes, given)
    for name in given:
        if name not in outcomes:
            raise DesignError(f"{what} names {name!r}, which is not an outcome", advice=nearest(name, list(outcomes)))
    return dict(given)


def _size(given: object, outcome: str, *, least_open: bool = False) -> float:
    number_like = isinstance(given, int | float) and not isinstance(given, bool)
    if not (number_like and math.isfinite(given) and (given > 0 if least_open else given >= 0)):  # type: ignore[arg-type,operator]
        raise DesignError(
            f"margin {given!r} of {outcome!r} is not a size",
            advice="Give how much worse (or how far apart) is still accepted, as a number above zero.",
        )
    return float(given)  # type: ignore[arg-type]


def judge_margin(margin: Margin, estimate: Estimate, arms: tuple[str, str], means: ArmMeans | None) -> MarginVerdict:
    """Test an effect against a margin.

    An absolute margin tests the effect itself. A relative one tests the contrast ``treatment - (1 - margin) control``,
    in which the control's mean is estimated as well (a fixed share of it would be tested as if it were known); its
    interval is Fieller's.

    Parameters
    ----------
    margin : Margin
    estimate : Estimate
    arms : (arm, control)
    means : ArmMeans or None
        Value 0 adjusted, value 1 raw; relative margins need it.

    Raises
    ------
    DesignError
        If a relative margin is asked for an outcome that has no arm means.
    """
    level = estimate.confidence_level
    test = MarginTest(p_value=math.nan, low=math.nan, high=math.nan, shown=False)
    if margin.scale == "relative" and means is None:
        raise DesignError(
            f"a relative margin of {estimate.outcome!r} needs the means of the arms",
            advice='Give it in the unit of the outcome: margin_scale="absolute".',
        )
    if estimate.status is not Status.FAILED and math.isfinite(estimate.std_error):
        if means is None or margin.scale == "absolute":
            test = _absolute(margin, estimate.value, estimate.std_error, estimate.df, level)
        else:
            test = _relative(margin, means, level)
    return MarginVerdict(
        margin=margin, outcome=estimate.outcome, arm=arms[0], control=arms[1], p_value=test.p_value, low=test.low,
        high=test.high, shown=test.shown,
    )  # fmt: skip


def judge_rank_margin(margin: Margin, estimate: Estimate, arms: tuple[str, str]) -> MarginVerdict:
    """Test the chance of exceeding the other arm, less one half, against a margin: on the log odds, as its own test.

    The log odds are symmetric about one half, so that a margin on both sides is one there too. Margin 0 is the
    one-sided test of the effect, and the interval is the effect's. Arms that do not overlap have no log odds; the
    test is then on the chance itself, as is the effect's.

    Parameters
    ----------
    margin : Margin
    estimate : Estimate
        Of a `cpi_experiments.randomized.effects.row_outcomes.Rank`: the probability of superiority less one half.
    arms : (arm, control)

    Raises
    ------
    DesignError
        If the margin is relative, or one half or more: no chance differs from one half by more.

    References
    ----------
    Newcombe (2006), Stat. Med. 25, 559-573 (the log odds of the probability of superiority).
    """
    if margin.scale == "absolute" and margin.size >= 0.5:
        raise DesignError(
            f"margin {margin.size:g} of {estimate.outcome!r} is kept by any result",
            advice="A rank effect is a chance less one half; give a margin below 0.5, such as 0.05.",
        )
    inside = 0.25 - estimate.value**2
    if margin.scale == "relative" or not inside > 0 or not math.isfinite(estimate.std_error):
        verdict = judge_margin(margin, estimate, arms, None)
        return replace(verdict, low=max(verdict.low, -0.5), high=min(verdict.high, 0.5))
    value, size = (2 * math.atanh(2 * each) for each in (estimate.value, margin.size))
    odds = replace(estimate, value=value, std_error=estimate.std_error / inside)
    verdict = judge_margin(replace(margin, size=size), odds, arms, None)
    return replace(verdict, margin=margin, low=math.tanh(verdict.low / 2) / 2, high=math.tanh(verdict.high / 2) / 2)


def _absolute(margin: Margin, value: float, std_error: float, df: float, level: float) -> MarginTest:
    if margin.kind == "equivalence":
        return equivalence(value, std_error, df, bound=margin.size, confidence_level=level)
    return noninferiority(value, std_error, df, margin=margin.size, better=margin.better, confidence_level=level)


def _relative(margin: Margin, means: ArmMeans, level: float) -> MarginTest:
    """Test contrasts of the arms' means; not tested where the control's mean cannot be told from zero."""
    nothing = MarginTest(p_value=math.nan, low=math.nan, high=math.nan, shown=False)
    effect, base = float(means.effect[0]), float(means.control[1])
    sides = {"higher": (-1.0,), "lower": (1.0,)}[margin.better] if margin.kind == "non-inferiority" else (-1.0, 1.0)
    p_values, df = [], means.df(0)
    for side in sides:  # the effect must lie above -size * base, or below +size * base
        gradient = np.array([-1.0, -side * margin.size, 1.0, 0.0])
        std_error = math.sqrt(float(gradient @ means.cov @ gradient))
        parts = [float(gradient[s] @ means.cov[s, s] @ gradient[s]) for s in (slice(0, 2), slice(2, 4))]
        df = means.df_of(np.array(parts), 0)
        way: Better = "higher" if side < 0 else "lower"
        value = effect - side * margin.size * base
        p_values.append(noninferiority(value, std_error, df, margin=0.0, better=way, confidence_level=level).p_value)
    ends = fieller_set(
        base, effect, var_x=float(means.cov[1, 1]), var_y=float(means.omega[0, 0]), cov=_shared(means),
        critical=quantile(level, df),
    )  # fmt: skip
    if not (base > 0 and len(ends) == 1 and all(math.isfinite(end) for end in ends[0])):
        return nothing
    p = max(p_values)
    low = ends[0][0] if -1.0 in sides else -math.inf
    high = ends[0][1] if 1.0 in sides else math.inf
    return MarginTest(p_value=p, low=low, high=high, shown=p < 1 - level)


def _shared(means: ArmMeans) -> float:
    """Covariance of the effect with the control's unadjusted mean."""
    effect, base = np.array([-1.0, 0.0, 1.0, 0.0]), np.array([0.0, 1.0, 0.0, 0.0])
    return float(effect @ means.cov @ base)


def margin_columns(verdicts: Sequence[MarginVerdict]) -> dict[str, object]:
    """Return the columns that verdicts add to a row of a comparison."""
    row: dict[str, object] = {}
    for each in verdicts:
        start = "margin" if each.margin.kind == "non-inferiority" else "equivalence"
        row |= {
            start: each.margin.size,
            f"{start}_p": each.p_value,
            f"{start}_low": each.low,
            f"{start}_high": each.high,
            f"{start}_verdict": each.verdict,
        }
    return row


def short_margin(verdict: MarginVerdict) -> str:
    """Write a verdict for a table.

    Examples
    --------
    >>> short_margin(MarginVerdict(margin=Margin(kind="equivalence", size=0.1), outcome="won", arm="b", control="a",
    ...                            p_value=0.01, low=-0.05, high=0.06, shown=True))
    'equivalent (±0.1)'
    """
    share = verdict.margin.scale == "relative"
    size = percent(verdict.margin.size) if share else number(verdict.margin.size, 6).rstrip("0").rstrip(".")
    return f"{verdict.verdict} ({'±' if verdict.margin.kind == 'equivalence' else ''}{size})"
