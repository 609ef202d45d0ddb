"""Several treatments against one control: regression on dummies, brute-force jackknives, and one treatment as before."""

import numpy as np
import pytest

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.arm_means import means_of_cells
from cpi_experiments.stats.cells import Cells, cells_of_rows
from cpi_experiments.stats.instruments.shared_control import SharedControl, effects_against_control, joint_df

Array = np.ndarray


def cells_between(values: Array, arm: Array, i: int, j: int, **more: Array) -> Cells:
    rows = (arm == i) | (arm == j)
    return cells_of_rows(values[rows], arm[rows] == j, **{name: each[rows] for name, each in more.items()})


def together(values: Array, arm: Array, *, clusters: Array | None = None, strata: Array | None = None) -> SharedControl:
    more = {name: each for name, each in (("clusters", clusters), ("strata", strata)) if each is not None}
    k = int(arm.max())
    pairs = [cells_between(values, arm, 0, j, **more) for j in range(1, k + 1)]
    between = {
        (i - 1, j - 1): cells_between(values, arm, i, j, **more) for i in range(1, k + 1) for j in range(i + 1, k + 1)
    }
    return effects_against_control(
        pairs, between=between, n_clusters=0 if clusters is None else len(np.unique(clusters))
    )


@pytest.fixture
def rows() -> tuple[Array, Array]:
    rng = np.random.default_rng(4)
    arm = np.repeat([0, 1, 2, 3], [30, 25, 40, 22])
    x = rng.gamma(2, 1, len(arm)) - 0.3 * arm
    return np.stack([x, 0.5 * x + rng.normal(size=len(arm)) * (1 + arm)], axis=1), arm


def test_effects_are_ols_on_dummies_and_the_covariance_is_hc2(rows: tuple[Array, Array]) -> None:
    sm = pytest.importorskip("statsmodels.api")
    values, arm = rows
    z = np.column_stack([np.ones(len(arm)), *(arm == j for j in (1, 2, 3))]).astype(float)
    found = together(values, arm)
    for a in (0, 1):
        fit = sm.OLS(values[:, a], z).fit(cov_type="HC2")
        assert found.effects[:, a] == pytest.approx(fit.params[1:], rel=1e-10)
        assert found.omega[a, :, a, :] == pytest.approx(fit.cov_params()[1:, 1:], rel=1e-9)
    dummies = z[:, 1:] - z[:, 1:].mean(axis=0)
    assert found.weights == pytest.approx(dummies.T @ dummies / len(arm), rel=1e-12)
    assert found.n_obs == len(arm)


def test_the_covariance_of_cpi_and_kpi_is_that_of_the_means(rows: tuple[Array, Array]) -> None:
    values, arm = rows
    found = together(values, arm)
    own = [np.cov(values[arm == j].T) / np.sum(arm == j) for j in range(4)]
    for i in range(3):
        for j in range(3):
            expected = own[0] + (own[i + 1] if i == j else 0)
            assert found.omega[:, i, :, j] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("kind", ["plain", "strata", "clusters", "crossed"])
def test_one_treatment_is_the_comparison_of_two_arms(kind: str) -> None:
    rng = np.random.default_rng(8)
    arm = np.repeat([0, 1], [40, 50])
    values = rng.normal(size=(90, 2)) @ [[1, 0.5], [0, 1]]
    place = np.arange(90) % 10
    more = {
        "plain": {},
        "strata": {"strata": place % 3},
        "clusters": {"clusters": place + 10 * arm},
        "crossed": {"clusters": place},
    }[kind]
    found = together(values, arm, **more)
    expected = means_of_cells(cells_between(values, arm, 0, 1, **more))
    assert found.effects[0] == pytest.approx(expected.effect, rel=1e-12)
    assert found.omega[:, 0, :, 0] == pytest.approx(expected.omega, rel=1e-12)
    assert found.df == pytest.approx([expected.df(0), expected.df(1)], rel=1e-9)


def test_strata_are_weighted_by_their_share_of_all_arms(rows: tuple[Array, Array]) -> None:
    values, arm = rows
    strata = np.arange(len(arm)) % 2
    found = together(values, arm, strata=strata)
    expected, cov = np.zeros((3, 2)), np.zeros((2, 3, 2, 3))
    for s in (0, 1):
        share = np.mean(strata == s)
        part = together(values[strata == s], arm[strata == s])
        expected += share * part.effects
        cov += share**2 * part.omega
    assert found.effects == pytest.approx(expected, rel=1e-12)
    assert found.omega == pytest.approx(cov, rel=1e-10)


