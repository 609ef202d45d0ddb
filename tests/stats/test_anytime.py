"""Sequences that hold at every look: closed forms against integration, duality, limits, and what is refused."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from cpi_experiments.errors import DesignError
from cpi_experiments.stats.sequential.anytime import (
    always_valid_p,
    boundary,
    e_values,
    log_e_value,
    mixture_rate,
    student_bound,
)
from cpi_experiments.stats.sequential.link_process import as_e_values, log_mixture


def mixture(score, information, *, scale):
    """One e-value of the mixture as a plain number."""
    return float(as_e_values(log_mixture(score, information, scale=scale)))


def test_e_value_is_the_likelihood_ratio_averaged_over_a_normal():
    """In units where V = 1 at the look: prior variance r, data z."""
    for z, time in ((0.3, 0.4), (2.5, 1.0), (-3.0, 2.0)):
        r = mixture_rate(0.05) * time
        prior = stats.norm(scale=math.sqrt(r))
        found = integrate.quad(lambda d, z=z, prior=prior: math.exp(z * d - d * d / 2) * prior.pdf(d), -40, 40)[0]
        assert float(log_e_value(z, time)) == pytest.approx(math.log(found), rel=1e-8)


@pytest.mark.parametrize("sign", [1, -1])
def test_one_sided_e_value_is_that_of_the_portfolio(sign):
    z, time = 1.7, 0.8
    r = mixture_rate(0.05, two_sided=False) * time
    other = mixture(z, 1.0, scale=math.sqrt(r))
    found = log_e_value(sign * z, time, alternative="greater" if sign > 0 else "less")
    assert math.exp(found) == pytest.approx(other, rel=1e-12)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("df", [4.0, 60.0, math.inf])
def test_interval_leaves_out_exactly_what_the_e_value_rejects(alternative, df):
    estimates, errors, time = np.array([0.4, 1.1, 0.9]), np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.7, 1.4])
    half = student_bound(boundary(time, alternative=alternative), df) * errors
    low = np.full(3, -math.inf) if alternative == "less" else estimates - half
    high = np.full(3, math.inf) if alternative == "greater" else estimates + half
    for end, missing in ((low, "less"), (high, "greater")):
        if alternative == missing:
            assert np.all(np.isinf(end))
            continue
        at = [
            e_values([d], [s], [t], null=n, alternative=alternative, df=df)[0]
            for d, s, t, n in zip(estimates, errors, time, end, strict=True)
        ]
        assert at == pytest.approx([20.0] * 3, rel=1e-6)


def test_sequence_is_narrowest_near_the_planned_end_and_within_sixty_percent_of_one_look():
    time = np.linspace(0.02, 5, 500)
    width = boundary(time) / np.sqrt(time) * np.sqrt(time)
    assert 0.9 < time[np.argmin(width)] < 1.2
    assert float(boundary(1.0)) / stats.norm.isf(0.025) < 1.6
    assert float(boundary(1.0, alternative="greater")) / stats.norm.isf(0.05) < 1.7


def test_p_value_never_rises_and_starts_at_one():
    assert always_valid_p(np.array([0.2, 4.0, 1.0, 50.0])).tolist() == [1.0, 0.25, 0.25, 0.02]


def test_small_samples_have_wider_bounds_with_the_same_tail():
    z = np.array([2.0, 3.0, 4.0])
    assert stats.t.sf(student_bound(z, 7.0), 7) == pytest.approx(stats.norm.sf(z), rel=1e-9)
    assert math.isinf(student_bound(np.array([37.0]), 3.0)[0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: boundary(0.0), "above zero"),
        (lambda: boundary(1.0, alpha=1.0), "alpha"),
        (lambda: boundary(1.0, alpha=0.6, alternative="greater"), "alpha"),
        (lambda: boundary(1.0, alternative="up"), "not known"),
        (lambda: log_e_value(1.0, 1.0, alternative="up"), "not known"),
        (lambda: log_e_value(1.0, math.nan), "above zero"),
    ],
)
def test_what_is_no_sequence_is_refused(call, words):
    with pytest.raises(DesignError, match=words):
        call()
