"""What naive methods would have said of the same summaries: the rules that calibration shows to break.

None of these is used anywhere else. Each takes drawn summaries and says, per link, what it would have claimed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from cpi_experiments.calibration.judged import Beside
from cpi_experiments.calibration.judged_draws import Drawn, cases
from cpi_experiments.calibration.world import Claim, Kind
from cpi_experiments.evidence import judge
from cpi_experiments.stats.judging.portfolio import MIN_SLOTS, alone_threshold

if TYPE_CHECKING:
    from collections.abc import Callable

#: Two-sided and one-sided 5 % of the normal.
Z = 1.959963984540054
ONE_SIDED = 1.6448536269514722

Floats = np.ndarray


def wald(drawn: Drawn) -> Floats:
    """Compute t statistics of the ratio of the first experiment, delta-method error; shape (reps,)."""
    x, y = drawn.x[:, 0], drawn.y[:, 0]
    theta = y / x
    return np.asarray(theta * np.abs(x) / np.sqrt(drawn.yy - 2 * theta * drawn.xy + theta**2 * drawn.xx))


def gated(drawn: Drawn) -> Floats:
    """Gate by F above 10, then ask for t above 1.96; over all links."""
    return np.asarray((drawn.x[:, 0] ** 2 > 10 * drawn.xx) & (np.abs(wald(drawn)) > Z))


def passing(drawn: Drawn) -> Floats:
    """Do the same over the links that pass the gate; so the array has another length."""
    strong = drawn.x[:, 0] ** 2 > 10 * drawn.xx
    return np.asarray(np.abs(wald(drawn)) > Z)[strong]


def weighted_slope(drawn: Drawn) -> Floats:
    """Test the inverse-variance slope through the experiments (2SLS with one dummy per arm), t above 1.96."""
    bread = np.sum(drawn.x**2, axis=1)
    return np.asarray(np.abs(np.sum(drawn.x * drawn.y, axis=1)) > Z * np.sqrt(drawn.yy * bread))


def scatter(drawn: Drawn) -> Floats:
    """Test the line through the dots of an experiment scatter, with its own residual error: t above 1.96."""
    x = drawn.x - drawn.x.mean(axis=1, keepdims=True)
    y = drawn.y - drawn.y.mean(axis=1, keepdims=True)
    slope = np.sum(x * y, axis=1) / np.sum(x**2, axis=1)
    residual = np.sum((y - slope[:, None] * x) ** 2, axis=1) / (drawn.x.shape[1] - 2)
    return np.asarray(np.abs(slope) > Z * np.sqrt(residual / np.sum(x**2, axis=1)))


def not_significant(drawn: Drawn) -> Floats:
    """Call a link refuted because it is not significant: p above .05."""
    return np.asarray(~weighted_slope(drawn))


def significant(drawn: Drawn) -> Floats:
    """Call a link confirmed because it is significant, without asking for the size."""
    return np.asarray(weighted_slope(drawn) & (np.sum(drawn.x * drawn.y, axis=1) > 0))


def without_covariance(drawn: Drawn) -> Floats:
    """Judge the same effects with their covariance taken as zero: is the effect published, whatever its size."""
    asked = alone_threshold(0.10, MIN_SLOTS)
    return np.array([judge.judge_cases([c])[0].p_value <= asked for c in cases(drawn, known=0.0)])


def without_orientation(drawn: Drawn) -> Floats:
    """Judge the same effects without having declared how a direct path would point."""
    silent = replace(drawn, truth=replace(drawn.truth, orientation=0))
    return np.array([judge.judge_cases([c])[0].verdict.value == "confirmed" for c in cases(silent)])


def significant_each_quarter(z: Floats) -> Floats:
    """Ask for p below .05 of everything so far, anew each quarter; z and result of shape (..., links, quarters)."""
    return np.asarray(z > ONE_SIDED)


def bh_each_quarter(z: Floats, q: float) -> Floats:
    """Apply Benjamini–Hochberg to the one-sided p-values of all links, anew each quarter; shapes as above."""
    p = special.ndtr(-z)
    ordered = np.sort(p, axis=-2)
    m = z.shape[-2]
    line = q * np.arange(1, m + 1)[:, None] / m
    cut = np.max(np.where(ordered <= line, ordered, -1.0), axis=-2, keepdims=True)
    return np.asarray(p <= cut)


def breaks(
    name: str,
    counts: Callable[[Drawn], Floats],
    bound: float,
    *,
    kind: Kind = "false confirmation",
    cheap: bool = True,
) -> Beside:
    """Claim that a naive method breaks the bound that the judge keeps in this world; not cheap: it asks the judge."""
    claim = Claim(name=name, relation="<=", bound=bound, kind=kind, method=name, naive=True)
    return Beside(claim=claim, counts=counts, cheap=cheap)


def reaches(name: str, counts: Callable[[Drawn], Floats], bound: float) -> Beside:
    """Claim that a naive method is wrong at least so often."""
    claim = Claim(name=name, relation=">=", bound=bound, kind="false confirmation", method=name)
    return Beside(claim=claim, counts=counts)
