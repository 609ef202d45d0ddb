"""Combining against independent code: `ivmodels` on units, JIVE on units, statsmodels' Paule-Mandel and Hartung-Knapp."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects

from cpi_experiments.stats.combining.debiased import debiased_ratio, steady_weights
from cpi_experiments.stats.combining.effects import Effects
from cpi_experiments.stats.combining.heterogeneity import least_disagreement, q_statistic
from cpi_experiments.stats.combining.joint_set import joint_set
from cpi_experiments.stats.combining.link_point import link_point
from cpi_experiments.stats.combining.many_views import prediction

CASES = json.loads((Path(__file__).parent / "combining_cases.json").read_text(encoding="utf-8"))["cases"]


def effects_of(x: Any, y: Any, xx: Any, xy: Any, yy: Any) -> Effects:
    k = len(x)
    full = [np.broadcast_to(np.asarray(each, dtype=float), (k,)).copy() for each in (x, y, xx, xy, yy)]
    ones = np.ones(k)
    return Effects(**dict(zip(("x", "y", "xx", "xy", "yy"), full, strict=True)), df=np.inf * ones, sign=ones, move=ones)


def summaries(case: dict[str, Any]) -> Effects:
    """Effects of every experiment with the error covariance that all share, n - 2K degrees of freedom."""
    k, n = case["experiments"], case["units"]
    units = np.stack([case["cpi"], case["kpi"]]).reshape(2, k, n // 2, 2)  # control and treated take turns
    means = units.mean(axis=2)
    left = (units - means[:, :, None, :]).reshape(2, -1)
    omega = left @ left.T / (k * n - 2 * k) * 4 / n
    x, y = means[..., 1] - means[..., 0]
    return effects_of(x, y, omega[0, 0], omega[0, 1], omega[1, 1])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_least_disagreement_is_liml_and_the_joint_set_is_anderson_and_rubins(case: dict[str, Any]) -> None:
    effects = summaries(case)
    at = least_disagreement(effects)
    assert at == pytest.approx(case["liml"], rel=1e-6)
    expected = [tuple(float(end) for end in piece) for piece in case["set"]]
    assert np.array(sorted(joint_set(effects, at=at))) == pytest.approx(np.array(expected), rel=1e-6)
    if len(effects) < 10:
        assert link_point(effects).value == pytest.approx(case["liml"], rel=1e-6)


def test_cases_hold_every_shape_of_set() -> None:
    shapes = {case["id"]: [all(math.isfinite(float(end)) for end in piece) for piece in case["set"]] for case in CASES}
    assert shapes["strong"] == shapes["many"] == [True]
    assert shapes["disagree"] == []
    assert False in shapes["weak"]


@pytest.mark.parametrize(("k", "n"), [(4, 6), (15, 8)])
def test_debiased_ratio_is_jive_on_pairs_of_units(k: int, n: int) -> None:
    """Leave-one-out: sum over pairs i != j of dx_i dy_j, over the same of dx_i dx_j, experiment by experiment."""
    rng = np.random.default_rng([k, n])
    move = rng.normal(size=k) * 2
    dx = move[:, None] + rng.normal(size=(k, n))
    dy = 0.5 * move[:, None] + 0.8 * (dx - move[:, None]) + rng.normal(size=(k, n))
    omega = np.stack([np.cov(dx[j], dy[j]) / n for j in range(k)])
    effects = effects_of(dx.mean(1), dy.mean(1), omega[:, 0, 0], omega[:, 0, 1], omega[:, 1, 1])
    weights = steady_weights(effects)
    top = bottom = 0.0
    for j in range(k):
        for a, b in itertools.permutations(range(n), 2):
            top += weights[j] * dx[j, a] * dy[j, b]
            bottom += weights[j] * dx[j, a] * dx[j, b]
    found = debiased_ratio(effects)
    assert found.value == pytest.approx(top / bottom, rel=1e-9)
    without = []
    for left in range(k):
        rest = effects.only(np.arange(k) != left)
        w = weights[np.arange(k) != left]
        without.append(np.sum(w * (rest.x * rest.y - rest.xy)) / np.sum(w * (rest.x**2 - rest.xx)))
    jackknife = math.sqrt((k - 1) / k * np.sum((np.array(without) - found.value) ** 2))
    assert found.std_error == pytest.approx(jackknife, rel=1e-9)


@pytest.mark.parametrize("spread", [0.0, 0.4])
def test_prediction_is_statsmodels_paule_mandel_with_hartung_and_knapps_error(spread: float) -> None:
    rng = np.random.default_rng(12)
    k = 9
    x = rng.uniform(8, 20, k)
    y = (0.5 + spread * rng.normal(size=k)) * x + rng.normal(size=k)
    effects = effects_of(x, y, 0.5, 0.2, 1.0)
    ratios = y / x
    variances = (1.0 - 2 * ratios * 0.2 + ratios**2 * 0.5) / x**2
    table = combine_effects(ratios, variances, method_re="iterated", use_t=False, atol=1e-12)
    found = prediction(effects)
    assert found is not None
    assert found.tau**2 == pytest.approx(max(table.tau2, 0.0), rel=1e-6, abs=1e-12)
    frame = table.summary_frame()
    row = frame.loc["random effect wls"]
    assert found.value == pytest.approx(row["eff"], rel=1e-7)
    assert found.std_error == pytest.approx(row["sd_eff"], rel=1e-6)


def test_two_experiments_have_a_score_in_closed_form() -> None:
    """With one covariance and K = 2 the K-score squared is the joint statistic less its least value."""
    effects = effects_of([4.0, -2.0], [1.0, 0.3], 1.0, 0.4, 1.0)
    found = link_point(effects)
    for end in (found.low, found.high):
        p, v = effects.purged(end), effects.v(end)
        z = np.sum(p * effects.u(end) / v) / math.sqrt(np.sum(p**2 / v))
        assert abs(z) == pytest.approx(1.959963984540054, rel=1e-9)
        first, rest = effects.u(end) / np.sqrt(v), p / np.sqrt(v)
        across = (first[0] * rest[1] - first[1] * rest[0]) ** 2 / np.sum(rest**2)  # the part that the score leaves
        assert float(q_statistic(effects, end)) == pytest.approx(z**2 + across, rel=1e-9)
