"""Planned power against the tests that are run: every plan is drawn thousands of times at its own size.

Thin vectorised kernels of the tests, shown first to be those of `compare` on random data. Every world has to find its
planned effect in 77 to 83 % of the draws where 80 % was planned.
"""

import math
from collections.abc import Callable
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.planning.design import Design, design
from cpi_experiments.randomized.planning.planned_outcomes import (
    PlannedCount,
    PlannedEvents,
    PlannedMean,
    PlannedProportion,
    PlannedRatio,
)
from cpi_experiments.randomized.planning.precision import Clusters, Looks, Repeated, Switchback
from cpi_experiments.stats.planning.many_arm_power import dunnett_critical

ROOT = 4_711
REPS = 8_000
Array = np.ndarray
Parts = tuple[Array, Array, Array | float]  # estimate, standard error, degrees of freedom; one a trial


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([ROOT, crc32(request.node.name.encode())]))


# -- kernels: trials by units in, one test a trial out ---------------------------------------------------------------


def welch(control: Array, treatment: Array) -> Parts:
    return welch_of_moments(
        [(a.mean(axis=1), a.var(axis=1, ddof=1) / a.shape[1], a.shape[1]) for a in (control, treatment)]
    )


def welch_of_moments(arms) -> Parts:
    (m0, v0, n0), (m1, v1, n1) = arms
    return m1 - m0, np.sqrt(v0 + v1), (v0 + v1) ** 2 / (v0**2 / (n0 - 1) + v1**2 / (n1 - 1))


def log_ratio(control: Array, treatment: Array) -> Parts:
    arms = [(np.log(a.mean(axis=1)), a.var(axis=1, ddof=1) / a.shape[1] / a.mean(axis=1) ** 2, a.shape[1])
            for a in (control, treatment)]  # fmt: skip
    return welch_of_moments(arms)


def relative_margin(control: Array, treatment: Array, limit: float) -> Parts:
    return welch(control * (1 + limit), treatment)


def ratio(control: Array, treatment: Array) -> Parts:
    values = []
    for a in (control, treatment):
        base = a[..., 1].mean(axis=1, keepdims=True)
        r = a[..., 0].mean(axis=1, keepdims=True) / base
        values.append(r + (a[..., 0] - r * a[..., 1]) / base)
    return welch(values[0], values[1])


def adjusted(control: Array, treatment: Array) -> Parts:
    both = np.concatenate([control, treatment], axis=1)
    x, y = both[..., 1] - both[..., 1].mean(axis=1, keepdims=True), both[..., 0]
    values = y - x * np.sum(x * y, axis=1, keepdims=True) / np.sum(x * x, axis=1, keepdims=True)
    return welch(values[:, : control.shape[1]], values[:, control.shape[1] :])


def clustered(totals: tuple[Array, Array], sizes: tuple[Array, Array]) -> Parts:
    """Leave-one-cluster-out jackknife from totals and sizes, each of shape (trials, clusters).

    An arm has (sum u)^2 / (sum u^2 + sum_{g != h} u_g^2 u_h^2) degrees of freedom, u = n_g / (N - n_g).
    """
    means, variance, squares = [], 0.0, 0.0
    for total, n in zip(totals, sizes, strict=True):
        mean = total.sum(axis=1, keepdims=True) / n.sum(axis=1, keepdims=True)
        rest = (total.sum(axis=1, keepdims=True) - total) / (n.sum(axis=1, keepdims=True) - n)
        count = total.shape[1]
        u = n / (n.sum(axis=1, keepdims=True) - n)
        others = np.sum(u**2 * (np.sum(u**2, axis=1, keepdims=True) - u**2), axis=1)
        own = (count - 1) / count * np.sum((rest - mean) ** 2, axis=1)
        variance, squares = variance + own, squares + own**2 * (np.sum(u**2, axis=1) + others) / np.sum(u, axis=1) ** 2
        means.append(mean[:, 0])
    return means[1] - means[0], np.sqrt(variance), variance**2 / squares


