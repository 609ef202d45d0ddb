"""Published and closed-form numbers of quantiles, ranks, permutation and the wild bootstrap: `row_effect_cases.json`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cpi_experiments.stats.quantile_effect import quantile_effect
from cpi_experiments.stats.rank_test import superiority
from cpi_experiments.stats.resampling.permutation import permutation_test
from cpi_experiments.stats.resampling.totals import Totals, totals_of
from cpi_experiments.stats.resampling.wild_bootstrap import wild_cluster_test
from cpi_experiments.stats.student import p_value

CASES = json.loads((Path(__file__).parent / "row_effect_cases.json").read_text(encoding="utf-8"))
Array = np.ndarray


def both(case: dict[str, Any]) -> tuple[Array, Array]:
    arms = case["control"], case["treatment"]
    return np.concatenate(arms).astype(float), np.repeat([False, True], [len(arm) for arm in arms])


def totals(case: dict[str, Any]) -> Totals:
    values, treated = both(case)
    return totals_of(values, np.ones(len(values)), treated)


@pytest.mark.parametrize("case", CASES["quantile_variance"], ids=lambda case: case["id"])
def test_quantile_variance(case):
    """An arm whose order statistics around the quantile are the published ones."""
    n, p = case["n"], case["probability"]
    ranks = n * (p + np.array([-1, 0, 1]) * 1.959963984540054 * np.sqrt(p * (1 - p) / n))
    knots = [1, *np.ceil(ranks), n]
    points = [0.0, case["lower"], case["quantile"], case["upper"], 20.0]
    arm = np.interp(np.arange(1, n + 1), knots, points)
    found = quantile_effect(np.tile(arm, 2), np.arange(2 * n) >= n, p)
    assert found.bracket_control == pytest.approx((case["lower"], case["upper"]), rel=1e-12)
    assert found.cov[0, 0] * n == pytest.approx(case["expected"], rel=case["rtol"])


@pytest.mark.parametrize("case", CASES["rank"], ids=lambda case: case["id"])
def test_rank(case):
    found = superiority(*both(case))
    statistic = (found.probability - 0.5) / found.std_error
    assert found.probability == pytest.approx(case["probability"], abs=5e-7)
    assert statistic == pytest.approx(case["statistic"], abs=5e-5)
    assert found.df == pytest.approx(case["df"], abs=5e-4)
    assert p_value(statistic, found.df) == pytest.approx(case["p_value"], abs=5e-7)


@pytest.mark.parametrize("case", CASES["permutation"], ids=lambda case: case["id"])
def test_permutation(case):
    found = permutation_test(totals(case), rng=np.random.default_rng(0))
    assert found.p_value == pytest.approx(case["p_value"], rel=1e-12)


@pytest.mark.parametrize("case", CASES["wild"], ids=lambda case: case["id"])
def test_wild(case):
    found = wild_cluster_test(totals(case), rng=np.random.default_rng(0))
    assert found.p_value == pytest.approx(case["p_value"], rel=1e-12)
