"""Error rates of running trials on simulated data with known truth; thin kernels, first shown to be the door.

Bands are exact binomial ones with two-sided probability 1e-6. Reading an ordinary test at every look leaves them.
"""

import math
from collections.abc import Callable
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

from cpi_experiments.calibration.method_sequential import looks_of, outside
from cpi_experiments.randomized.monitoring.looks import information
from cpi_experiments.randomized.monitoring.monitor import monitor
from cpi_experiments.stats.instruments.fieller import fieller_set
from cpi_experiments.stats.sequential.anytime import boundary, e_values, student_bound
from cpi_experiments.stats.sequential.group_sequential import boundaries, crossing_probability

ROOT = 20_240_229
Array = np.ndarray


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([ROOT, crc32(request.node.name.encode())]))


def band(rate: float, trials: int) -> tuple[float, float]:
    return stats.binom.ppf(5e-7, trials, rate) / trials, stats.binom.isf(5e-7, trials, rate) / trials


def in_band(found: Array, rate: float) -> bool:
    low, high = band(rate, len(found))
    return bool(low <= np.mean(found) <= high)


def at_most(found: Array, rate: float) -> bool:
    return bool(np.mean(found) <= band(rate, len(found))[1])


# -- what is drawn; looks and alarms are those of the calibration ----------------------------------------------------

Draw = Callable[[np.random.Generator, tuple[int, int]], Array]


