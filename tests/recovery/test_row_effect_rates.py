"""Error rates of quantiles, ranks and resampling on simulated trials with known truth.

Where a method is a formula, a vectorised kernel draws 20,000 trials after it is shown to be the door; resampling calls
the tests themselves, 2,000 times here and 20,000 times under `slow`. All are conservative or discrete methods: they may
reject less than their level, but not hardly ever (1 in 100), and must find a planted effect.
"""

import math
from collections.abc import Callable
from itertools import combinations
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from cpi_experiments.randomized.effects.outcomes import Mean
from cpi_experiments.randomized.effects.row_effects import row_effect
from cpi_experiments.randomized.effects.row_outcomes import Quantile, Rank
from cpi_experiments.randomized.rows import Rows, read_rows
from cpi_experiments.stats.rank_test import superiority, superiority_test
from cpi_experiments.stats.resampling.bootstrap import bootstrap_test
from cpi_experiments.stats.resampling.permutation import assigned_sums, permutation_p, permutation_test
from cpi_experiments.stats.resampling.quantile_bootstrap import quantile_bootstrap_test
from cpi_experiments.stats.resampling.totals import Totals, totals_of
from cpi_experiments.stats.resampling.wild_bootstrap import turned_sums, wild_p

ROOT = 20_240_301
Array = np.ndarray
Draw = Callable[[np.random.Generator, tuple[int, int]], Array]


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([ROOT, crc32(request.node.name.encode())]))


def keeps_level(p: Array, *, level: float = 0.05) -> bool:
    """At most the level, by an exact binomial band of 1e-6; and at least one in a hundred, so that it can reject."""
    found = float(np.mean(p <= level * (1 + 1e-9)))
    return 0.01 <= found <= stats.binom.isf(5e-7, len(p), level) / len(p)


# -- kernels ---------------------------------------------------------------------------------------------------------


def quantile_p(a: Array, b: Array, probability: float) -> Array:
    value, variance, df = [], [], []
    for x in (np.sort(a, axis=1), np.sort(b, axis=1)):
        n = x.shape[1]
        std_error = math.sqrt(probability * (1 - probability) / n)
        low, high = (math.ceil(n * (probability + side * 1.959963984540054 * std_error) - 1e-9) for side in (-1, 1))
        high = min(high, n)
        value.append(np.quantile(x, probability, axis=1))
        variance.append(((x[:, high - 1] - x[:, low - 1]) / ((high - low) / n) * std_error) ** 2)
        df.append(high - low)
    total = variance[0] + variance[1]
    freedom = total**2 / (variance[0] ** 2 / df[0] + variance[1] ** 2 / df[1])
    return 2 * special.stdtr(freedom, -np.abs(value[1] - value[0]) / np.sqrt(total))


def rank_parts(a: Array, b: Array) -> tuple[Array, Array, Array]:
    wins = (b[:, :, None] > a[:, None, :]) + 0.5 * (b[:, :, None] == a[:, None, :])
    chance = wins.mean(axis=(1, 2))
    parts = [wins.mean(axis=3 - side).var(axis=1, ddof=1) / x.shape[1] for side, x in ((1, b), (2, a))]
    total = parts[0] + parts[1]
    df = total**2 / np.maximum(parts[0] ** 2 / (b.shape[1] - 1) + parts[1] ** 2 / (a.shape[1] - 1), 1e-300)
    return chance, np.sqrt(total), df


def rank_p(a: Array, b: Array) -> Array:
    chance, std_error, df = rank_parts(a, b)
    n0, n1 = a.shape[1], b.shape[1]
    apart = std_error == 0  # no overlap: the variance of exchangeable arms
    inside = np.where(apart, 0.5, chance)
    t = special.logit(inside) * inside * (1 - inside) / np.where(apart, 1, std_error)
    t = np.where(apart, (chance - 0.5) / math.sqrt((n0 + n1 + 1) / (12 * n0 * n1)), t)
    return 2 * special.stdtr(np.where(apart, n0 + n1 - 2, df), -np.abs(t))


