"""Error rates of a link from several arms: the joint Anderson-Rubin test, the misfit, clusters, a bundle of two CPIs.

Kernels draw thousands of trials; first they are shown to be the doors. Bands are exact binomial ones with two-sided
probability 1e-6. The fault planted here, a control that counts as if every arm had its own, has to leave the band.
"""

import math
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from cpi_experiments.randomized.links.bundle import bundle_effect
from cpi_experiments.randomized.links.link_effect import link_effect
from cpi_experiments.stats.instruments.anderson_rubin import best_agreement
from cpi_experiments.stats.instruments.several_instruments import JointEffects, two_stage

ROOT = 20_240_407
TRIALS = 20_000
Array = np.ndarray


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([ROOT, crc32(request.node.name.encode())]))


def rate_of(p: Array, level: float = 0.05) -> float:
    return float(np.mean(p < level))


def band(rate: float, trials: int) -> tuple[float, float]:
    return stats.binom.ppf(5e-7, trials, rate) / trials, stats.binom.isf(5e-7, trials, rate) / trials


# -- kernels ---------------------------------------------------------------------------------------------------------


def world(
    rng: np.random.Generator, sizes: list[int], *, trials: int, f: float, rho: float, theta: float
) -> list[Array]:
    """Units (CPI, KPI) of control and arms, (trials, n, 2); every arm's own first-stage F is ``f`` on average."""
    arms = []
    for j, n in enumerate(sizes):
        cpi = rng.normal(size=(trials, n))
        noise = rho * cpi + math.sqrt(1 - rho**2) * rng.normal(size=(trials, n))
        move = math.sqrt(max(f - 1, 0) * (1 / n + 1 / sizes[0])) if j else 0.0
        arms.append(np.stack([cpi + move, theta * (cpi + move) + noise], axis=-1))
    return arms


def joint_parts(arms: list[Array]) -> tuple[Array, Array, Array]:
    """Effects (trials, K, 2), variances of the means (trials, 1 + K, 2, 2), and the KPI's joint df (trials,)."""
    means = np.stack([a.mean(axis=1) for a in arms], axis=1)
    own = np.stack(
        [
            np.einsum("tni,tnj->tij", c, c) / (c.shape[1] - 1) / c.shape[1]
            for c in (a - a.mean(1, keepdims=True) for a in arms)
        ],
        axis=1,
    )
    df = joint_df(own[..., 1, 1], np.array([a.shape[1] - 1.0 for a in arms]))
    return means[:, 1:] - means[:, :1], own, df


def joint_df(own: Array, dfs: Array) -> Array:
    k = own.shape[1] - 1
    inverse = np.linalg.inv(own[:, :1, None] + own[:, 1:, None] * np.eye(k))
    size = np.concatenate([inverse.sum(axis=(1, 2))[:, None], np.einsum("tii->ti", inverse)], axis=1) * own
    return (k + k * k) / (2 * np.sum(size**2 / dfs, axis=1))


def statistic(effects: Array, own: Array, theta: float | Array, *, shared: bool = True) -> Array:
    theta = np.broadcast_to(theta, (len(effects),))[:, None]
    u = effects[..., 1] - theta * effects[..., 0]
    v = own[..., 1, 1] - 2 * theta * own[..., 0, 1] + theta**2 * own[..., 0, 0]
    k = u.shape[1]
    covariance = v[:, 1:, None] * np.eye(k) + v[:, :1, None] * (np.ones((k, k)) if shared else np.eye(k))
    return np.einsum("ti,ti->t", u, np.linalg.solve(covariance, u[..., None])[..., 0])


def p_of(t: Array, k: int, df: Array | float) -> Array:
    rest = df - k + 1
    return special.fdtrc(k, rest, t * rest / (k * df))