def log_rank(times: Array, seen: Array, arm: Array) -> Array:
    """Standardised log-rank statistic, positive where treatment has more events; inputs (trials, units)."""
    order = np.argsort(times, axis=1)
    seen, treated = np.take_along_axis(seen, order, axis=1), np.take_along_axis(arm, order, axis=1)
    at_risk = np.arange(times.shape[1], 0, -1)
    share = np.cumsum(treated[:, ::-1], axis=1)[:, ::-1] / at_risk
    return np.sum(seen * (treated - share), axis=1) / np.sqrt(np.sum(seen * share * (1 - share), axis=1))


def rejects(parts: Parts, alpha: float = 0.05) -> Array:
    value, error, df = parts
    return 2 * special.stdtr(df, -np.abs(value) / error) < alpha


def above(parts: Parts, limit: float = 0.0, alpha: float = 0.05) -> Array:
    value, error, df = parts
    return special.stdtr(df, -(value - limit) / error) < alpha


def test_kernels_are_compare(rng):
    n0, n1 = 40, 60
    frame = pd.DataFrame({
        "arm": ["a"] * n0 + ["b"] * n1,
        "y": rng.gamma(4, 2, 100),
        "x": rng.normal(size=100),
        "visits": rng.poisson(4, 100) + 1,
        "shop": np.r_[rng.integers(0, 8, n0), 8 + rng.integers(0, 8, n1)],
    })  # fmt: skip
    frame["y"] += frame["x"]

    def arms(*columns: str) -> list[Array]:
        values = frame[list(columns)].to_numpy(dtype=float)
        values = values[:, 0] if len(columns) == 1 else values
        return [values[None, :n0], values[None, n0:]]

    def found(**options: object) -> tuple[float, float, float]:
        effect = compare(frame, arm="arm", control="a", outcomes="y", **options)["y"].estimate
        return effect.value, effect.std_error, effect.df

    assert found() == pytest.approx([each[0] for each in welch(*arms("y"))], rel=1e-10)
    assert found(covariates="x") == pytest.approx([each[0] for each in adjusted(*arms("y", "x"))], rel=1e-10)
    sums = [frame[frame["arm"] == arm].groupby("shop")["y"].agg(["sum", "count"]).to_numpy() for arm in "ab"]
    parts = clustered(tuple(s[None, :, 0] for s in sums), tuple(s[None, :, 1] for s in sums))
    assert found(cluster="shop") == pytest.approx([each[0] for each in parts], rel=1e-10)
    effect = compare(frame, arm="arm", control="a", outcomes="y", margin=0.1, margin_scale="relative")["y"]
    value, error, df = (each[0] for each in relative_margin(*arms("y"), -0.1))
    assert effect.margins[0].p_value == pytest.approx(special.stdtr(df, -value / error), rel=1e-9)
    value, error, df = (each[0] for each in log_ratio(*arms("y")))
    assert math.log1p(effect.rel_ci_low) == pytest.approx(value + special.stdtrit(df, 0.025) * error, rel=1e-9)


# -- plans and the share of their draws that find what was planned ---------------------------------------------------


def sizes_of(plan: Design) -> list[int]:
    return list(plan.n_by_arm.values())


def normal_arms(rng, plan: Design, *means: float, sd: float, reps: int = REPS) -> list[Array]:
    return [rng.normal(mean, sd, (reps, n)) for mean, n in zip(means, sizes_of(plan), strict=True)]


def mean(rng):
    plan = design(PlannedMean(sd=2.0), effect=0.6)
    return rejects(welch(*normal_arms(rng, plan, 5.0, 5.6, sd=2.0)))


def few(rng):
    plan = design(PlannedMean(sd=1.0), n=16, power=0.8)
    return rejects(welch(*normal_arms(rng, plan, 0.0, plan.effect, sd=1.0)))


