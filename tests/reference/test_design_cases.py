"""Planned sizes, effects and powers against numbers that were published or computed by other software."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.randomized.planning import planned_outcomes
from cpi_experiments.randomized.planning.design import Design, design
from cpi_experiments.randomized.planning.planned_outcomes import PlannedCount, PlannedMean, PlannedProportion
from cpi_experiments.randomized.planning.precision import Clusters, Looks
from cpi_experiments.stats.planning.equivalence_power import equivalence_power
from cpi_experiments.stats.planning.many_arm_power import dunnett_critical
from cpi_experiments.stats.sequential.group_sequential import crossing_probability

CASES = json.loads((Path(__file__).parent / "design_cases.json").read_text())
FUNCTIONS = {f.__name__: f for f in (equivalence_power, dunnett_critical)}


def designed(case: dict[str, Any]) -> Design:
    fields = dict(case["outcome"])
    outcome = getattr(planned_outcomes, fields.pop("kind"))(**fields)
    call = dict(case["call"])
    if "clusters" in call:
        call["clusters"] = Clusters(**call["clusters"])
    return design(outcome, **call)


@pytest.mark.parametrize("case", CASES["designs"], ids=lambda case: case["id"])
def test_designs_are_those_of_other_software(case):
    found = designed(case)
    for expected in case["expected"]:
        value = getattr(found, expected["quantity"])
        assert value == pytest.approx(expected["value"], rel=expected["rtol"], abs=0), (expected, value)


@pytest.mark.parametrize("case", CASES["functions"], ids=lambda case: case["id"])
def test_formulas_are_those_of_the_papers(case):
    found = FUNCTIONS[case["function"]](*case["args"], **case["call"])
    assert found == pytest.approx(case["value"], rel=case["rtol"], abs=0)


def test_every_case_names_its_source():
    assert all(len(case["source"]) > 10 for kind in CASES.values() for case in kind)


@pytest.mark.parametrize("ratio", [1.0, 3.0, 0.25])
@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
def test_means_have_the_power_of_statsmodels(ratio, alternative):
    """Pooled degrees of freedom there, Welch's here: the same in equal arms, close in others."""
    solver = pytest.importorskip("statsmodels.stats.power").TTestIndPower()
    plan = design(
        PlannedMean(sd=2.0), n=1200, effect=0.4, allocation={"control": 1, "treatment": ratio}, alternative=alternative
    )
    theirs = {"two-sided": "two-sided", "greater": "larger"}[alternative]
    expected = solver.power(0.2, 1200 / (1 + ratio), 0.05, ratio=ratio, alternative=theirs)
    assert plan.power == pytest.approx(expected, rel=1e-8 if ratio == 1 else 2e-3)


def test_large_samples_have_the_normal_power_of_statsmodels():
    solver = pytest.importorskip("statsmodels.stats.power").NormalIndPower()
    plan = design(PlannedMean(sd=1.0), n=2e7, effect=0.0012)
    assert plan.power == pytest.approx(solver.power(0.0012, 1e7, 0.05), rel=1e-6)


def test_unequal_variances_have_welchs_power():
    """powerSurvEpi::powerWelchT, its formula in SciPy's noncentral t."""
    plan = design(PlannedProportion(rate=0.2), n=300, effect=0.12, allocation={"control": 2, "treatment": 1})
    parts = 0.2 * 0.8 / 200, 0.32 * 0.68 / 100
    df = sum(parts) ** 2 / (parts[0] ** 2 / 199 + parts[1] ** 2 / 99)
    shift, critical = 0.12 / math.sqrt(sum(parts)), stats.t.isf(0.025, df)
    expected = stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift)
    assert plan.power == pytest.approx(expected, rel=1e-8)


def test_counts_have_the_poisson_power_of_statsmodels():
    rates = pytest.importorskip("statsmodels.stats.rates")
    plan = design(PlannedCount(rate=0.5), n=4e7, effect=0.0006)
    expected = rates.power_poisson_diff_2indep(0.5006, 0.5, 2e7, method_var="alt", return_results=False)
    assert plan.power == pytest.approx(float(expected), rel=1e-6)


def test_bonferroni_is_a_level_divided_by_the_treatments():
    arms = {"control": 1, "a": 1, "b": 1, "c": 1}
    many = design(PlannedMean(sd=1.0), n=800, effect=0.3, allocation=arms, correction="bonferroni")
    alone = design(PlannedMean(sd=1.0), n=400, effect=0.3, alpha=0.05 / 3)
    assert many.power == pytest.approx(alone.power, rel=1e-12)


@pytest.mark.parametrize("two_sided", [True, False])
def test_dunnett_is_the_multivariate_t_of_scipy(two_sided):
    shares = [0.5, 0.3, 0.6]
    critical = dunnett_critical(shares, 14.0, two_sided=two_sided)
    corr = np.sqrt(np.outer(shares, shares))
    np.fill_diagonal(corr, 1.0)
    drawn = stats.multivariate_t(shape=corr, df=14).rvs(400_000, random_state=np.random.default_rng(1))
    largest = np.max(np.abs(drawn) if two_sided else drawn, axis=1)
    assert float(np.mean(largest > critical)) == pytest.approx(0.05, abs=0.0017)  # 5 standard errors


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock", "power"])
def test_looks_inflate_a_large_sample_by_the_sequential_factor(spending):
    looks = Looks(number=5, spending=spending, rho=2.0)
    alone, looking = (design(PlannedMean(sd=1.0), effect=1e-3, looks=each).n_exact for each in (None, looks))
    once = stats.norm.isf(0.025) + stats.norm.ppf(0.8)
    drift = once * math.sqrt(looking / alone)
    found = crossing_probability(looks.fractions, looks.bounds(0.05, two_sided=True), drift=drift).sum()
    assert found == pytest.approx(0.8, abs=1e-5)
    assert 1 < looking / alone < 1.35