def least(effects: Array, own: Array) -> Array:
    """Smallest statistic over all ratios: a grid of angles, then golden sections."""
    angles = np.linspace(-math.pi / 2, math.pi / 2, 96, endpoint=False) + 0.01
    values = np.stack([statistic(effects, own, math.tan(a)) for a in angles], axis=1)
    best = angles[np.argmin(values, axis=1)]
    low, high = best - (angles[1] - angles[0]), best + (angles[1] - angles[0])
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(40):
        a, b = high - golden * (high - low), low + golden * (high - low)
        left = statistic(effects, own, np.tan(a)) < statistic(effects, own, np.tan(b))
        low, high = np.where(left, low, a), np.where(left, b, high)
    return statistic(effects, own, np.tan((low + high) / 2))


def rows_of(arms: list[Array]) -> pd.DataFrame:
    """The first trial as a table."""
    parts = [pd.DataFrame({"arm": j, "cpi": a[0, :, 0], "kpi": a[0, :, 1]}) for j, a in enumerate(arms)]
    return pd.concat(parts, ignore_index=True)


SIZES = {1: [[60, 60], [90, 40]], 3: [[60, 60, 60, 60], [120, 40, 60, 90]]}


@pytest.mark.parametrize("sizes", [[20, 15, 30], [40, 20, 25, 30]])
def test_kernels_are_the_door(rng: np.random.Generator, sizes: list[int]) -> None:
    for _ in range(20):
        arms = world(rng, sizes, trials=1, f=float(rng.uniform(1, 30)), rho=0.7, theta=0.4)
        link = link_effect(rows_of(arms), cpi="cpi", kpi="kpi", arm="arm", control=0)
        effects, own, df = joint_parts(arms)
        assert link.joint.first == pytest.approx(effects[0, :, 0], rel=1e-10)
        assert link.joint.df == pytest.approx(df[0], rel=1e-10)
        assert link.estimate.p_value == pytest.approx(
            p_of(statistic(effects, own, 0.0), len(sizes) - 1, df)[0], rel=1e-8
        )
        assert link.joint.statistic(0.4) == pytest.approx(statistic(effects, own, 0.4)[0], rel=1e-9)
        assert link.agreement.statistic == pytest.approx(least(effects, own)[0], rel=1e-6, abs=1e-9)


# -- the joint test --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.95, -0.95])
@pytest.mark.parametrize("f", [0.5, 1.3, 11, 45])
@pytest.mark.parametrize(("k", "which"), [(1, 0), (1, 1), (3, 0), (3, 1)])
def test_anderson_rubin_keeps_its_level_however_weak_the_arms(
    rng: np.random.Generator, k: int, which: int, f: float, rho: float
) -> None:
    effects, own, df = joint_parts(world(rng, SIZES[k][which], trials=TRIALS, f=f, rho=rho, theta=0.7))
    assert 0.0427 <= rate_of(p_of(statistic(effects, own, 0.7), k, df)) <= 0.0577


@pytest.mark.parametrize("sizes", [[8, 8, 8, 8], [10, 25, 8, 15]])
def test_the_joint_test_holds_in_tiny_arms(rng: np.random.Generator, sizes: list[int]) -> None:
    effects, own, df = joint_parts(world(rng, sizes, trials=TRIALS, f=2, rho=0.9, theta=0.7))
    found = statistic(effects, own, 0.7)
    high = band(0.05, TRIALS)[1]
    assert rate_of(p_of(found, 3, df)) <= high
    assert rate_of(special.chdtrc(3, found)) > high  # without degrees of freedom it would not hold


def test_a_control_that_counts_for_every_arm_anew_leaves_the_band(rng: np.random.Generator) -> None:
    """The planted fault: without the covariance that the shared control makes."""
    effects, own, df = joint_parts(world(rng, [40, 120, 120, 120], trials=TRIALS, f=11, rho=0.95, theta=0.7))
    low, high = band(0.05, TRIALS)
    assert low <= rate_of(p_of(statistic(effects, own, 0.7), 3, df)) <= high
    assert rate_of(p_of(statistic(effects, own, 0.7, shared=False), 3, df)) > high


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("f", [11, 45])
def test_the_misfit_of_arms_that_agree_keeps_its_level(rng: np.random.Generator, f: float, which: int) -> None:
    effects, own, df = joint_parts(world(rng, SIZES[3][which], trials=TRIALS, f=f, rho=0.95, theta=0.7))
    low, high = band(0.05, TRIALS)
    assert low <= rate_of(p_of(least(effects, own), 2, df)) <= high


