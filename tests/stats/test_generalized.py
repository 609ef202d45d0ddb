"""Logit and Poisson: against statsmodels, guarded against separation."""

import numpy as np
import pytest

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.generalized import generalized

RNG = np.random.default_rng(5)
X = RNG.normal(size=(400, 2)) * [1.0, 50.0] + [3.0, 1000.0]
CLUSTER = RNG.integers(0, 44, 400)
CHANCE = 1 / (1 + np.exp(-(X[:, 0] - 3 + (X[:, 1] - 1000) / 50)))
OUTCOME = {"logit": (RNG.random(400) < CHANCE).astype(float), "poisson": RNG.poisson(2 * CHANCE).astype(float) * 12.5}


@pytest.mark.parametrize("family", ["logit", "poisson"])
@pytest.mark.parametrize(("variance", "oracle"), [("iid", "nonrobust"), ("HC1", "HC1"), ("CR1", "cluster")])
def test_slopes_and_average_effects_agree_with_statsmodels(family, variance, oracle):
    sm = pytest.importorskip("statsmodels.api")
    y = OUTCOME[family]
    kind = sm.families.Binomial() if family == "logit" else sm.families.Poisson()
    groups = {"groups": CLUSTER} if oracle == "cluster" else None
    theirs = sm.GLM(y, sm.add_constant(X), family=kind).fit(cov_type=oracle, cov_kwds=groups, tol=1e-13)
    fit = generalized(y, X, family=family, cluster=CLUSTER if oracle == "cluster" else None, variance=variance)
    unscaled = {"logit": 1.0, "poisson": 400 / 397}  # statsmodels leaves N / (N - K) out of GLM's HC1
    factor = unscaled["poisson"] if variance == "HC1" else 1.0
    assert fit.coefficients == pytest.approx(theirs.params[[1, 2, 0]], rel=1e-8)
    assert np.diag(fit.covariance) == pytest.approx(np.diag(theirs.cov_params())[[1, 2, 0]] * factor, rel=1e-6)
    margins = theirs.get_margeff() if family == "logit" and hasattr(theirs, "get_margeff") else None
    mean = theirs.predict(sm.add_constant(X))
    slope = mean * (1 - mean) if family == "logit" else mean
    assert fit.effects == pytest.approx(slope.mean() * theirs.params[1:], rel=1e-8)
    assert margins is None or fit.effects == pytest.approx(margins.margeff, rel=1e-8)


@pytest.mark.parametrize("family", ["logit", "poisson"])
def test_delta_method_is_the_numerical_gradient(family):
    fit = generalized(OUTCOME[family], X, family=family, variance="iid")

    def effects(b):
        mean = np.exp(np.column_stack([X, np.ones(400)]) @ b)
        slope = mean / (1 + mean) ** 2 if family == "logit" else mean
        return slope.mean() * b[:2]

    steps = np.diag(1e-5 * np.abs(fit.coefficients))
    gradient = np.column_stack(
        [(effects(fit.coefficients + step) - effects(fit.coefficients - step)) / (2 * step.sum()) for step in steps]
    )
    assert fit.effect_covariance == pytest.approx(gradient @ fit.covariance @ gradient.T, rel=1e-5)


def test_few_clusters_use_the_jackknife():
    fit = generalized(OUTCOME["logit"], X, family="logit", cluster=CLUSTER % 9, variance="clustered")
    assert (fit.variance, fit.df, fit.n_clusters) == ("CR3", 8.0, 9)


def test_linearised_jackknife_is_close_to_refits():
    few = CLUSTER % 9
    fit = generalized(OUTCOME["logit"], X, family="logit", cluster=few, variance="CR3")
    moves = [
        generalized(OUTCOME["logit"][few != g], X[few != g], family="logit").coefficients - fit.coefficients
        for g in range(9)
    ]
    exact = 8 / 9 * np.transpose(moves) @ np.array(moves)
    assert fit.covariance[0, 0] == pytest.approx(exact[0, 0], rel=0.1)


def test_weights_count_rows():
    twice = generalized(np.tile(OUTCOME["logit"], 2), np.tile(X, (2, 1)), family="logit", variance="iid")
    weighted = generalized(OUTCOME["logit"], X, family="logit", weights=np.full(400, 7.0), variance="iid")
    assert weighted.coefficients == pytest.approx(twice.coefficients, rel=1e-9)


STEP = np.r_[np.zeros(50), np.ones(20)][:, None]
ALTERNATING = np.arange(50) % 2


@pytest.mark.parametrize(
    ("outcome", "columns", "family"),
    [
        ((np.arange(20) > 9.5) * 1.0, np.arange(20.0), "logit"),
        (np.r_[ALTERNATING, np.ones(20)], STEP, "logit"),
        (np.r_[ALTERNATING, np.zeros(20)], STEP, "poisson"),
    ],
    ids=["perfect", "one-sided", "counts"],
)
def test_separation_gives_a_problem_and_no_numbers(outcome, columns, family):
    fit = generalized(outcome, columns, family=family)
    assert "separates the outcome" in fit.problem
    assert np.isnan([*fit.coefficients, *fit.effects, *fit.covariance.ravel(), fit.log_likelihood]).all()


def test_iterations_that_overflow_give_a_problem_and_no_numbers():
    outcome = np.r_[1e140, np.ones(199)]
    fit = generalized(outcome, np.abs(np.random.default_rng(0).normal(size=200)) ** 30, family="poisson")
    assert fit.problem.startswith("the iterations failed (")
    assert np.isnan(fit.effects).all()


@pytest.mark.parametrize(
    ("outcome", "family", "words"),
    [
        (OUTCOME["poisson"], "logit", "that logit cannot hold, such as"),
        (-OUTCOME["poisson"], "poisson", "needs no negative values"),
        (OUTCOME["logit"], "probit", "family 'probit' is not known"),
    ],
)
def test_outcomes_that_do_not_fit_the_family_are_refused(outcome, family, words):
    with pytest.raises(EstimationError, match=r"family|cannot hold") as caught:
        generalized(outcome, X, family=family)
    assert words in str(caught.value)


def test_collinear_columns_are_named():
    with pytest.raises(EstimationError, match="c is an exact combination of a"):
        generalized(OUTCOME["logit"], np.column_stack([X, X[:, 0] * 3]), family="logit", names="yabc")
