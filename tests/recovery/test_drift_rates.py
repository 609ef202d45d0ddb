"""Ageing of links over quarters: how often a link that still works is demoted, and how soon one that died.

A vectorised kernel draws 10,000 links; first it is shown to be the door on random data.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from cpi_experiments.stats.combining.effects import Effects
from cpi_experiments.stats.judging.drift import ageing, score_lower_bound

REPS, BASE, LATER, ERROR, SESOI = 10_000, 6, 10, 0.12, 0.1
CRITICAL = special.ndtri(0.90)


def link(y, error=ERROR):
    one = np.ones(len(y))
    return Effects(x=one, y=y, xx=1e-14 * one, xy=0 * one, yy=error**2 * one, df=np.inf * one, sign=one, move=one)


def kernel(y):
    """At risk and e-value of every link (rows) at each later quarter; one experiment a quarter, first stage known."""
    total = np.cumsum(np.pad(y, ((0, 0), (1, 0))), axis=1)
    later = np.arange(BASE + 1, y.shape[1] + 1)
    bound = (total[:, later] - total[:, later - 4]) / 4 - CRITICAL * ERROR / 2
    baseline = np.maximum(y[:, :BASE].mean(axis=1, keepdims=True) - CRITICAL * ERROR / np.sqrt(BASE), 0.0)
    score = np.cumsum(baseline / 2 - y[:, BASE:], axis=1) / ERROR**2
    information = np.arange(1, y.shape[1] - BASE + 1) / ERROR**2
    rate = np.maximum(baseline, SESOI) ** -2
    log_e = (
        np.log(2)
        + 0.5 * np.log(rate / (information + rate))
        + score**2 / (2 * (information + rate))
        + special.log_ndtr(score / np.sqrt(information + rate))
    )
    return bound, log_e


def draws(later, seed=11, reps=REPS):
    rng = np.random.default_rng(seed)
    truth = np.r_[np.full(BASE, 0.3), np.full(LATER, later)]
    return truth + ERROR * rng.normal(size=(reps, BASE + LATER))


def first(flags):
    """Share of links with a flag ever, and the mean quarter of the first one."""
    ever = flags.any(axis=1)
    return int(ever.sum()), float(flags.argmax(axis=1)[ever].mean() + 1) if ever.any() else np.nan


def test_the_kernel_is_the_door():
    y = draws(0.1, seed=2, reps=60)
    bound, log_e = kernel(y)
    quarters = np.arange(1, BASE + LATER + 1)
    for i, row in enumerate(y):
        at = i % LATER
        found = ageing(link(row), quarters, now=BASE + 1 + at, confirmed=BASE, sesoi=SESOI)
        assert found.lower_bound == pytest.approx(bound[i, at], abs=1e-6)
        assert found.at_risk == (bound[i, at] <= 0)
        assert np.log(found.e_value) == pytest.approx(log_e[i, at], abs=1e-5)


@pytest.mark.parametrize(
    ("later", "risk", "risk_quarter", "breach", "breach_quarter"),
    [
        (0.3, 0.001, None, 0.0, None),
        (0.15, 0.387, 6.2, 0.004, None),
        (0.0, 0.998, 3.5, 0.65, 5.4),
        (-0.1, 1.0, 2.7, 0.995, 3.1),
    ],
)
def test_rates_of_the_drift_table(later, risk, risk_quarter, breach, breach_quarter):
    bound, log_e = kernel(draws(later))
    at_risk, quarter = first(bound <= 0)
    assert at_risk / REPS == pytest.approx(risk, abs=0.02)
    breached, when = first(log_e >= np.log(20))
    assert breached / REPS == pytest.approx(breach, abs=0.02)
    if risk_quarter is not None:
        assert quarter == pytest.approx(risk_quarter, abs=0.15)
    if breach_quarter is not None:
        assert when == pytest.approx(breach_quarter, abs=0.2)


def test_a_link_that_still_works_is_hardly_ever_demoted():
    bound, log_e = kernel(draws(0.3, seed=12))
    assert first(bound <= 0)[0] <= stats.binom.isf(5e-7, REPS, 0.001)
    assert first(log_e >= np.log(20))[0] <= stats.binom.isf(5e-7, REPS, 0.0005)


def test_cumulative_evidence_would_hide_what_died():
    y = draws(0.0)
    z = np.cumsum(y, axis=1)[:, BASE:] / (ERROR * np.sqrt(np.arange(BASE + 1, BASE + LATER + 1)))
    assert first(z < 1.645)[0] / REPS < 0.05 < first(kernel(y)[0] <= 0)[0] / REPS


@pytest.mark.parametrize("half", [True, False])
def test_at_the_edge_of_the_null_the_breach_keeps_its_level(half):
    """The effect falls to exactly half of what the baseline's bound was: 20 is reached in at most 5 % of all links."""
    rng = np.random.default_rng(13)
    y = 0.3 + ERROR * rng.normal(size=(REPS, BASE))
    edge = (y.mean(axis=1, keepdims=True) - CRITICAL * ERROR / np.sqrt(BASE)) / (2 if half else 1)
    later = edge + ERROR * rng.normal(size=(REPS, 40))
    breached = first(kernel(np.hstack([y, later]))[1] >= np.log(20))[0]
    assert breached <= stats.binom.isf(5e-7, REPS, 0.05)
    assert not half or breached > 0


@pytest.mark.parametrize(("strength", "rho"), [(0.7, 0.8), (0.7, -0.8), (3.0, 0.8), (3.0, -0.8)])
def test_weak_first_stages_claim_no_effect_more_often_than_said(strength, rho):
    rng, reps = np.random.default_rng(14), 600
    claimed = 0
    for _ in range(reps):
        noise = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=4)
        one = np.ones(4)
        found = Effects(
            x=strength + noise[:, 0], y=noise[:, 1], xx=one, xy=rho * one, yy=one, df=np.inf * one, sign=one, move=one
        )
        claimed += score_lower_bound(found) > 0
    assert claimed <= stats.binom.isf(5e-7, reps, 0.10)
    assert claimed >= stats.binom.ppf(5e-7, reps, 0.06)