def one_sided(rng):
    plan = design(PlannedMean(sd=2.0), effect=-0.6, alternative="less")
    return above(welch(*normal_arms(rng, plan, 5.6, 5.0, sd=2.0)[::-1]))


def binomial_parts(rng, plan: Design, *rates: float) -> list[Array]:
    arms = []
    for rate, n in zip(rates, sizes_of(plan), strict=True):
        share = rng.binomial(n, rate, REPS) / n
        arms.append((share, share * (1 - share) / (n - 1), n))
    return arms


def proportion_unequal(rng):
    plan = design(PlannedProportion(rate=0.2), effect=0.06, allocation={"control": 1, "treatment": 3})
    return rejects(welch_of_moments(binomial_parts(rng, plan, 0.2, 0.26)))


def proportion_down(rng):
    plan = design(PlannedProportion(rate=0.05), effect=-0.02)
    return rejects(welch_of_moments(binomial_parts(rng, plan, 0.05, 0.03)))


def count(rng):
    plan = design(PlannedCount(rate=1.0, dispersion=2.0), effect=0.4)
    arms = [rng.negative_binomial(m, 0.5, (REPS, n)) for m, n in zip((1.0, 1.4), sizes_of(plan), strict=True)]
    return rejects(welch(*arms))


def relative(rng):
    plan = design(PlannedMean(sd=4.0, mean=10.0), effect=0.12, effect_scale="relative")
    return rejects(log_ratio(*normal_arms(rng, plan, 10.0, 11.2, sd=4.0)))


def visits_and_orders(rng, shape, rate):
    visits = rng.poisson(3, shape) + 1
    return np.stack([rng.binomial(visits, rng.beta(40 * rate, 40 * (1 - rate), shape)), visits], axis=-1).astype(float)


def ratio_of_means(rng):
    known = visits_and_orders(rng, 1_000_000, 0.25)
    outcome = PlannedRatio(
        numerator_mean=known[:, 0].mean(), denominator_mean=known[:, 1].mean(), numerator_sd=known[:, 0].std(),
        denominator_sd=known[:, 1].std(), correlation=np.corrcoef(known.T)[0, 1],
    )  # fmt: skip
    plan = design(outcome, effect=0.04)
    arms = [visits_and_orders(rng, (4_000, n), r) for r, n in zip((0.25, 0.29), sizes_of(plan), strict=True)]
    return rejects(ratio(*arms))


def with_covariate(rng, plan, *means: float) -> list[Array]:
    arms = []
    for arm_mean, n in zip(means, sizes_of(plan), strict=True):
        before = rng.normal(size=(REPS, n))
        after = arm_mean + before + rng.normal(size=(REPS, n))
        arms.append(np.stack([after, before], axis=-1))
    return arms


def cuped(rng):
    plan = design(PlannedMean(sd=math.sqrt(2)), effect=0.4, covariate_r2=0.5)
    return rejects(adjusted(*with_covariate(rng, plan, 0.0, 0.4)))


def repeated(rng):
    plan = design(PlannedMean(sd=1.0), effect=0.25, repeated=Repeated(before=2, after=3, correlation=0.5))
    arms = []
    for arm_mean, n in zip((0.0, 0.25), sizes_of(plan), strict=True):
        own = rng.normal(size=(REPS, n)) * math.sqrt(0.5)
        before, after = (
            start + own + rng.normal(size=(REPS, n)) * math.sqrt(0.5 / k) for start, k in ((0.0, 2), (arm_mean, 3))
        )
        arms.append(np.stack([after, before], axis=-1))
    return rejects(adjusted(*arms))


