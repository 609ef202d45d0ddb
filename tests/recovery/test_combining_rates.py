"""Error rates of combining: sizes and coverage by number, strength and likeness of experiments; and faults planted.

Kernels draw thousands of links; first they are shown to be the code that users call. Bands are wide enough for 2,000
links (four standard errors beyond what was measured), so another seed keeps them.
"""

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.stats.combining import debiased as debiased_module
from cpi_experiments.stats.combining import k_score as k_score_module
from cpi_experiments.stats.combining import link_point as link_point_module
from cpi_experiments.stats.combining.debiased import debiased_ratio, debiased_terms, moment_set
from cpi_experiments.stats.combining.effects import Effects
from cpi_experiments.stats.combining.egger import egger
from cpi_experiments.stats.combining.heterogeneity import least_disagreement
from cpi_experiments.stats.combining.link_point import liml_error, link_point
from cpi_experiments.stats.combining.naive_slopes import naive_slopes
from cpi_experiments.stats.combining.several_causes import several_causes


def kernels_of() -> ModuleType:
    spec = importlib.util.spec_from_file_location("combining_kernels", Path(__file__).parent / "combining_kernels.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


kernels = kernels_of()
world = kernels.world
WORLDS: dict[str, dict[str, Any]] = {
    "alike": {},
    "ratios differ": {"spread": 0.3},
    "direct effects": {"direct": 0.7},
    "unequal": {"unequal": True},
    "unequal, differ": {"unequal": True, "spread": 0.3},
}


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng([20_260_101, *map(ord, request.node.name)])


# -- the kernels are the code --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [3, 9, 10, 25, 100])
@pytest.mark.parametrize("unequal", [False, True])
def test_kernels_are_link_point(rng: np.random.Generator, k: int, *, unequal: bool) -> None:
    m = world(rng, links=25, k=k, phi=1.5 if k == 100 else 6.0, theta=0.3, spread=0.2, unequal=unequal)
    value, error = kernels.debiased(m)
    score = kernels.overdispersed(m) if k >= 10 else kernels.fixed_score(m)
    held = kernels.shipped_covers(m, 0.3) if k >= 10 else score.covers(0.3)
    apart = 0
    for r in range(25):
        found = link_point(m.one(r))
        mine = debiased_ratio(m.one(r))
        assert mine.value == pytest.approx(value[r], rel=1e-8, nan_ok=True)
        assert mine.std_error == pytest.approx(error[r], rel=1e-6)
        assert least_disagreement(m.one(r)) == pytest.approx(score.at[r], rel=1e-4)
        if k >= 10 and mine.printable:
            assert (found.value, found.std_error) == (mine.value, mine.std_error)
        inside = found.low <= 0.3 <= found.high
        apart += inside != held[r] and not (inside and math.isinf(found.low))  # the line stands for all that wraps
        if found.form == "moments":
            assert kernels.moment_rejects(m, 0.3)[r] == (not found.low <= 0.3 <= found.high)
        elif math.isfinite(found.low):
            for end in (found.low, found.high):
                assert abs(score.ratio(np.full(25, end))[r]) == pytest.approx(1, rel=1e-4)
    assert apart <= 1  # a piece that touches the value may be read either way by two grids


# -- coverage --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [-0.5, 0.5])
@pytest.mark.parametrize("phi", [1.0, 4.0, 15.0])
@pytest.mark.parametrize("k", [20, 60])
def test_debiased_interval_and_set_cover_where_effects_are_alike(
    rng: np.random.Generator, k: int, phi: float, rho: float
) -> None:
    m = world(rng, links=2000, k=k, phi=phi, theta=0.3, rho=rho)
    value, error = kernels.debiased(m)
    covered = np.mean(~(np.abs(value - 0.3) > stats.t.isf(0.025, k - 1) * error))  # no point: not wrong
    assert 0.92 <= covered <= 0.99
    assert 0.94 <= np.mean(kernels.shipped_covers(m, 0.3)) <= 0.992


@pytest.mark.parametrize("name", [name for name in WORLDS if name != "alike"])
@pytest.mark.parametrize("k", [10, 20, 60])
def test_set_covers_where_experiments_differ(rng: np.random.Generator, k: int, name: str) -> None:
    for phi in (1.0, 15.0):
        m = world(rng, links=1500, k=k, phi=phi, theta=0.3, rho=0.5, **WORLDS[name])
        assert 0.89 <= np.mean(kernels.shipped_covers(m, 0.3)) <= 0.995


@pytest.mark.parametrize("k", [2, 5, 9])
def test_fixed_effect_set_covers_where_effects_are_alike_and_not_where_they_differ(
    rng: np.random.Generator, k: int
) -> None:
    m = world(rng, links=3000, k=k, phi=15.0, theta=0.3)
    assert 0.93 <= np.mean(kernels.fixed_score(m).covers(0.3)) <= 0.97
    if k == 9:
        mixed = world(rng, links=2000, k=k, phi=15.0, theta=0.3, spread=0.3)
        assert np.mean(kernels.fixed_score(mixed).covers(0.3)) < 0.85


def test_very_many_weak_experiments_need_the_moments(rng: np.random.Generator) -> None:
    """K = 200, F = 1.3, noise correlation .9, ratios that differ: the K-score alone would cover too little."""
    m = world(rng, links=1000, k=200, phi=0.3, theta=0.3, rho=0.9, spread=0.3)
    assert np.mean(np.abs(kernels.overdispersed(m).ratio(np.full(1000, 0.3))) > 1) > 0.07
    assert 0.915 <= np.mean(kernels.shipped_covers(m, 0.3)) <= 0.97


@pytest.mark.parametrize("k", [20, 60])
def test_egger_holds_where_all_levers_share_a_direct_effect(rng: np.random.Generator, k: int) -> None:
    m = world(rng, links=600, k=k, phi=8.0, rho=0.5, shared=0.5)
    found = [egger(m.one(r), np.ones(k)) for r in range(600)]
    lines = [line for line in found if line.informative]
    assert len(lines) >= 500
    assert 0.915 <= np.mean([low <= 0 <= high for low, high in (line.interval() for line in lines)]) <= 0.985
    assert np.mean([line.intercept for line in lines]) == pytest.approx(0.5, abs=0.03)


def test_plain_scatter_is_surely_wrong_with_many_weak_experiments(rng: np.random.Generator) -> None:
    m = world(rng, links=200, k=200, phi=0.3, rho=0.5)
    slopes = [naive_slopes(m.one(r)) for r in range(200)]
    for name in ("scatter", "weighted"):
        assert np.mean([getattr(s, name) for s in slopes]) == pytest.approx(0.5 / 1.3, abs=0.02)
    assert np.mean([s.screened for s in slopes]) > 0.25
    assert abs(np.nanmedian(kernels.debiased(m)[0])) < 0.1


@pytest.mark.parametrize("k", [12, 30])
def test_several_causes_hold_their_level_where_one_cause_would_not(rng: np.random.Generator, k: int) -> None:
    """Two CPIs moved together, only the first matters: the second must not be credited."""
    omega = np.full((3, 3), 0.3) + 0.7 * np.eye(3)
    rejected = alone = told = 0
    for _ in range(600):
        move = rng.multivariate_normal([0, 0], 20 * np.array([[1, 0.6], [0.6, 1]]), size=k)
        noise = rng.multivariate_normal([0, 0, 0], omega, size=k)
        x, y = move + noise[:, :2], 0.4 * move[:, 0] + noise[:, 2]
        found = several_causes(
            x, y, xx=np.tile(omega[:2, :2], (k, 1, 1)), xy=np.tile(omega[:2, 2], (k, 1)), yy=np.ones(k)
        )
        ones = np.ones(k)
        one = debiased_ratio(
            Effects(x=x[:, 1], y=y, xx=ones, xy=0.3 * ones, yy=ones, df=np.inf * ones, sign=ones, move=ones)
        )
        alone += abs(one.value) > stats.t.isf(0.025, k - 1) * one.std_error
        told += found.informative
        rejected += found.informative and abs(found.values[1]) > stats.t.isf(0.025, found.df) * found.std_errors[1]
    assert told > 550
    assert rejected / 600 <= 0.085
    assert alone / 600 > 0.3


# -- planted faults ----------------------------------------------------------------------------------------------------------


def false_confirmations(rng: np.random.Generator, *, links: int = 250, k: int = 60, phi: float = 1.0) -> float:
    """Share of links without effect whose set excludes zero, by the code that users call."""
    m = world(rng, links=links, k=k, phi=phi, rho=0.5)
    return float(np.mean([not found.low <= 0 <= found.high for found in (link_point(m.one(r)) for r in range(links))]))


def test_links_without_effect_are_rarely_confirmed(rng: np.random.Generator) -> None:
    assert false_confirmations(rng) <= 0.10


def test_covariance_taken_as_zero_confirms_links_without_effect(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = link_point

    def faulty(effects: Effects) -> Any:
        fields = {name: getattr(effects, name) for name in effects.__dataclass_fields__}
        return real(Effects(**{**fields, "xy": 0 * effects.xy}))

    monkeypatch.setitem(globals(), "link_point", faulty)
    assert false_confirmations(rng) > 0.3


def test_first_stages_that_keep_their_noise_confirm_links_without_effect(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights by the estimated move: x in place of the purged p."""

    def raw(score: Any, t: Any) -> Any:
        e = score.effects
        u, v = e.u(t), e.v(t) + score.tau_squared
        p = score.steady * e.x
        return np.sum(p * u / v, axis=-1), score.critical_seen * np.sqrt(np.sum(p**2 / v, axis=-1))

    monkeypatch.setattr(k_score_module.KScore, "_parts", raw)
    assert false_confirmations(rng) > 0.3


def coverage_of_debiased(rng: np.random.Generator) -> float:
    m = world(rng, links=300, k=300, phi=1.0, theta=0.3, rho=0.5)
    found = [debiased_ratio(m.one(r)).interval() for r in range(300)]
    return float(np.mean([low <= 0.3 <= high for low, high in found]))


def test_weights_by_the_size_of_the_estimated_move_lose_the_coverage(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = rng.bit_generator.state
    assert coverage_of_debiased(rng) >= 0.92

    def by_move(effects: Effects) -> Any:
        return np.abs(effects.x) / effects.yy

    monkeypatch.setattr(debiased_module, "steady_weights", by_move)
    rng.bit_generator.state = state
    assert coverage_of_debiased(rng) < 0.80


def coverage_of_liml(rng: np.random.Generator) -> float:
    m = world(rng, links=400, k=60, phi=1.0, theta=0.3, rho=0.5)
    hits = []
    for r in range(400):
        at = least_disagreement(m.one(r))
        hits.append(abs(at - 0.3) <= kernels.Z * link_point_module.liml_error(m.one(r), at=at))
    return float(np.mean(hits))


def test_naive_bread_in_limls_error_loses_the_coverage(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = rng.bit_generator.state
    assert coverage_of_liml(rng) >= 0.91

    def naive(effects: Effects, *, at: float) -> float:
        p, v = effects.purged(at), effects.v(at)
        return math.sqrt(float(np.sum(p**2 / v))) / abs(float(np.sum(p * effects.x / v)))

    monkeypatch.setattr(link_point_module, "liml_error", naive)
    rng.bit_generator.state = state
    assert coverage_of_liml(rng) < 0.91
    assert liml_error is not naive


def test_normal_quantile_for_few_experiments_is_seen(rng: np.random.Generator) -> None:
    """Nine experiments: the debiased interval with a normal quantile and the first-order error is too short."""
    m = world(rng, links=3000, k=9, phi=15.0, theta=0.3)
    a, b = kernels.terms(m)
    bread = b.sum(1)
    value = a.sum(1) / bread
    error = np.sqrt(((a - value[:, None] * b) ** 2).sum(1)) / bread
    assert np.mean(np.abs(value - 0.3) <= kernels.Z * error) < 0.87
    assert moment_set(m.one(0))
    assert debiased_terms(m.one(0))[0].shape == (9,)
