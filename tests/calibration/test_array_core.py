"""The array cores of the worlds say what the judge says, on the same draws."""

import numpy as np
import pytest

from cpi_experiments.calibration.array_core import published_by_step, running
from cpi_experiments.calibration.judged_draws import Truth, cases, draw
from cpi_experiments.calibration.portfolio_worlds import Company, draw_portfolios, one_portfolio
from cpi_experiments.evidence.history import replay
from cpi_experiments.stats.judging.look_plan import look_plan

PLANS = ("planned 8", "capped 0.5", "open 0.5", "retest")


@pytest.mark.parametrize("looks", PLANS)
def test_running_p_values_are_those_of_the_judge(looks):
    rng = np.random.default_rng(8)
    for k, strength, rho, theta in ((8, 5, 0.7, 0.0), (8, 40, -0.5, 1.0), (3, 2, -0.9, 2.0)):
        truth = Truth(theta=theta, error=1.4, strength=strength, k=k, rho=rho, looks=look_plan(looks))
        drawn = draw(truth, rng, 20)
        theirs = replay(cases(drawn), fdr=0.1, slots=20).p_values["direction"]
        assert running(drawn, truth.looks)[:, : theirs.shape[1]] == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("looks", PLANS)
def test_published_sets_are_those_of_the_judge_after_every_step(looks):
    rng = np.random.default_rng(9)
    company = Company(links=12, real=6, error=0.5, looks=looks)
    drawn = draw_portfolios(company, rng, 50)
    some = 0
    for r in range(50):
        one = one_portfolio(drawn, r)
        ours = published_by_step(running(one, one.truth.looks), q=0.1, slots=12)
        assert list(replay(cases(one), fdr=0.1).published["direction"]) == ours
        some += len(ours[-1])
    assert some > 50


def test_shared_shock_and_noise_have_the_declared_correlations():
    company = Company(links=6, shock=0.4, rho=0.5, quarters=8)
    drawn = draw_portfolios(company, np.random.default_rng(1), 4000)
    noise = drawn.y[..., 0] / drawn.truth.noise
    own = drawn.x[..., 0] - drawn.truth.move
    between = np.corrcoef(noise.T)[np.triu_indices(6, 1)]
    assert between == pytest.approx(0.75 * 0.4, abs=0.06)
    assert np.corrcoef(noise.ravel(), own.ravel())[0, 1] == pytest.approx(0.5, abs=0.03)
    assert noise.std() == pytest.approx(1, abs=0.02)
