"""Published numbers of sequential tests: `sequential_cases.json`."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtri

from cpi_experiments.stats.sequential.anytime import boundary, e_values, mixture_rate
from cpi_experiments.stats.sequential.group_sequential import boundaries, crossing_probability

CASES = json.loads((Path(__file__).parent / "sequential_cases.json").read_text(encoding="utf-8"))


def shape(family: str, constant: float, looks: int) -> tuple[np.ndarray, np.ndarray]:
    t = np.arange(1, looks + 1) / looks
    return t, constant / np.sqrt(t) if family == "obrien_fleming" else np.full(looks, constant)


@pytest.mark.parametrize("case", CASES["boundaries"], ids=lambda c: f"{c['spending']}-{c['rho']}-{c['times'][0]:.2f}")
def test_boundaries_equal_published_ones(case):
    found = boundaries(case["times"], alpha=case["alpha"], spending=case["spending"], rho=case["rho"])
    assert found == pytest.approx(case["bounds"], rel=case["rtol"])


@pytest.mark.parametrize("family", ["pocock", "obrien_fleming"])
def test_published_constants_spend_five_percent(family):
    for looks, constant in CASES["constants"][family].items():
        t, bounds = shape(family, constant, int(looks))
        assert crossing_probability(t, bounds).sum() == pytest.approx(0.05, abs=8e-5)  # three decimals of a constant


@pytest.mark.parametrize("family", ["pocock", "obrien_fleming"])
def test_published_inflation_of_the_sample_is_found(family):
    for case in CASES["inflation"][family]:
        constant = CASES["constants"][family][str(case["looks"])]
        drift = math.sqrt(case["ratio"]) * (ndtri(0.975) + ndtri(case["power"]))
        found = crossing_probability(*shape(family, constant, case["looks"]), drift=drift).sum()
        assert found == pytest.approx(case["power"], abs=5e-4)  # three decimals of a ratio


def test_the_half_width_of_a_sequence_equals_growthbook():
    case = CASES["gbstats"]
    (s0, q0, n0), (s1, q1, n1) = case["control"], case["treatment"]
    m0, m1 = s0 / n0, s1 / n1
    v0, v1 = (q0 - s0**2 / n0) / (n0 - 1), (q1 - s1**2 / n1) / (n1 - 1)
    error = math.sqrt(v1 / n1 / m0**2 + m1**2 * v0 / (n0 * m0**4))
    estimate, time = (m1 - m0) / m0, (n0 + n1) / case["tuning"]
    half = float(boundary(time, alpha=case["alpha"])) * error
    assert [estimate - half, estimate + half] == pytest.approx(case["interval"], rel=1e-8)
    assert math.sqrt(mixture_rate(case["alpha"]) / case["tuning"]) == pytest.approx(case["rho"], rel=1e-8)
    assert min(1.0, 1 / e_values([estimate], [error], [time])[0]) == case["p_value"]


@pytest.mark.parametrize(("two_sided", "name"), [(False, "one_sided"), (True, "two_sided")])
def test_the_boundary_of_a_sum_equals_expectation(two_sided, name):
    """In units of a sum with variance 100, tuned to it: sqrt(100) times the boundary at the planned end."""
    found = 10 * boundary(1.0, alpha=0.05, alternative="two-sided" if two_sided else "greater")
    assert float(found) == pytest.approx(CASES["expectation"][name], rel=1e-8)
