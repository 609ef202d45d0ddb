"""Power against SciPy's and statsmodels' noncentral t, its inverses, and what cannot be planned."""

import math
from typing import Any

import pytest
from scipy import stats

from cpi_experiments.errors import DesignError
from cpi_experiments.stats.planning.power import minimum_detectable_effect, power, sample_size


@pytest.mark.parametrize("n", [6, 40, 1000, 50_000])
@pytest.mark.parametrize("ratio", [1.0, 0.25, 3.0])
def test_power_is_that_of_statsmodels(n: int, ratio: float) -> None:
    solver = pytest.importorskip("statsmodels.stats.power").TTestIndPower()
    n1 = n / (1 + ratio)
    effect = 2.0 / math.sqrt(n)
    for mine, theirs in {"two-sided": "two-sided", "greater": "larger"}.items():
        expected = solver.power(effect, n1, 0.05, ratio=ratio, alternative=theirs)
        assert power(effect * 3, n, std_dev=3.0, ratio=ratio, alternative=mine) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_power_without_effect_is_alpha(alternative: str) -> None:
    assert power(0.0, 50, std_dev=2.0, alternative=alternative) == pytest.approx(0.05, rel=1e-9)


def test_power_of_a_two_sided_test_does_not_care_for_the_sign() -> None:
    assert power(-0.3, 90, std_dev=1.0) == power(0.3, 90, std_dev=1.0)
    assert power(0.3, 90, std_dev=1.0, alternative="less") < 0.01
    assert power(-0.3, 90, std_dev=1.0, alternative="less") == power(0.3, 90, std_dev=1.0, alternative="greater")


def test_large_samples_continue_smoothly_into_the_normal() -> None:
    below, above = (power(0.005, n, std_dev=1.0) for n in (1_000_001, 1_000_003))
    assert above == pytest.approx(below, abs=1e-5)
    shift = 0.005 * math.sqrt(1_000_003) / 2
    assert above == pytest.approx(stats.norm.sf(stats.norm.isf(0.025) - shift), abs=1e-4)
    assert power(1.0, 10_000, std_dev=0.1) == 1.0


def test_two_units_have_no_power() -> None:
    assert power(5.0, 2, std_dev=1.0) == 0.0


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: sample_size(0.0, std_dev=1.0), "an effect of 0 cannot be found"),
        (lambda: sample_size(-1.0, std_dev=1.0, alternative="greater"), "cannot be found by a greater test"),
        (lambda: sample_size(1.0, std_dev=1.0, alternative="less"), "cannot be found by a less test"),
        (lambda: sample_size(1e-7, std_dev=1.0), "no feasible sample"),
        (lambda: sample_size(0.1, 1.2, std_dev=1.0), "power 1.2 is not between"),
        (lambda: sample_size(0.1, 0.05, std_dev=1.0), "power 0.05 is not between"),
        (lambda: sample_size(0.1, math.nan, std_dev=1.0), "power nan is not between"),
        (lambda: power(0.1, 100, std_dev=1.0, alpha=0.0), "alpha 0 is not between"),
        (lambda: power(0.1, 100, std_dev=1.0, alpha=5.0), "alpha 5 is not between"),
        (lambda: power(0.1, 100, std_dev=0.0), "standard deviation 0 is not above zero"),
        (lambda: power(0.1, 100, std_dev=math.inf), "standard deviation inf"),
        (lambda: power(0.1, 100, std_dev=1.0, ratio=0.0), "allocation ratio 0 is not above zero"),
        (lambda: power(0.1, 100, std_dev=1.0, alternative="larger"), "alternative 'larger' is not known"),
        (lambda: power(math.nan, 100, std_dev=1.0), "an effect of nan is not"),
        (lambda: power(0.1, math.nan, std_dev=1.0), "a sample of nan units is not"),
        (lambda: minimum_detectable_effect(2, std_dev=1.0), "2 units are too few"),
        (lambda: minimum_detectable_effect(100, 0.01, std_dev=1.0), "power 0.01 is not between"),
        (lambda: minimum_detectable_effect(math.inf, std_dev=1.0), "a sample of inf units is not"),
        (lambda: sample_size(math.nan, std_dev=1.0), "an effect of nan is not"),
    ],
)
def test_what_cannot_be_planned_is_refused(call: Any, found: str) -> None:
    with pytest.raises(DesignError, match=found):
        call()


@pytest.mark.parametrize("n", [8, 255])
def test_the_far_tail_is_nothing_rather_than_nan(n: int) -> None:
    """SciPy's noncentral t ends in NaN where the wrong side's chance is below 1e-13."""
    both, one = (
        power(3.0, n, std_dev=0.6, alpha=a, alternative=b) for a, b in ((0.001, "two-sided"), (0.0005, "greater"))
    )
    assert both == pytest.approx(one, rel=1e-12)
    assert power(-3.0, n, std_dev=0.6, alpha=0.0005, alternative="greater") < 1e-13