def test_the_misfit_is_not_too_large_when_arms_are_weak_and_sees_an_arm_with_another_way(
    rng: np.random.Generator,
) -> None:
    weak = joint_parts(world(rng, SIZES[3][0], trials=5_000, f=0.5, rho=0.95, theta=0.7))
    assert rate_of(p_of(least(*weak[:2]), 2, weak[2])) <= band(0.05, 5_000)[1]
    arms = world(rng, SIZES[3][0], trials=5_000, f=45, rho=0.5, theta=0.7)
    arms[1][..., 1] += 0.8
    effects, own, df = joint_parts(arms)
    assert rate_of(p_of(least(effects, own), 2, df)) > 0.7


def cluster_totals(
    rng: np.random.Generator, sizes: list[Array], *, trials: int, icc: float, move: float
) -> list[Array]:
    """Totals (CPI, KPI) of clusters, (trials, G, 2), with noise correlation .9 at both levels and no effect."""
    arms = []
    for j, n in enumerate(sizes):
        z = rng.normal(size=(2, 2, trials, len(n)))
        z[:, 1] = 0.9 * z[:, 0] + math.sqrt(1 - 0.81) * z[:, 1]
        totals = n * z[0] * math.sqrt(icc) + z[1] * np.sqrt((1 - icc) * n)
        totals[0] += n * (move if j else 0.0)
        arms.append(np.moveaxis(totals, 0, -1))
    return arms


def clustered_parts(arms: list[Array], sizes: list[Array]) -> tuple[Array, Array, Array]:
    means, own = [], []
    for totals, n in zip(arms, sizes, strict=True):
        mean = totals.sum(axis=1) / n.sum()
        shift = (totals.sum(axis=1, keepdims=True) - totals) / (n.sum() - n)[None, :, None] - mean[:, None]
        own.append((len(n) - 1) / len(n) * np.einsum("tgi,tgj->tij", shift, shift))
        means.append(mean)
    stacked = np.stack(means, axis=1)
    variances = np.stack(own, axis=1)
    df = joint_df(variances[..., 1, 1], np.array([bell_mccaffrey(n) for n in sizes]))
    return stacked[:, 1:] - stacked[:, :1], variances, df


def bell_mccaffrey(n: Array) -> float:
    """Degrees of freedom of one arm by matrices: the move of cluster g is sum_h (1{h = g} - w_g) T_h / (N - n_g)."""
    moves = (np.eye(len(n)) - (n / n.sum())[:, None]) / (n.sum() - n)[:, None]
    gram = moves @ np.diag(n) @ moves.T
    return float(np.trace(gram) ** 2 / np.sum(gram**2))


def test_the_clustered_kernel_is_the_door(rng: np.random.Generator) -> None:
    for _ in range(10):
        sizes = [rng.integers(1, 9, g) for g in (5, 8, 6)]
        units = [rng.normal(size=(1, int(n.sum()), 2)) for n in sizes]
        names = [np.repeat(np.arange(len(n)), n) for n in sizes]
        totals = [
            np.stack([np.bincount(c, u[0, :, i]) for i in (0, 1)], axis=-1)[None]
            for u, c in zip(units, names, strict=True)
        ]
        effects, own, df = clustered_parts(totals, sizes)
        team = np.concatenate([100 * j + c for j, c in enumerate(names)])
        link = link_effect(rows_of(units).assign(team=team), cpi="cpi", kpi="kpi", arm="arm", control=0, cluster="team")
        assert link.joint.df == pytest.approx(df[0], rel=1e-10)
        assert link.estimate.p_value == pytest.approx(p_of(statistic(effects, own, 0.0), 2, df)[0], rel=1e-8)


