"""The tF critical value: the published table, the property it is built from, and its ends."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.instruments.tf_interval import tf_critical, tf_interval

#: Lee, McCrary, Moreira, Porter (2022), table 3a: square root of F and critical value, rounded up there.
PUBLISHED = [(2.0, 18.66), (2.1, 9.74), (2.2, 7.37), (2.5, 4.92), (3.0, 3.65), (3.2, 3.39), (4.0, 2.80), (5.0, 2.46)]


@pytest.mark.parametrize(("root", "critical"), PUBLISHED)
def test_critical_values_are_the_published_ones(root: float, critical: float) -> None:
    assert critical - 0.0125 <= tf_critical(root**2) <= critical + 0.001


def test_the_worst_case_is_rejected_in_exactly_five_percent() -> None:
    """With errors of both stages the same, t = f (f - m) / m: its size is .05 for every m."""
    f = np.linspace(-14, 14, 28_001)
    half = np.array([tf_critical(x * x) for x in f[14_000:]])
    critical = np.concatenate([half[:0:-1], half])
    for m in (0.2, 0.5, 1.0, 2.0, 4.0, 7.0):
        rejected = abs(f * (f - m) / m) > critical
        size = np.trapezoid(stats.norm.pdf(f - m) * rejected, f)
        assert size == pytest.approx(0.05, abs=6e-4), m


def test_it_is_infinite_for_no_first_stage_and_normal_for_a_strong_one() -> None:
    assert math.isinf(tf_critical(3.84))
    assert tf_critical(104.7) == pytest.approx(1.959964, abs=1e-6)
    assert tf_critical(math.inf) == pytest.approx(1.959964, abs=1e-6)
    assert math.isnan(tf_critical(math.nan))
    assert tf_critical(20, confidence_level=0.99) > tf_critical(20)
    assert tf_interval(1.0, 0.5, 2.0) == (-math.inf, math.inf)
    low, high = tf_interval(1.0, 0.5, 1e6)
    assert (low, high) == pytest.approx((1 - 0.979982, 1 + 0.979982), abs=1e-6)
    values = [tf_critical(f) for f in np.linspace(3.9, 110, 400)]
    assert all(a >= b - 1e-9 for a, b in pairwise(values))


def test_a_level_that_is_no_share_is_refused() -> None:
    with pytest.raises(EstimationError, match=r"confidence level 0.4 is not between 0.5 and 1"):
        tf_critical(10, confidence_level=0.4)
