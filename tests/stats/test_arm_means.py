"""Means of two arms against explicit formulas, SciPy and refits that leave one cluster out."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.arm_means import arm_means
from cpi_experiments.stats.cell_clusters import freedom_of_sums
from cpi_experiments.stats.student import p_value

SEEDS = range(8)


def draw(seed: int, *, n: int = 60, k: int = 2) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    treated = rng.permutation(np.arange(n) < n // 3)
    return rng.normal(size=(n, k)) @ rng.normal(size=(k, k)) + treated[:, None], treated, rng


def refits_without_each_cluster(y: np.ndarray, treated: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Arm means from statsmodels' OLS on two dummies, refitted without each cluster in turn; shape (clusters, 2)."""
    sm = pytest.importorskip("statsmodels.api")
    arms = np.stack([~treated, treated], axis=1).astype(float)
    return np.array([sm.OLS(y[clusters != g], arms[clusters != g]).fit().params for g in np.unique(clusters)])


@pytest.mark.parametrize("seed", SEEDS)
def test_without_clusters_it_is_welch(seed: int) -> None:
    values, treated, _ = draw(seed)
    means = arm_means(values, treated)
    for j in range(2):
        test = stats.ttest_ind(values[treated, j], values[~treated, j], equal_var=False)
        error = np.sqrt(means.omega[j, j])
        assert means.effect[j] / error == pytest.approx(test.statistic, rel=1e-12)
        assert means.df(j) == pytest.approx(test.df, rel=1e-12)
        assert p_value(means.effect[j] / error, means.df(j)) == pytest.approx(test.pvalue, rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_covariance_of_effects_is_the_sum_of_both_arms(seed: int) -> None:
    values, treated, _ = draw(seed, k=3)
    direct = sum(np.cov(values[side].T) / side.sum() for side in (treated, ~treated))
    np.testing.assert_allclose(arm_means(values, treated).omega, direct, rtol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_strata_are_weighted_by_their_share_of_all_units(seed: int) -> None:
    values, treated, rng = draw(seed, n=90, k=1)
    strata = rng.integers(0, 3, 90)
    effect = variance = 0.0
    contributions, dfs = [], []
    for s in range(3):
        y1, y0 = values[treated & (strata == s), 0], values[~treated & (strata == s), 0]
        share = np.mean(strata == s)
        effect += share * (y1.mean() - y0.mean())
        for y in (y0, y1):
            contributions.append(share**2 * y.var(ddof=1) / len(y))
            dfs.append(len(y) - 1)
    variance = sum(contributions)
    means = arm_means(values, treated, strata=strata)
    assert means.effect[0] == pytest.approx(effect, rel=1e-12)
    assert means.omega[0, 0] == pytest.approx(variance, rel=1e-12)
    assert means.df(0) == pytest.approx(variance**2 / np.sum(np.square(contributions) / np.array(dfs)), rel=1e-12)


def own_variance(shifts: np.ndarray) -> float:
    return float((len(shifts) - 1) / len(shifts) * np.sum(shifts**2))


def gram_freedom(n: np.ndarray) -> float:
    """Bell and McCaffrey's (tr G)^2 / tr(G^2), from what every independent unit does to every cluster's move."""
    cluster = np.repeat(np.arange(len(n)), n)
    own = cluster[None, :] == np.arange(len(n))[:, None]
    moves = (own - (n / n.sum())[:, None]) / (n.sum() - n)[:, None]
    gram = moves @ moves.T
    return float(np.trace(gram) ** 2 / np.trace(gram @ gram))


@pytest.mark.parametrize("seed", SEEDS)
def test_nested_clusters_are_the_jackknife_of_each_arm(seed: int) -> None:
    """CR3 as in MacKinnon, Nielsen, Webb (2023): each arm's factor is (clusters - 1) / clusters of that arm."""
    values, _, rng = draw(seed, k=1)
    clusters = rng.permutation(np.concatenate([np.arange(12), rng.integers(0, 12, 48)]))
    treated = clusters % 3 == 0
    y = values[:, 0]
    without = refits_without_each_cluster(y, treated, clusters)
    arm_of = np.array([treated[clusters == g].any() for g in range(12)])
    variance = 0.0
    for arm, side in enumerate((~treated, treated)):
        shifts = without[arm_of == bool(arm), arm] - y[side].mean()
        variance += (len(shifts) - 1) / len(shifts) * np.sum(shifts**2)
    means = arm_means(values, treated, clusters=clusters)
    assert means.omega[0, 0] == pytest.approx(variance, rel=1e-10)
    arms = [own_variance(without[arm_of == bool(a), a] - y[s].mean()) for a, s in enumerate((~treated, treated))]
    freedom = [gram_freedom(np.bincount(clusters[s])[np.unique(clusters[s])]) for s in (~treated, treated)]
    assert means.df(0) == pytest.approx(
        variance**2 / sum(v**2 / f for v, f in zip(arms, freedom, strict=True)), rel=1e-9
    )
    assert [means.df_control[0], means.df_treatment[0]] == pytest.approx(freedom, rel=1e-9)
    assert (means.clusters_control, means.clusters_treatment, means.crossed) == (8, 4, False)


@pytest.mark.parametrize("seed", SEEDS)
def test_crossed_clusters_are_the_joint_jackknife(seed: int) -> None:
    """Clusters in both arms leave both at once: factor (clusters - 1) / clusters, t(clusters - 1)."""
    values, treated, rng = draw(seed, k=1)
    clusters = rng.permutation(np.concatenate([np.arange(12), rng.integers(0, 12, 48)]))
    y = values[:, 0]
    without = refits_without_each_cluster(y, treated, clusters)
    shifts = without - np.array([y[~treated].mean(), y[treated].mean()])
    means = arm_means(values, treated, clusters=clusters)
    np.testing.assert_allclose(means.cov, 11 / 12 * shifts.T @ shifts, rtol=1e-10)
    assert means.df(0) == 11
    assert means.crossed


def test_equal_clusters_are_the_welch_of_their_means() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(60, 1)) + np.repeat(rng.normal(size=12), 5)[:, None]
    clusters = np.repeat(np.arange(12), 5)
    treated = clusters < 5
    group = values.reshape(12, 5).mean(axis=1)
    expected = group[:5].var(ddof=1) / 5 + group[5:].var(ddof=1) / 7
    means = arm_means(values, treated, clusters=clusters)
    assert means.omega[0, 0] == pytest.approx(expected, rel=1e-12)
    known = stats.ttest_ind(group[5:], group[:5], equal_var=False)
    assert means.df(0) == pytest.approx(known.df, rel=1e-9)
    assert means.effect[0] / means.omega[0, 0] ** 0.5 == pytest.approx(-known.statistic, rel=1e-9)


def test_an_arm_without_variance_leaves_the_degrees_of_freedom_of_the_other() -> None:
    clusters, treated = np.repeat(np.arange(9), 4), np.repeat(np.arange(9) >= 3, 4)
    y = np.where(treated, np.random.default_rng(4).normal(size=36), 1.0)
    means = arm_means(y[:, None], treated, clusters=clusters)
    assert means.df(0) == pytest.approx(5)
    assert means.df_control[0] == pytest.approx(2)


def test_each_unit_its_own_cluster_is_welch() -> None:
    values, treated, _ = draw(3)
    clustered, plain = arm_means(values, treated, clusters=np.arange(60)), arm_means(values, treated)
    np.testing.assert_allclose(clustered.omega, plain.omega, rtol=1e-10)
    assert [clustered.df(j) for j in range(2)] == pytest.approx([plain.df(j) for j in range(2)], rel=1e-9)


@pytest.mark.parametrize("largest", [10, 1e4, 1e8, 1e12])
def test_one_cluster_that_is_nearly_everything_leaves_one_degree_of_freedom(largest: float) -> None:
    """Exact fractions of (sum u)^2 / (sum u^2 + sum over pairs of u_g^2 u_h^2)."""
    sizes = [Fraction(largest), Fraction(1), Fraction(2)]
    u = [n / (sum(sizes) - n) for n in sizes]
    pairs = sum((u[g] * u[h]) ** 2 for g in range(3) for h in range(3) if g != h)
    exact = float(sum(u) ** 2 / (sum(v**2 for v in u) + pairs))
    found = freedom_of_sums(*(sum(float(v) ** p for v in u) for p in (1, 2, 4)))
    assert float(found) == pytest.approx(exact, rel=1e-3)
    assert 1 <= float(found) < 1.5


def test_strata_with_clusters_leave_the_cluster_out_of_its_stratum() -> None:
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(16), 4)
    treated, strata = clusters % 2 == 1, clusters // 8
    y = rng.normal(size=64) + rng.normal(size=16)[clusters]
    means = arm_means(y[:, None], treated, strata=strata, clusters=clusters)
    variance = 0.0
    for s in range(2):
        for side in (treated, ~treated):
            group = [y[clusters == g].mean() for g in np.unique(clusters[(strata == s) & side])]
            variance += 0.25 * np.var(group, ddof=1) / len(group)
    assert means.omega[0, 0] == pytest.approx(variance, rel=1e-12)
    cells = [
        [y[clusters == g].mean() for g in np.unique(clusters[(strata == s) & (treated == t)])]
        for s in (0, 1)
        for t in (0, 1)
    ]
    parts = [0.25 * np.var(group, ddof=1) / 4 for group in cells]
    assert means.df(0) == pytest.approx(variance**2 / sum(part**2 / 3 for part in parts), rel=1e-9)