def normal(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    return rng.normal(size=size)


def skewed(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    return rng.lognormal(0, 1.5, size)


def rare(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    return (rng.random(size) < 0.05).astype(float)


# -- the kernel is the door ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(25))
def test_kernel_is_the_door(seed: int) -> None:
    rng = np.random.default_rng(seed)
    looks, step = int(rng.integers(2, 9)), int(rng.integers(25, 60))
    drawn = rng.normal(1, 1 + seed % 3, size=(2, looks * step))
    drawn[1] += 0.3
    frame = pd.DataFrame(
        {
            "arm": np.repeat(["a", "b"], looks * step),
            "day": np.tile(np.repeat(np.arange(looks), step), 2),
            "y": drawn.ravel(),
        }
    ).sample(frac=1, random_state=seed)
    ends = step * np.arange(1, looks + 1)
    parts = iter(drawn.reshape(2 * looks, 1, step))
    effect, variance, df = looks_of(rng, lambda *_: next(parts), ends=ends, trials=1)
    time = ends / ends[-1]
    roles = {"arm": "arm", "control": "a", "time": "day", "planned_n": int(2 * ends[-1]), "outcomes": "y"}
    for plan, looks_asked in (("anytime", None), ("group_sequential", looks)):
        seen = monitor(frame, plan=plan, looks=looks_asked, **roles)["y"].looks
        bound = boundary(time) if plan == "anytime" else boundaries(time)
        with np.errstate(invalid="ignore"):
            half = student_bound(bound, df[0]) * np.sqrt(variance[0])
        assert [each.estimate for each in seen] == pytest.approx(effect[0], rel=1e-9)
        assert [each.low for each in seen] == pytest.approx(effect[0] - half, rel=1e-9)
        if plan == "anytime":
            e = e_values(effect[0], np.sqrt(variance[0]), time, df=df[0])
            assert [each.e_value for each in seen] == pytest.approx(e, rel=1e-9)


# -- anytime ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("looks", "trials"), [(20, 20_000), (500, 10_000)])
def test_anytime_false_alarms_are_at_most_five_percent_and_the_price_is_a_width(
    rng: np.random.Generator, looks: int, trials: int
) -> None:
    ends = np.unique(np.linspace(0, 1_000, looks + 1).astype(int))[1:]
    effect, variance, df = looks_of(rng, normal, ends=ends, trials=trials)
    bound = boundary(ends / ends[-1])
    late = int(np.argmax(ends >= 20))
    alarms = outside(effect, variance, df, bound, from_look=late)
    assert at_most(alarms, 0.05)
    assert np.mean(alarms) > 0.002  # never to alarm would be no test
    ratio = student_bound(bound[-1:], df[:, -1]) / -special.stdtrit(df[:, -1], 0.025)
    assert np.median(ratio) <= 1.6


# -- clusters whose rows come at several times, read once at the end -------------------------------------------------


def clusters_at_the_end(y: Array) -> tuple[Array, Array, Array]:
    """Effect, standard error and Welch df from all rows; y of shape (trials, 2, clusters, days)."""
    means = y.mean(axis=3)
    v = means.var(axis=2, ddof=1) / means.shape[2]
    df = v.sum(axis=1) ** 2 / (v**2 / (means.shape[2] - 1)).sum(axis=1)
    return np.diff(means.mean(axis=2), axis=1)[:, 0], np.sqrt(v.sum(axis=1)), df


@pytest.mark.parametrize("seed", range(5))
def test_the_kernel_of_clusters_at_the_end_is_the_door(seed: int) -> None:
    y = np.random.default_rng(seed).normal(size=(1, 2, 12, 9)) + np.arange(12)[:, None] / 6
    arm, shop, day = (each.ravel() for each in np.indices(y.shape[1:]))
    frame = pd.DataFrame({"arm": np.array(["a", "b"])[arm], "shop": 12 * arm + shop, "day": day, "y": y.ravel()})
    seen = monitor(
        frame, arm="arm", control="a", time="day", cluster="shop", planned_n=24, outcomes="y", plan="fixed", final=True
    )["y"].looks
    assert [(look.estimate, look.std_error) for look in seen] == [
        pytest.approx((effect, error), rel=1e-9) for effect, error, _ in zip(*clusters_at_the_end(y), strict=True)
    ]
    assert seen[0].p_value == pytest.approx(
        float(2 * special.stdtr(*(each[0] for each in _tail(*clusters_at_the_end(y))))), rel=1e-9
    )


def _tail(effect: Array, error: Array, df: Array) -> tuple[Array, Array]:
    return df, -np.abs(effect) / error


def test_one_reading_of_clusters_at_the_end_keeps_its_rate_and_sees_more_than_their_first_day(
    rng: np.random.Generator,
) -> None:
    found = {}
    for lift in (0.0, 0.5):
        y = 0.3 * rng.normal(size=(20_000, 2, 10, 1)) + rng.normal(size=(20_000, 2, 10, 12))
        y[:, 1] += lift
        for days in (1, 12):
            p = 2 * special.stdtr(*_tail(*clusters_at_the_end(y[..., :days])))
            found[lift, days] = p < 0.05
    assert in_band(found[0.0, 12], 0.05)
    assert np.mean(found[0.5, 12]) > 2 * np.mean(found[0.5, 1])


def test_guardrail_sequences_keep_their_one_sided_rate(rng: np.random.Generator) -> None:
    """Ever to call harm where nothing is worse, or ever to rule out a worsening that is there: both are one-sided."""
    ends = 25 * np.arange(1, 101)
    effect, variance, df = looks_of(rng, normal, ends=ends, trials=10_000)
    bound = student_bound(np.broadcast_to(boundary(ends / ends[-1], alternative="greater"), effect.shape), df)
    alarms = (effect / np.sqrt(variance) > bound).any(axis=1)
    assert at_most(alarms, 0.05)
    assert np.mean(alarms) > 0.005


WORLDS: dict[str, tuple[Draw, int, tuple[float, float], int]] = {
    "lognormal 1.5": (skewed, 1_000, (1.0, 1.0), 20),
    "five percent": (rare, 1_000, (1.0, 1.0), 250),
    "lognormal 1.5, arms 9:1, from 1,000": (skewed, 7_500, (1.8, 0.2), 1_000),
}


@pytest.mark.parametrize("world", WORLDS)
def test_anytime_start_rule_is_late_enough(rng: np.random.Generator, world: str) -> None:
    draw, n, arms, start = WORLDS[world]
    ends = np.linspace(n / 100, n, 100).astype(int)
    trials = 2_000 if n < 5_000 else 500
    parts = looks_of(rng, draw, ends=ends, trials=trials, arms=arms)
    late = int(np.argmax(ends * min(arms) >= start))
    assert at_most(outside(*parts, boundary(ends / n), from_look=late), 0.05)


def test_anytime_adjusted_effects_keep_the_rate_and_gain_width(rng: np.random.Generator) -> None:
    """CUPED with the coefficient of each look, 50 looks, correlation .7 with the covariate."""
    trials, looks, step = 4_000, 50, 20
    y = rng.normal(size=(trials, 2, looks, step))
    x = 0.7 * y + math.sqrt(0.51) * rng.normal(size=y.shape)
    n = step * np.arange(1, looks + 1)
    total = {name: values.sum(axis=3).cumsum(axis=2) for name, values in
             {"y": y, "x": x, "yy": y * y, "xx": x * x, "xy": x * y}.items()}  # fmt: skip
    within = {a + b: total[a + b] - total[a] * total[b] / n for a, b in (("y", "y"), ("x", "x"), ("x", "y"))}
    theta = within["xy"].sum(axis=1) / within["xx"].sum(axis=1)
    effect = ((total["y"][:, 1] - total["y"][:, 0]) - theta * (total["x"][:, 1] - total["x"][:, 0])) / n
    left = within["yy"] - 2 * theta[:, None] * within["xy"] + theta[:, None] ** 2 * within["xx"]
    variance = (left / (n - 1) / n).sum(axis=1)
    alarms = outside(effect, variance, np.full(effect.shape, np.inf), boundary(n / n[-1]))
    assert at_most(alarms, 0.05)
    assert np.median(variance[:, -1]) * n[-1] / 2 == pytest.approx(1 - 0.49, abs=0.03)


@pytest.mark.parametrize("icc", [0.0, 0.1, 0.5])
def test_anytime_keeps_the_rate_when_the_same_clusters_report_again_and_again(
    rng: np.random.Generator, icc: float
) -> None:
    """20 clusters an arm from the first look on, 60 looks of 5 rows each; information grows as the variance falls."""
    trials, clusters, looks, rows = 4_000, 20, 60, 5
    own = rng.normal(size=(2, trials, clusters, 1)) * math.sqrt(icc)
    noise = rng.normal(size=(2, trials, clusters, looks)) * math.sqrt((1 - icc) / rows)
    means = own + (noise.cumsum(axis=3) / np.arange(1, looks + 1))
    effect = means[1].mean(axis=1) - means[0].mean(axis=1)
    variance = sum(arm.var(axis=1, ddof=1) / clusters for arm in means)
    info = 0.5 * variance[:, :1] / variance
    missed = np.abs(effect) / np.sqrt(variance) > student_bound(boundary(info), 38.0)
    assert at_most(missed.any(axis=1), 0.05)


@pytest.mark.parametrize("strength", [0.0, 0.05, 0.3])
def test_anytime_anderson_rubin_sets_cover_however_weak_the_first_stage(
    rng: np.random.Generator, strength: float
) -> None:
    """True 0.7 per step, noise correlation .95, 50 looks: the set holds it at all of them together."""
    trials, looks, step, theta = 10_000, 50, 20, 0.7
    n = step * np.arange(1, looks + 1)
    noise = rng.normal(size=(2, 2, trials, looks)) * math.sqrt(step)
    x = noise[0] + strength * step * np.array([0, 1])[:, None, None]
    y = theta * x + 0.95 * noise[0] + math.sqrt(1 - 0.95**2) * noise[1]
    mixed = (y - theta * x).cumsum(axis=2) / n
    variance = np.full((trials, looks), 2.0) / n
    missed = outside(mixed[1] - mixed[0], variance, np.full(variance.shape, np.inf), boundary(n / n[-1]))
    assert at_most(missed, 0.05)
    means_x, means_y = (values.cumsum(axis=2) / n for values in (x, y))
    for row in range(20):  # the closed form says the same
        for k in (4, 30, looks - 1):
            pair = means_x[1, row, k] - means_x[0, row, k], means_y[1, row, k] - means_y[0, row, k]
            bound = float(boundary(n[k] / n[-1]))
            unit = 2.0 / n[k]
            var_y, cov = unit * (theta**2 + 2 * theta * 0.95 + 1), unit * (theta + 0.95)
            found = fieller_set(*pair, var_x=unit, var_y=var_y, cov=cov, critical=bound)
            inside = any(low <= theta <= high for low, high in found)
            gap = abs(mixed[1, row, k] - mixed[0, row, k]) / math.sqrt(unit)
            assert inside == (gap <= bound)


# -- planned looks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock", "power"])
def test_planned_looks_keep_alpha_and_reach_the_planned_power(rng: np.random.Generator, spending: str) -> None:
    ends = np.array([60, 100, 180, 200])
    time = ends / ends[-1]
    bound = boundaries(time, spending=spending, rho=2.0)
    assert in_band(outside(*looks_of(rng, normal, ends=ends, trials=20_000), bound), 0.05)
    drift = optimize.brentq(lambda each: crossing_probability(time, bound, drift=each).sum() - 0.8, 0.0, 10.0)
    lift = drift * math.sqrt(2 / ends[-1])
    assert in_band(outside(*looks_of(rng, normal, ends=ends, trials=20_000, lift=lift), bound), 0.8)


def test_looks_that_came_late_and_more_units_than_planned_keep_alpha(rng: np.random.Generator) -> None:
    """Planned 200 an arm, looks at 90 and 130 instead of 50 and 100, 260 at the end."""
    ends = np.array([90, 130, 260])
    units = np.stack([ends, ends], axis=1)
    time = information(units, np.array([0.5, 0.5]), 400)
    assert time[-1] > 1
    assert in_band(outside(*looks_of(rng, normal, ends=ends, trials=20_000), boundaries(time)), 0.05)


# -- the planted fault -----------------------------------------------------------------------------------------------


def test_peeking_with_an_ordinary_test_leaves_the_band(rng: np.random.Generator) -> None:
    ends = 50 * np.arange(1, 21)
    parts = looks_of(rng, normal, ends=ends, trials=10_000)
    naive = outside(*parts, np.full(20, special.ndtri(0.975)))
    assert np.mean(naive) == pytest.approx(0.25, abs=0.02)
    assert not at_most(naive, 0.05)
    assert not in_band(outside(*parts, boundaries([1.0])[-1] * np.ones(20)), 0.05)
    assert at_most(outside(*parts, boundary(ends / ends[-1])), 0.05)
    assert in_band(outside(*parts, boundaries(ends / ends[-1])), 0.05)