def exact_permutation_p(a: Array, b: Array) -> Array:
    """Every assignment of every trial: a matrix of marks times the values and their squares."""
    n0, n1 = a.shape[1], b.shape[1]
    marks = np.zeros((math.comb(n0 + n1, n1), n0 + n1))
    for row, chosen in zip(marks, combinations(range(n0 + n1), n1), strict=True):
        row[list(chosen)] = 1
    y = np.concatenate([a, b], axis=1)
    y = y - y.mean(axis=1, keepdims=True)
    s1, q1 = y @ marks.T, y**2 @ marks.T
    s0, q0 = -s1, np.sum(y**2, axis=1, keepdims=True) - q1
    variance = (q1 - s1**2 / n1) / n1 / (n1 - 1) + (q0 - s0**2 / n0) / n0 / (n0 - 1)
    t = np.abs(s1 / n1 - s0 / n0) / np.sqrt(variance)
    return np.mean(t >= t[:, -1:] * (1 - 1e-9), axis=1)  # the last combination is the one that was assigned


def arms_as_rows(a: Array, b: Array) -> tuple[Array, Array]:
    return np.concatenate([a, b]), np.arange(len(a) + len(b)) >= len(a)


def totals(a: Array, b: Array) -> Totals:
    values, treated = arms_as_rows(a, b)
    return totals_of(values, np.ones(len(values)), treated)


def test_kernels_are_the_doors(rng):
    for _ in range(30):
        a, b = rng.lognormal(0, 1.5, 120), rng.lognormal(0.3, 1.0, 150)
        values, treated = arms_as_rows(a, b)
        frame = pd.DataFrame({"arm": np.where(treated, "t", "c"), "y": values})
        rows = read_rows(frame, numbers=["y"], arm="arm", control="c")
        for probability in (0.5, 0.9):
            door = row_effect(rows, 1, Quantile("y", probability)).estimate.p_value
            assert quantile_p(a[None], b[None], probability)[0] == pytest.approx(door, rel=1e-9)
        door = row_effect(rows, 1, Rank("y")).estimate.p_value
        assert rank_p(a[None], b[None])[0] == pytest.approx(door, rel=1e-9)
        few = a[:5], b[:4]
        door = permutation_test(totals(*few), rng=rng).p_value
        assert exact_permutation_p(few[0][None], few[1][None])[0] == pytest.approx(door, abs=1e-12)


# -- formulas: 20,000 trials -----------------------------------------------------------------------------------------