@pytest.mark.parametrize("offset", [1e6, 1e9, 1e12])
def test_a_common_offset_costs_only_the_digits_that_the_data_lack(offset: float) -> None:
    rng = np.random.default_rng(4)
    steps = rng.integers(0, 1000, (200, 1)) / 8  # exact with every offset
    treated = np.arange(200) < 90
    plain, shifted = arm_means(steps, treated), arm_means(steps + offset, treated)
    assert shifted.effect[0] == pytest.approx(plain.effect[0], rel=max(1e-12, 1e-15 * offset))
    assert shifted.omega[0, 0] == pytest.approx(plain.omega[0, 0], rel=1e-12)


@pytest.mark.parametrize("size", [1e-70, 1e70])
def test_degrees_of_freedom_survive_extreme_units(size: float) -> None:
    values, treated, _ = draw(5)
    assert arm_means(values * size, treated).df(0) == pytest.approx(arm_means(values, treated).df(0), rel=1e-10)


@pytest.mark.parametrize(
    ("arms", "options", "found"),
    [
        ([0, 0, 0, 1], {}, "treatment arm has 1 unit:"),
        ([0, 0, 0, 0], {}, "treatment arm has 0 units"),
        ([0, 1, 1, 1], {}, "control arm has 1 unit:"),
        ([0, 0, 0, 1, 1, 1, 1], {"strata": [0, 0, 1, 0, 0, 1, 1]}, "1 of 2 strata have fewer than two units"),
        ([0, 0, 0, 1, 1, 1], {"clusters": [0, 1, 2, 3, 3, 3]}, "treatment arm has 1 cluster:"),
    ],
)
def test_a_cell_without_variance_is_refused(arms: list[int], options: dict, found: str) -> None:
    codes = {name: np.array(value) for name, value in options.items()}
    values = np.arange(float(len(arms)))[:, None]
    with pytest.raises(EstimationError, match=found):
        arm_means(values, np.array(arms, dtype=bool), **codes)
