"""Experiments drawn from a history: the same estimates as one by one, and the error rates that they promise."""

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.stats.arm_means import arm_means
from cpi_experiments.stats.resampling.resampled_trials import drawn_effects, effects_of, history_of


def world(rng, *, n=300, q=0, strata=False, clusters=False):
    x, shared = rng.normal(size=n), rng.normal(size=(n, 2))
    rows = np.column_stack([2 * x + shared[:, 0], x + shared[:, 1] + rng.exponential(size=n)])
    cluster = np.unique(rng.integers(40, size=n), return_inverse=True)[1] if clusters else None
    stratum = None
    if strata:
        stratum = cluster % 2 if clusters else rng.integers(3, size=n)
    history = history_of(rows, rows + np.array([1.0, 0.3]), covariates=shared[:, :q], strata=stratum, clusters=cluster)
    return history, rows, stratum, cluster


@pytest.mark.parametrize("strata", [False, True])
@pytest.mark.parametrize("clusters", [False, True])
def test_every_drawn_experiment_is_what_the_row_method_gives(strata, clusters):
    rng = np.random.default_rng(3)
    for _ in range(5):
        history, rows, stratum, cluster = world(rng, strata=strata, clusters=clusters)
        n, n_control = (40, 17) if clusters else (120, 50)
        drawn = rng.integers(len(history), size=(4, n))
        found = effects_of(history, drawn, n_control)
        for r, units in enumerate(drawn):
            members = [np.flatnonzero(cluster == u) if clusters else np.array([u]) for u in units]
            at, place = np.concatenate(members), np.repeat(np.arange(n), [len(m) for m in members])
            treated = place >= n_control
            means = arm_means(
                rows[at] + np.outer(treated, [1.0, 0.3]), treated, strata=None if stratum is None else stratum[at],
                clusters=place if clusters else None,
            )  # fmt: skip
            assert found.effect[r] == pytest.approx(means.effect, rel=1e-10)
            assert found.omega[r] == pytest.approx(means.omega, rel=1e-10)
            assert found.df[r] == pytest.approx([means.df(0), means.df(1)], rel=1e-10)


def test_a_cell_with_one_unit_has_no_variance_and_a_stratum_that_is_not_met_no_weight():
    rows = np.arange(8.0)[:, None] ** 1.5
    strata = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    history = history_of(rows, rows, covariates=np.zeros((8, 0)), strata=strata)
    lonely = effects_of(history, np.array([[0, 1, 4, 2, 3, 5, 6]]), 3)
    assert np.isnan(lonely.omega[0, 0, 0])
    assert lonely.p_value(0).tolist() == [1.0]
    unmet = effects_of(history, np.array([[0, 1, 2, 3]]), 2)
    plain = arm_means(rows[:4], np.array([False, False, True, True]))
    assert unmet.omega[0] == pytest.approx(plain.omega)
    assert unmet.df[0] == pytest.approx([plain.df(0)])


def test_constant_outcomes_are_never_significant():
    rows = np.ones((50, 1))
    found = drawn_effects(
        history_of(rows, rows + 1, covariates=np.zeros((50, 0))), 10, 10, reps=20, rng=np.random.default_rng(1)
    )
    assert found.p_value(0).tolist() == [1.0] * 20


@pytest.mark.parametrize(
    ("q", "strata", "clusters", "reps"),
    [(0, False, False, 20_000), (2, False, False, 20_000), (0, True, False, 10_000), (2, True, True, 10_000)],
)
def test_false_alarms_and_coverage_keep_their_rates(q, strata, clusters, reps):
    rng = np.random.default_rng([q, strata, clusters, 77])
    history = world(rng, n=4_000, q=q, strata=strata, clusters=clusters)[0]
    found = drawn_effects(history, 40, 60, reps=reps, rng=rng)
    slope = 0.3 / 1.0
    for p in (found.p_at(slope), _null(history, rng, reps)):
        low, high = stats.binom.ppf(5e-7, reps, 0.05) / reps, stats.binom.isf(5e-7, reps, 0.05) / reps
        assert low <= np.mean(p < 0.05) <= high


def _null(history, rng, reps):
    same = type(history)(
        **{name: getattr(history, name) for name in history.__dataclass_fields__}
        | {"treatment": history.control, "with_treatment": history.with_control}
    )
    return drawn_effects(same, 40, 60, reps=reps, rng=rng).p_value(1)


def test_critical_values_are_those_of_t():
    history = world(np.random.default_rng(5))[0]
    found = drawn_effects(history, 20, 20, reps=5, rng=np.random.default_rng(6))
    assert found.critical(0.05, j=1) == pytest.approx(stats.t.ppf(0.975, found.df[:, 1]))