def lognormal(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return rng.lognormal(0, 1.5, shape)


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return rng.normal(size=shape)


def wide(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return 3 * rng.normal(size=shape)


def counts(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return rng.poisson(1, shape).astype(float)


@pytest.mark.parametrize("world", [normal, lognormal])
@pytest.mark.parametrize(("probability", "n"), [(0.5, 20), (0.5, 100), (0.9, 100), (0.9, 200)])
def test_quantiles_keep_their_level_from_the_stated_minimum(rng, world, probability, n):
    if world is lognormal and (probability, n) in {(0.5, 20), (0.9, 100)}:
        n = 2 * n  # at the minimum itself the skewed world rejects less than one in a hundred
    p = quantile_p(world(rng, (20_000, n)), world(rng, (20_000, n)), probability)
    assert keeps_level(p)


def test_quantiles_of_unequal_arms_and_spreads_keep_their_level(rng):
    assert keeps_level(quantile_p(normal(rng, (20_000, 400)), wide(rng, (20_000, 100)), 0.5))


@pytest.mark.parametrize(("probability", "shift"), [(0.5, 0.55), (0.9, 0.9)])
def test_quantiles_find_a_planted_effect(rng, probability, shift):
    """At 3.2 true standard errors the ideal test has power .90."""
    n = 100
    density = stats.norm.pdf(stats.norm.ppf(probability))
    assert shift / (math.sqrt(2 * probability * (1 - probability) / n) / density) == pytest.approx(3.2, abs=0.6)
    p = quantile_p(normal(rng, (5_000, n)), normal(rng, (5_000, n)) + shift, probability)
    assert np.mean(p < 0.05) > 0.7


@pytest.mark.parametrize(
    ("control", "treatment", "sizes"),
    [
        (normal, normal, (10, 10)),
        (normal, normal, (20, 20)),
        (counts, counts, (20, 20)),
        (wide, normal, (20, 20)),
        (wide, normal, (10, 30)),
        (lognormal, lognormal, (15, 40)),
    ],
)
def test_ranks_keep_their_level_with_ties_and_unequal_spreads(rng, control, treatment, sizes):
    assert keeps_level(rank_p(control(rng, (20_000, sizes[0])), treatment(rng, (20_000, sizes[1]))))


def test_ranks_find_a_planted_effect(rng):
    p = rank_p(normal(rng, (5_000, 50)), normal(rng, (5_000, 50)) + 0.6)
    assert np.mean(p < 0.05) > 0.75  # the t test has .84 here


@pytest.mark.parametrize(("chance", "n"), [(0.6, 20), (0.9, 20), (0.97, 50)])
def test_intervals_of_the_probability_of_superiority_cover(rng, chance, n):
    shift = math.sqrt(2) * stats.norm.ppf(chance)
    a, b = normal(rng, (2_000, n)), normal(rng, (2_000, n)) + shift
    covered = 0
    for one, other in zip(a, b, strict=True):
        low, high, _ = superiority_test(superiority(*arms_as_rows(one, other)))
        covered += low <= chance - 0.5 <= high
    assert covered / 2_000 > 0.93  # the t interval has .94, .90 and .89


@pytest.mark.parametrize("world", [normal, lognormal])
@pytest.mark.parametrize("sizes", [(4, 4), (5, 3), (6, 6)])
def test_exact_permutation_never_exceeds_its_level(rng, world, sizes):
    """With one distribution in both arms the test is exact: not even the usual slack is used beyond chance."""
    assert keeps_level(exact_permutation_p(world(rng, (20_000, sizes[0])), world(rng, (20_000, sizes[1]))))


def test_exact_permutation_finds_a_planted_effect(rng):
    p = exact_permutation_p(normal(rng, (5_000, 6)), normal(rng, (5_000, 6)) + 2.0)
    assert np.mean(p <= 0.05) > 0.8


def test_a_permutation_of_plain_differences_fails_where_the_studentised_one_holds(rng):
    """Planted fault: 9:1 arms, the smaller with five times the spread, statistic not studentised."""
    plain = []
    for _ in range(300):
        values, treated = arms_as_rows(rng.normal(size=90), 5 * rng.normal(size=10))
        marks = rng.permuted(np.tile(treated, (199, 1)), axis=1)
        draws = marks @ values / 10 - ~marks @ values / 90
        plain.append((1 + np.sum(np.abs(draws) >= abs(values[treated].mean() - values[~treated].mean()))) / 200)
    assert not keeps_level(np.array(plain))


# -- resampling: 2,000 trials, and 20,000 ---------------------------------------------------------------------------


def permuted(a: Array, b: Array, rng: np.random.Generator) -> float:
    own = totals(a, b)
    return permutation_p(own, assigned_sums(own, rng=rng, reps=199))


def bootstrapped(a: Array, b: Array, rng: np.random.Generator) -> float:
    return bootstrap_test(totals(a, b), rng=rng, reps=199).p_value


def median_bootstrapped(a: Array, b: Array, rng: np.random.Generator) -> float:
    return quantile_bootstrap_test(*arms_as_rows(a, b), 0.5, rng=rng, reps=199).p_value


def cluster_totals(rng: np.random.Generator, per_arm: int, effect: float = 0.0) -> Totals:
    """Clusters of 10 to 60 rows with a component of their own (ICC about .1)."""
    sizes = np.resize([10.0, 20.0, 30.0, 25.0, 15.0, 60.0], 2 * per_arm)
    treated = np.arange(2 * per_arm) >= per_arm
    mean = 0.3 * rng.normal(size=2 * per_arm) + rng.normal(size=2 * per_arm) / np.sqrt(sizes) + effect * treated
    return totals_of(mean * sizes, sizes, treated)


def wild(rng: np.random.Generator, per_arm: int, effect: float = 0.0) -> float:
    return wild_p(turned_sums(cluster_totals(rng, per_arm, effect), rng=rng, reps=199))


def permuted_clusters(rng: np.random.Generator, per_arm: int, effect: float = 0.0) -> float:
    own = cluster_totals(rng, per_arm, effect)
    return permutation_p(own, assigned_sums(own, rng=rng, reps=199))


ROWS = {
    "permutation, 9:1, five times the spread": (permuted, lambda r: (r.normal(size=90), 5 * r.normal(size=10))),
    "bootstrap-t, normal, 50": (bootstrapped, lambda r: (r.normal(size=50), r.normal(size=50))),
    "bootstrap-t, lognormal, 50": (bootstrapped, lambda r: (r.lognormal(0, 1.5, 50), r.lognormal(0, 1.5, 50))),
    "bootstrap-t, exponential and normal, 50": (
        bootstrapped,
        lambda r: (r.exponential(size=50) - 1, r.normal(size=50)),
    ),
    "bootstrapped median, lognormal, 50": (
        median_bootstrapped,
        lambda r: (r.lognormal(0, 1.5, 50), r.lognormal(0, 1.5, 50)),
    ),
}
CLUSTERS = {
    "wild, 8": (wild, 8),
    "wild, 10": (wild, 10),
    "wild, 40": (wild, 40),
    "permuted, 4": (permuted_clusters, 4),
    "permuted, 5": (permuted_clusters, 5),
    "permuted, 10": (permuted_clusters, 10),
}


def row_p(name: str, rng: np.random.Generator, trials: int) -> Array:
    test, draw = ROWS[name]
    return np.array([test(*draw(rng), rng) for _ in range(trials)])


def cluster_p(name: str, rng: np.random.Generator, trials: int, effect: float = 0.0) -> Array:
    test, per_arm = CLUSTERS[name]
    return np.array([test(rng, per_arm, effect) for _ in range(trials)])


@pytest.mark.parametrize("name", ROWS)
def test_resampled_rows_keep_their_level(rng, name):
    assert keeps_level(row_p(name, rng, 2_000))


@pytest.mark.parametrize("name", CLUSTERS)
def test_resampled_clusters_keep_their_level(rng, name):
    assert keeps_level(cluster_p(name, rng, 2_000))


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_resampled_rows_keep_their_level_in_20_000_trials(rng, name):
    assert keeps_level(row_p(name, rng, 20_000))


@pytest.mark.slow
@pytest.mark.parametrize("name", CLUSTERS)
def test_resampled_clusters_keep_their_level_in_20_000_trials(rng, name):
    assert keeps_level(cluster_p(name, rng, 20_000))


def adjusted_wild(rng: np.random.Generator, per_arm: int, covariates: int) -> float:
    """Run the door with covariates of whole clusters that say nothing; clusters of 1 to 9 rows, nearly alike within."""
    code = np.repeat(np.arange(2 * per_arm), rng.integers(1, 10, 2 * per_arm))
    values = {f"x{j}": rng.normal(size=2 * per_arm)[code] for j in range(covariates)}
    values["y"] = rng.normal(size=2 * per_arm)[code] + 0.3 * rng.normal(size=len(code))
    arm = rng.permutation(np.repeat([0, 1], per_arm))[code]
    rows = Rows(values=values, arm=arm, labels=("c", "t"), cluster=code, strata=None, keys={})
    names = [f"x{j}" for j in range(covariates)]
    seed = int(rng.integers(2**31))
    found = row_effect(rows, 1, Mean("y"), covariates=names, inference="wild", reps=199, seed=seed)
    assert not any(d.name == "few clusters" for d in found.estimate.diagnostics)
    return found.estimate.p_value


@pytest.mark.slow
@pytest.mark.parametrize("covariates", [1, 2, 3, 5])
def test_the_wild_bootstrap_with_covariates_keeps_its_level_where_it_is_not_blocked(rng, covariates):
    assert keeps_level(np.array([adjusted_wild(rng, 8 + covariates, covariates) for _ in range(2_000)]))


@pytest.mark.parametrize(("name", "effect"), [("wild, 10", 0.6), ("wild, 40", 0.3), ("permuted, 10", 0.6)])
def test_resampled_clusters_find_a_planted_effect(rng, name, effect):
    assert np.mean(cluster_p(name, rng, 300, effect) <= 0.05) > 0.7


def test_bootstrap_t_finds_a_planted_effect(rng):
    p = [bootstrapped(rng.normal(size=50), rng.normal(size=50) + 0.7, rng) for _ in range(300)]
    assert np.mean(np.array(p) <= 0.05) > 0.85


def test_bootstrap_intervals_of_skewed_rows_are_not_needlessly_wide(rng):
    """Exponential rows, 100 an arm: within a tenth of Welch's width."""
    ratio = []
    for _ in range(100):
        found = bootstrap_test(totals(rng.exponential(size=100), rng.exponential(size=100)), rng=rng, reps=499)
        ratio.append((found.ci_high - found.ci_low) / found.std_error / 2 / stats.t.ppf(0.975, 198))
    assert np.median(ratio) == pytest.approx(1.02, abs=0.1)


def test_percentile_and_bca_reject_too_often_for_heavy_tails_which_is_why_bootstrap_t_is_the_default(rng):
    p = {kind: [] for kind in ("percentile", "bca", "studentised")}
    for _ in range(600):
        own = totals(rng.lognormal(0, 1.5, 50), rng.lognormal(0, 1.5, 50))
        for kind, found in p.items():
            found.append(bootstrap_test(own, rng=rng, reps=199, kind=kind).p_value)
    assert np.mean(np.array(p["percentile"]) <= 0.05) > 0.05
    assert np.mean(np.array(p["bca"]) <= 0.05) > 0.09
    assert np.mean(np.array(p["studentised"]) <= 0.05) < 0.05