def jackknifed(values: Array, arm: Array, clusters: Array, *, crossed: bool) -> Array:
    """Leave out one cluster at a time; whole clusters in the arms count arm by arm."""

    def effects(keep: Array) -> Array:
        means = np.stack([values[keep & (arm == j)].mean(axis=0) for j in range(arm.max() + 1)])
        return (means[1:] - means[0]).T.ravel()

    full, total = effects(np.ones(len(arm), dtype=bool)), 0.0
    names = np.unique(clusters)
    for name in names:
        move = effects(clusters != name) - full
        g = len(names) if crossed else len(np.unique(clusters[arm == arm[clusters == name][0]]))
        total = total + (g - 1) / g * np.outer(move, move)
    return total


def joint_freedom(values: Array, arm: Array, clusters: Array) -> list[float]:
    """Krishnamoorthy and Yu's (K + K^2) / (2 tr sum of squares / df) with Bell and McCaffrey's df of each arm."""
    found = []
    for k in range(values.shape[1]):
        parts, freedom = [], []
        for j in range(4):
            members = [values[clusters == c, k] for c in np.unique(clusters[arm == j])]
            n = np.array([len(m) for m in members])
            u = n / (n.sum() - n)
            gram = np.outer(u, u) + np.diag(u - u**2)
            freedom.append(np.trace(gram) ** 2 / np.sum(gram**2))
            full = values[arm == j, k]
            moves = [(full.sum() - m.sum()) / (n.sum() - len(m)) - full.mean() for m in members]
            parts.append((len(n) - 1) / len(n) * np.sum(np.square(moves)))
        own = np.array(parts)
        inverse = np.linalg.inv(own[0] + np.diag(own[1:]))
        sizes = np.array([inverse.sum(), *np.diag(inverse)]) * own
        found.append(12 / (2 * np.sum(sizes**2 / freedom)))
    return found


@pytest.mark.parametrize("crossed", [False, True])
def test_clusters_are_the_leave_one_out_jackknife(rows: tuple[Array, Array], *, crossed: bool) -> None:
    values, arm = rows
    place = np.random.default_rng(3).integers(0, 6, len(arm))
    clusters = np.unique(place if crossed else place + 10 * arm, return_inverse=True)[1]
    values = values + np.random.default_rng(5).normal(size=(clusters.max() + 1, 2))[clusters]
    found = together(values, arm, clusters=clusters)
    assert found.omega.reshape(6, 6) == pytest.approx(jackknifed(values, arm, clusters, crossed=crossed), rel=1e-9)
    assert found.n_clusters == len(np.unique(clusters))
    if crossed:
        assert found.df == pytest.approx(found.n_clusters - 1)
    else:
        assert found.df == pytest.approx(joint_freedom(values, arm, clusters), rel=1e-9)


def test_degrees_of_freedom_of_equal_arms_lie_between_one_arm_and_all() -> None:
    df = joint_df(np.ones((4, 1)), np.full((4, 1), 9.0))
    assert 9 < df <= 36


def test_what_cannot_be_compared_is_refused(rows: tuple[Array, Array]) -> None:
    values, arm = rows
    pairs = [cells_between(values, arm, 0, j) for j in (1, 2)]
    short = cells_between(values[1:], arm[1:], 0, 2)
    with pytest.raises(EstimationError, match="not every arm has units in every stratum"):
        effects_against_control([pairs[0], short])
    place = np.arange(len(arm)) % 5
    crossed = [cells_between(values, arm, 0, j, clusters=place) for j in (1, 2)]
    with pytest.raises(EstimationError, match="clusters lie in several arms"):
        effects_against_control(crossed, n_clusters=5)


def test_constant_outcomes_have_no_degrees_of_freedom() -> None:
    arm = np.repeat([0, 1, 2], 10)
    found = together(np.stack([np.ones(30), np.arange(30.0)], axis=1), arm)
    assert np.isnan(found.df[0])
    assert np.all(found.omega[0, :, 0, :] == 0)