def strata(rng):
    """Two strata of equal size whose means differ by 2, so that they hold half of the variance of 2."""
    plan = design(PlannedMean(sd=math.sqrt(2)), effect=0.5, strata_r2=0.5)
    parts = []
    for stratum in (-1.0, 1.0):
        arms = [rng.normal(stratum + m, 1.0, (REPS, n // 2)) for m, n in zip((0, 0.5), sizes_of(plan), strict=True)]
        parts.append(welch(*arms))
    value = (parts[0][0] + parts[1][0]) / 2
    return rejects((value, np.sqrt(parts[0][1] ** 2 + parts[1][1] ** 2) / 2, parts[0][2] + parts[1][2]))


def cluster_draws(rng, plan: Design, means, *, icc: float, sizes: Callable[[int], Array]):
    totals, counts = [], []
    for arm_mean, groups in zip(means, plan.n_clusters_by_arm.values(), strict=True):
        n = np.broadcast_to(sizes(groups), (REPS, groups)).astype(float)
        shared = rng.normal(size=(REPS, groups)) * math.sqrt(icc)
        totals.append(n * (arm_mean + shared) + rng.normal(size=(REPS, groups)) * np.sqrt((1 - icc) * n))
        counts.append(n)
    return tuple(totals), tuple(counts)


def clusters(rng):
    plan = design(PlannedMean(sd=1.0), n=400, power=0.8, clusters=Clusters(size=20, icc=0.1))
    assert plan.n_clusters_by_arm == {"control": 10, "treatment": 10}
    return rejects(clustered(*cluster_draws(rng, plan, (0, plan.effect), icc=0.1, sizes=lambda g: np.full(g, 20))))


def unequal_clusters(rng):
    pattern = np.array([5, 35, 15, 25, 10, 30])
    cv = pattern.std() / pattern.mean()
    plan = design(PlannedMean(sd=1.0), effect=0.3, clusters=Clusters(size=20, icc=0.05, size_cv=cv))
    return rejects(clustered(*cluster_draws(rng, plan, (0, 0.3), icc=0.05, sizes=lambda g: np.resize(pattern, g))))


def skewed_clusters(rng):
    cv = 0.8
    plan = design(PlannedMean(sd=1.0), effect=0.4, clusters=Clusters(size=20, icc=0.1, size_cv=cv))
    scale = math.sqrt(math.log(1 + cv**2))

    def sizes(groups: int) -> Array:
        return np.maximum(np.rint(20 * np.exp(scale * rng.normal(size=(REPS, groups)) - scale**2 / 2)), 1.0)

    return rejects(clustered(*cluster_draws(rng, plan, (0, 0.4), icc=0.1, sizes=sizes)))


def clusters_three_to_one(rng):
    plan = design(
        PlannedMean(sd=1.0), effect=0.4, clusters=Clusters(size=20, icc=0.1), allocation={"control": 1, "treatment": 3}
    )
    return rejects(clustered(*cluster_draws(rng, plan, (0, 0.4), icc=0.1, sizes=lambda g: np.full(g, 20))))


def switchback(rng):
    plan = design(
        PlannedMean(sd=1.0), effect=0.4,
        switchback=Switchback(hours=4, per_hour=10, icc=0.2, washout_hours=1, autocorrelation=0.6),
    )  # fmt: skip
    groups = sum(plan.n_clusters_by_arm.values())
    lags = np.abs(np.subtract.outer(np.arange(groups), np.arange(groups)))
    shared = rng.normal(size=(REPS, groups)) @ np.linalg.cholesky(0.2 * 0.6**lags).T
    values = shared + rng.normal(size=(REPS, groups)) * math.sqrt(0.8 / 30)  # 30 of 40 customers are kept
    treated = rng.permuted(np.tile(np.arange(groups) % 2 == 1, (REPS, 1)), axis=1)
    arms = [np.compress(mask.ravel(), values.ravel()).reshape(REPS, -1) for mask in (~treated, treated)]
    return rejects(welch(arms[0], arms[1] + 0.4))  # periods of one size


def three_arms(rng, correction: str):
    plan = design(PlannedMean(sd=1.0), effect=0.4, allocation={"control": 2, "a": 1, "b": 1}, correction=correction)
    return plan, normal_arms(rng, plan, 0.0, 0.4, 0.4, sd=1.0)


def bonferroni(rng):
    _, arms = three_arms(rng, "bonferroni")
    return rejects(welch(arms[0], arms[2]), alpha=0.025)


def dunnett(rng):
    plan, arms = three_arms(rng, "dunnett")
    share = plan.test.contrast(plan.n, arm=1, effect=0.4).control_share
    value, error, df = welch(arms[0], arms[1])
    return np.abs(value / error) > dunnett_critical([share, share], float(np.mean(df)))


def non_inferiority(rng):
    plan = design(PlannedProportion(rate=0.4), margin=0.08, goal="non_inferiority")
    return above(welch_of_moments(binomial_parts(rng, plan, 0.4, 0.4)), -0.08)


def non_inferiority_relative(rng):
    plan = design(PlannedMean(sd=5.0, mean=10.0), margin=0.15, goal="non_inferiority", effect_scale="relative")
    return above(relative_margin(*normal_arms(rng, plan, 10.0, 10.0, sd=5.0), -0.15))


def equivalence(rng):
    plan = design(PlannedMean(sd=1.0), margin=0.4, effect=0.05, goal="equivalence")
    value, error, df = welch(*normal_arms(rng, plan, 0.0, 0.05, sd=1.0))
    return above((value, error, df), -0.4) & above((-value, error, df), -0.4)


def equivalence_of_few(rng):
    plan = design(PlannedMean(sd=1.0), n=26, power=0.8, goal="equivalence")
    value, error, df = welch(*normal_arms(rng, plan, 0.0, 0.0, sd=1.0))
    return above((value, error, df), -plan.margin) & above((-value, error, df), -plan.margin)


def equivalence_relative(rng):
    plan = design(PlannedMean(sd=4.0, mean=10.0), margin=0.15, goal="equivalence", effect_scale="relative")
    arms = normal_arms(rng, plan, 10.0, 10.0, sd=4.0)
    high = relative_margin(*arms, 0.15)
    return above(relative_margin(*arms, -0.15)) & above((-high[0], high[1], high[2]))


def events(rng, outcome: PlannedEvents, plan: Design, ratio: float, reps: int = 4_000):
    n0, n1 = sizes_of(plan)
    arm = np.broadcast_to(np.r_[np.zeros(n0), np.ones(n1)], (reps, n0 + n1))
    leaves = rng.exponential(1 / (outcome.hazard * np.where(arm == 1, ratio, 1.0)))
    lost = rng.exponential(1 / outcome.loss, arm.shape)
    entered = rng.uniform(0, plan.days - outcome.follow_up, arm.shape)
    end = np.minimum(lost, plan.days - entered)
    return log_rank(np.minimum(leaves, end), (leaves < end).astype(float), arm)


def log_rank_of(rng, ratio: float, control: float, treatment: float):
    outcome = PlannedEvents(hazard=0.004, follow_up=90, accrual=60, loss=0.001)
    plan = design(outcome, effect=ratio, allocation={"control": control, "treatment": treatment})
    return np.abs(events(rng, outcome, plan, ratio)) > 1.959964


def log_rank_equal(rng):
    return log_rank_of(rng, 0.65, 1, 1)


def log_rank_unequal(rng):
    return log_rank_of(rng, 0.6, 3, 1)


def log_rank_unequal_up(rng):
    return log_rank_of(rng, 1.8, 1, 3)


def log_rank_with_traffic(rng):
    outcome = PlannedEvents(hazard=0.004, follow_up=60, loss=0.001)
    plan = design(outcome, effect=1.5, per_day=5, alternative="greater")
    return events(rng, outcome, plan, 1.5) > 1.644854


def sequential(rng, spending: str, alternative: str = "two-sided"):
    looks = Looks(number=4, spending=spending)
    plan = design(PlannedMean(sd=1.0), effect=0.35, looks=looks, alternative=alternative)
    arms = normal_arms(rng, plan, 0.0, 0.35, sd=1.0)
    return crossed(arms, looks, two_sided=alternative == "two-sided")


def crossed(arms, looks: Looks, *, two_sided: bool) -> Array:
    found = np.zeros(len(arms[0]), dtype=bool)
    for share, bound in zip(looks.fractions, looks.bounds(0.05, two_sided=two_sided), strict=True):
        value, error, df = welch(*(a[:, : round(share * a.shape[1])] for a in arms))
        score = special.ndtri(special.stdtr(df, value / error))
        found |= (np.abs(score) if two_sided else score) > bound
    return found


def obrien_fleming(rng):
    return sequential(rng, "obrien_fleming")


def pocock(rng):
    return sequential(rng, "pocock")


def sequential_one_sided(rng):
    return sequential(rng, "power", alternative="greater")


WORLDS = [
    mean, few, one_sided, proportion_unequal, proportion_down, count, relative, ratio_of_means, cuped, repeated, strata,
    clusters, unequal_clusters, skewed_clusters, clusters_three_to_one, switchback, bonferroni, dunnett,
    non_inferiority, non_inferiority_relative, equivalence,
    equivalence_of_few, equivalence_relative, log_rank_equal,
    log_rank_unequal, log_rank_unequal_up, log_rank_with_traffic, obrien_fleming, pocock,
    sequential_one_sided,
]  # fmt: skip


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
def test_planned_power_is_kept(rng, world):
    found = world(rng)
    assert len(found) >= 4_000
    assert 0.77 <= found.mean() <= 0.83


# -- and what must not be kept ---------------------------------------------------------------------------------------


def test_clusters_planned_as_units_lose_their_power(rng):
    plan = design(PlannedMean(sd=1.0), effect=0.5, clusters=Clusters(size=20, icc=0.0))
    draws = cluster_draws(rng, plan, (0, 0.5), icc=0.1, sizes=lambda g: np.full(g, 20))
    assert rejects(clustered(*draws)).mean() < 0.7


def test_looks_planned_as_one_lose_their_power(rng):
    plan = design(PlannedMean(sd=1.0), effect=0.35)
    arms = normal_arms(rng, plan, 0.0, 0.35, sd=1.0)
    assert crossed(arms, Looks(number=4, spending="pocock"), two_sided=True).mean() < 0.77


def test_dunnett_keeps_the_family_error(rng):
    """Any of three false alarms, unequal arms, 20,000 trials without an effect."""
    n = 25, 12, 12, 12
    arms = [rng.normal(size=(20_000, size)) for size in n]
    df = sum(n) - 4
    pooled = sum(a.var(axis=1, ddof=1) * (a.shape[1] - 1) for a in arms) / df
    largest = np.max(
        [np.abs(a.mean(axis=1) - arms[0].mean(axis=1)) / np.sqrt(pooled * (1 / 25 + 1 / 12)) for a in arms[1:]], axis=0
    )
    share = (1 / 25) / (1 / 25 + 1 / 12)
    rate = float(np.mean(largest > dunnett_critical([share] * 3, df)))
    low, high = (stats.binom.ppf(p, 20_000, 0.05) / 20_000 for p in (5e-7, 1 - 5e-7))
    assert low <= rate <= high


def test_equivalence_is_claimed_in_five_percent_at_the_margin(rng):
    arms = [rng.normal(mean, 1.0, (20_000, 40)) for mean in (0.0, 0.9)]
    value, error, df = welch(*arms)
    found = above((value, error, df), -0.9) & above((-value, error, df), -0.9)
    plan = design(PlannedMean(sd=1.0), n=80, margin=0.9, effect=0.899999, goal="equivalence")
    assert plan.power == pytest.approx(0.05, abs=1e-4)
    assert found.mean() == pytest.approx(plan.power, abs=0.0077)
