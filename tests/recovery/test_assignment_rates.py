"""Error rates around assignment: the joint test of balance, and inference after re-randomisation."""

import math
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from cpi_experiments.randomized.assigning.balance import balance_table
from cpi_experiments.randomized.assigning.rerandomized import assign_balanced
from cpi_experiments.randomized.experiment import Experiment
from cpi_experiments.stats.balance import joint_distance, whiten

ROOT = 20_260_501


@pytest.fixture
def rng(request):
    return np.random.default_rng(np.random.SeedSequence([ROOT, crc32(request.node.name.encode())]))


def band(rate, trials):
    return stats.binom.ppf(5e-7, trials, rate) / trials, stats.binom.isf(5e-7, trials, rate) / trials


def distances(scores, arm, arms):
    """The joint distance of many assignments at once, shape (trials, n)."""
    total = 0.0
    for code in range(arms):
        chosen = (arm == code).astype(float)
        total = total + np.sum((chosen @ scores) ** 2, axis=1) / chosen.sum(axis=1)
    return total


def shuffled(rng, trials, n, shares):
    sizes = np.diff(np.round(np.concatenate([[0], np.cumsum(shares)]) * n).astype(int))
    return rng.permuted(np.tile(np.repeat(np.arange(len(shares)), sizes), (trials, 1)), axis=1)


COVARIATES = {
    "normal": lambda rng, n: rng.normal(size=(n, 5)),
    "log-normal": lambda rng, n: rng.lognormal(0, 1, (n, 3)),
    "levels": lambda rng, n: np.eye(4)[rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05])],
}


@pytest.mark.parametrize("kind", COVARIATES)
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.8, 0.2), (0.4, 0.3, 0.3)], ids=str)
def test_the_joint_test_of_balance_keeps_its_level(rng, kind, shares):
    """20,000 assignments of 400 fixed units: only the assignment is random."""
    white = whiten(COVARIATES[kind](rng, 400))
    arm = shuffled(rng, 20_000, 400, shares)
    found = distances(white.scores, arm, len(shares))
    assert found[:20] == pytest.approx([joint_distance(white, row, len(shares)) for row in arm[:20]], rel=1e-9)
    df = white.rank * (len(shares) - 1)
    assert np.mean(found) == pytest.approx(df, abs=6 * math.sqrt(2 * df / 20_000))
    low, high = band(0.05, 20_000)
    rate = np.mean(special.chdtrc(df, found) < 0.05)
    assert (0.03 if kind == "log-normal" else low) <= rate <= high  # heavy tails make it careful


def test_few_units_make_the_joint_test_careful(rng):
    white = whiten(rng.normal(size=(40, 5)))
    rate = np.mean(special.chdtrc(5, distances(white.scores, shuffled(rng, 20_000, 40, (0.5, 0.5)), 2)) < 0.05)
    assert 0.025 < rate <= band(0.05, 20_000)[1]


def test_the_doors_p_value_is_the_kernels(rng):
    x = rng.normal(size=(90, 2))
    arm = shuffled(rng, 1, 90, (0.5, 0.5))[0]
    table = pd.DataFrame({"arm": arm, "a": x[:, 0], "b": x[:, 1]})
    found = balance_table(table, arm="arm", control=0, covariates=["a", "b"])
    expected = distances(whiten(x).scores, arm[None, :], 2)[0]
    assert (found.statistic, found.p_value) == pytest.approx((expected, special.chdtrc(2, expected)), rel=1e-9)


def test_a_draw_is_accepted_as_often_as_it_says(rng):
    """Tries until acceptance are geometric: 400 salts at 10 % take 4,000 tries, give or take."""
    table = pd.DataFrame({"id": range(60), "a": rng.normal(size=60), "b": rng.normal(size=60)})
    tries = sum(
        assign_balanced(plan(f"e{j}"), table, unit="id", covariates=["a", "b"], acceptance=0.1).details["tries"]
        for j in range(400)
    )
    assert abs(tries / 400 - 10) < 5 * math.sqrt(90 / 400) + 1


def plan(name):
    return Experiment(
        id=name, lever="l", control="c", allocation={"c": 1, "t": 1}, hypotheses=(), randomize="id",
        start="2026-01-01", end="2026-03-31",
    )  # fmt: skip


def test_after_rerandomisation_adjusting_keeps_the_level_and_not_adjusting_wastes_it(rng):
    """Li, Ding and Rubin (2018): outcome with R^2 of .5 on two covariates, best 5 % of draws, 100 units, no effect."""
    x = rng.normal(size=(100, 2))
    scores = whiten(x).scores
    arm = shuffled(rng, 100_000, 100, (0.5, 0.5))
    arm = arm[distances(scores, arm, 2) <= special.chdtri(2, 0.95)].astype(float)
    y = x @ [1.0, 1.0] + rng.normal(size=(len(arm), 100)) * math.sqrt(2)
    raw, adjusted = p_values(y, arm), p_values(residuals(y, arm, x), arm)
    low, high = band(0.05, len(arm))
    assert len(arm) > 4_000
    assert np.mean(raw < 0.05) < 0.02
    assert low <= np.mean(adjusted < 0.05) <= high


def p_values(y, arm):
    n1, n0 = arm.sum(axis=1), (1 - arm).sum(axis=1)
    m1, m0 = np.sum(y * arm, axis=1) / n1, np.sum(y * (1 - arm), axis=1) / n0
    v1 = np.sum((y - m1[:, None]) ** 2 * arm, axis=1) / (n1 - 1) / n1
    v0 = np.sum((y - m0[:, None]) ** 2 * (1 - arm), axis=1) / (n0 - 1) / n0
    return 2 * special.stdtr(n1 + n0 - 2, -np.abs(m1 - m0) / np.sqrt(v1 + v0))


def residuals(y, arm, x):
    """CUPED with theta from all units, as `compare` does it."""
    centred = x - x.mean(axis=0)
    theta = np.linalg.lstsq(centred, (y - y.mean(axis=1, keepdims=True)).T, rcond=None)[0]
    return y - (centred @ theta).T