@pytest.mark.parametrize(("clusters", "unequal"), [(10, False), (10, True), (40, True)])
def test_clusters_keep_the_joint_level(rng: np.random.Generator, clusters: int, *, unequal: bool) -> None:
    sizes = [np.tile([10, 20, 30, 25, 15] if unequal else [20] * 5, clusters // 5) for _ in range(4)]
    totals = cluster_totals(rng, sizes, trials=TRIALS, icc=0.1, move=0.1)
    effects, own, df = clustered_parts(totals, sizes)
    assert rate_of(p_of(statistic(effects, own, 0.0), 3, df)) <= band(0.05, TRIALS)[1]
    assert rate_of(p_of(statistic(effects, own, 0.0), 3, df)) >= 0.02  # careful, not useless


def test_coverage_of_two_stage_least_squares_falls_where_the_set_stays(rng: np.random.Generator) -> None:
    """Shown, not promised: the set covers, the usual interval of weak arms does not."""
    effects, own, df = joint_parts(world(rng, SIZES[3][0], trials=4_000, f=2, rho=0.95, theta=0.0))
    covered = [
        abs(theta) <= 1.96 * error
        for theta, error in (
            two_stage(JointEffects(first=e[:, 0], reduced=e[:, 1], omega=omega_of(o), weights=np.eye(3) - 0.25))
            for e, o in zip(effects, own, strict=True)
        )
    ]
    assert np.mean(covered) < 0.8
    assert rate_of(p_of(statistic(effects, own, 0.0), 3, df)) <= band(0.05, 4_000)[1]


def omega_of(own: Array) -> Array:
    return np.block([[np.diag(own[1:, i, j]) + own[0, i, j] for j in (0, 1)] for i in (0, 1)])


def test_the_kernel_of_the_misfit_is_the_exact_one(rng: np.random.Generator) -> None:
    effects, own, _ = joint_parts(world(rng, SIZES[3][1], trials=200, f=3, rho=0.9, theta=0.5))
    expected = least(effects, own)
    for e, o, t in zip(effects, own, expected, strict=True):
        joint = JointEffects(first=e[:, 0], reduced=e[:, 1], omega=omega_of(o), weights=np.eye(3))
        assert best_agreement(joint).misfit == pytest.approx(t, rel=1e-6, abs=1e-9)


# -- two CPIs moved together -----------------------------------------------------------------------------------------


def bundle_world(rng: np.random.Generator, sizes: list[int], trials: int) -> list[Array]:
    """Units (CPI a, CPI b, KPI): the arms move both CPIs, only a matters."""
    arms = []
    for j, n in enumerate(sizes):
        noise = rng.normal(size=(3, trials, n))
        a, b = noise[0] + [0, 0.9, 0.6, 0.3][j], 0.5 * noise[0] + noise[1] + [0, 0.7, 0.2, 0.6][j]
        arms.append(np.stack([a, b, 0.8 * a + noise[2]], axis=-1))
    return arms


def test_one_cpi_alone_is_credited_falsely_and_the_bundle_is_not(rng: np.random.Generator) -> None:
    arms = bundle_world(rng, [60] * 4, TRIALS)
    alone, own, df = joint_parts([arm[..., [1, 2]] for arm in arms])
    assert rate_of(p_of(statistic(alone, own, 0.0), 3, df)) > 0.7
    effects, own, df = joint_parts([arm[..., [0, 2]] for arm in arms])
    assert rate_of(p_of(least(effects, own), 3, df)) <= band(0.05, TRIALS)[1]  # whatever a does, b at 0


def test_the_kernel_of_the_bundle_is_the_door(rng: np.random.Generator) -> None:
    for _ in range(8):
        arms = bundle_world(rng, [60] * 4, 1)
        frame = pd.concat([pd.DataFrame(arm[0], columns=["a", "b", "kpi"]).assign(arm=j) for j, arm in enumerate(arms)])
        link = link_effect(frame, cpi="b", kpi="kpi", arm="arm", control=0, also_moved="a")
        assert not link.estimate.diagnostics[-1].passed
        both = bundle_effect(frame, cpis=["a", "b"], kpi="kpi", arm="arm", control=0)
        effects, own, df = joint_parts([arm[..., [0, 2]] for arm in arms])
        kept = any(low <= 0 <= high for low, high in both.effects[1].confidence_set)
        assert kept == (p_of(least(effects, own), 3, df)[0] >= 0.05)
