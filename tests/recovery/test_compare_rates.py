"""Error rates of what `compare` does beyond a plain mean: Lin, pools, margins, corrections, segments, caps.

Vectorised kernels draw 20,000 trials; first they are shown to be the door on random data. Bands are exact binomial ones
with two-sided probability 1e-6.
"""

import math
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.effects.outcomes import Mean
from cpi_experiments.stats.multiplicity import adjusted_p_values

ROOT = 20_240_301
TRIALS = 20_000
Array = np.ndarray
Parts = tuple[Array, Array, Array]  # effect, variance, degrees of freedom


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([ROOT, crc32(request.node.name.encode())]))


def keeps(errors: Array, *, rate: float = 0.05, at_most: bool = False) -> bool:
    low, high = (stats.binom.ppf(q, len(errors), rate) / len(errors) for q in (5e-7, 1 - 5e-7))
    found = float(np.mean(errors))
    return found <= high and (at_most or found >= low)


# -- kernels ---------------------------------------------------------------------------------------------------------


def tail(parts: Parts, *, null: float = 0.0, side: str = "two-sided") -> Array:
    effect, variance, df = parts
    t = (effect - null) / np.sqrt(variance)
    return (
        2 * special.stdtr(df, -np.abs(t)) if side == "two-sided" else special.stdtr(df, -t if side == "greater" else t)
    )


def welch(control: Array, treatment: Array) -> Parts:
    arms = (control, treatment)
    parts = [a.var(axis=1, ddof=1) / a.shape[1] for a in arms]
    df = sum(parts) ** 2 / sum(v**2 / (a.shape[1] - 1) for v, a in zip(parts, arms, strict=True))
    return treatment.mean(axis=1) - control.mean(axis=1), sum(parts), df


def lin(y: tuple[Array, Array], x: tuple[Array, Array], *, of_population: bool = True) -> Parts:
    """Outcomes of shape (trials, n), covariates of shape (trials, n, q)."""
    n, q = [a.shape[1] for a in y], x[0].shape[2]
    both = np.concatenate(x, axis=1)
    centre = both.mean(axis=1, keepdims=True)
    spread = np.einsum("tni,tnj->tij", both - centre, both - centre) / (sum(n) - 1) / sum(n)
    means, left, slopes = [], [], []
    for a in (0, 1):
        xc, yc = x[a] - x[a].mean(axis=1, keepdims=True), y[a] - y[a].mean(axis=1, keepdims=True)
        inverse = np.linalg.inv(np.einsum("tni,tnj->tij", xc, xc))
        slope = np.einsum("tij,tj->ti", inverse, np.einsum("tni,tn->ti", xc, yc))
        squares = np.sum((yc - np.einsum("tni,ti->tn", xc, slope)) ** 2, axis=1) / (n[a] - 1 - q)
        apart = x[a].mean(axis=1) - centre[:, 0]
        means.append(y[a].mean(axis=1) - np.sum(apart * slope, axis=1))
        left.append(squares * (1 / n[a] + np.einsum("ti,tij,tj->t", apart, inverse, apart)))
        slopes.append(slope)
    moved = slopes[1] - slopes[0]
    population = np.einsum("ti,tij,tj->t", moved, spread, moved) * of_population
    parts, dfs = (*left, population), (n[0] - 1 - q, n[1] - 1 - q, sum(n) - 2)
    df = sum(parts) ** 2 / sum(v**2 / d for v, d in zip(parts, dfs, strict=True))
    return means[1] - means[0], sum(parts), np.minimum(df, dfs[0] + dfs[1])


def equal(values: Array, variances: Array, dfs: Array) -> Array:
    """p-values of Welch's F over segments, shape (trials, k)."""
    k, w = values.shape[1], 1 / variances
    share = w / w.sum(axis=1, keepdims=True)
    q = np.sum(w * (values - np.sum(share * values, axis=1, keepdims=True)) ** 2, axis=1)
    lack = np.sum((1 - share) ** 2 / dfs, axis=1)
    f = q / (k - 1) / (1 + 2 * (k - 2) / (k * k - 1) * lack)
    return special.fdtrc(k - 1, (k * k - 1) / 3 / lack, f)


def holm_alarms(p: Array) -> Array:
    """Which hypotheses Holm rejects at 5 %, shape (trials, m)."""
    order = np.argsort(p, axis=1)
    steps = np.maximum.accumulate(np.take_along_axis(p, order, 1) * np.arange(p.shape[1], 0, -1), axis=1)
    found = np.empty_like(steps)
    np.put_along_axis(found, order, steps, 1)
    return found < 0.05


def bh_alarms(p: Array) -> Array:
    m = p.shape[1]
    order = np.argsort(p, axis=1)
    steps = np.take_along_axis(p, order, 1) * m / np.arange(1, m + 1)
    steps = np.minimum.accumulate(steps[:, ::-1], axis=1)[:, ::-1]
    found = np.empty_like(steps)
    np.put_along_axis(found, order, steps, 1)
    return found < 0.05


# -- kernels are the door --------------------------------------------------------------------------------------------


def table(*arms: Any) -> pd.DataFrame:
    parts = [pd.DataFrame({"arm": arm, **columns}) for arm, columns in enumerate(arms)]
    return pd.concat(parts, ignore_index=True)


def test_kernels_are_the_door(rng: np.random.Generator) -> None:
    for _ in range(30):
        n = rng.integers(12, 40, 3)
        x = [rng.normal(size=(1, size, 2)) for size in n]
        y = [rng.lognormal(size=(1, size)) + (1 + a) * x[a][..., 0] for a, size in enumerate(n)]
        frame = table(*({"y": y[a][0], "u": x[a][0, :, 0], "v": x[a][0, :, 1]} for a in range(3)))
        call = {"arm": "arm", "control": 0, "outcomes": "y"}
        two = frame[frame["arm"] < 2]
        e = compare(two, **call, covariates=["u", "v"], adjustment="lin")["y"].estimate
        parts = lin((y[0], y[1]), (x[0], x[1]))
        assert (e.value, e.std_error**2, e.df) == pytest.approx([float(each[0]) for each in parts], rel=1e-9)
        assert e.p_value == pytest.approx(float(tail(parts)[0]), rel=1e-9)
        found = compare(frame, **call, pool={"any": [1, 2]}, margin=0.3, equivalence=0.4)["y", "any"]
        parts = welch(y[0], np.concatenate(y[1:], axis=1))
        assert found.estimate.p_value == pytest.approx(float(tail(parts)[0]), rel=1e-9)
        sides = [float(tail(parts, null=null, side=side)[0]) for null, side in
                 ((-0.3, "greater"), (-0.4, "greater"), (0.4, "less"))]  # fmt: skip
        assert [each.p_value for each in found.margins] == pytest.approx([sides[0], max(sides[1:])], rel=1e-9)
        frame["s"] = frame.groupby("arm").cumcount() % 3
        difference = compare(frame, **call, by="s").differences[0]
        cells = [
            [frame.loc[(frame["arm"] == arm) & (frame["s"] == s), "y"].to_numpy()[None] for arm in (0, 1)]
            for s in range(3)
        ]
        values = [np.stack([welch(*cell)[j] for cell in cells], axis=1) for j in range(3)]
        assert difference.p_value == pytest.approx(float(equal(*values)[0]), rel=1e-9)
        p = rng.random((1, 8)) ** 3
        assert holm_alarms(p)[0].tolist() == (adjusted_p_values(p[0], correction="holm") < 0.05).tolist()
        assert bh_alarms(p)[0].tolist() == (adjusted_p_values(p[0], correction="bh") < 0.05).tolist()


# -- Lin -------------------------------------------------------------------------------------------------------------


def lin_world(
    rng: np.random.Generator, n: tuple[int, int], q: int, *, apart: float, skewed: bool = False, trials: int = TRIALS
) -> Parts:
    """Slopes of .8 in control and .8 + apart in treatment; the effect in the population is zero."""
    x = [
        rng.lognormal(size=(trials, size, q)) - math.exp(0.5) if skewed else rng.normal(size=(trials, size, q))
        for size in n
    ]
    y = [x[a] @ np.full(q, 0.8 + a * apart) + (1 + a) * rng.normal(size=(trials, n[a])) for a in (0, 1)]
    return lin((y[0], y[1]), (x[0], x[1]))


@pytest.mark.parametrize(
    ("n", "q", "apart"),
    [((20, 20), 1, 0.0), ((20, 40), 1, 1.0), ((30, 60), 2, 1.5), ((100, 30), 2, 1.5), ((40, 40), 3, 0.7)],
)
def test_lin_alarms_and_covers_as_it_says(rng: np.random.Generator, n: tuple[int, int], q: int, apart: float) -> None:
    assert keeps(tail(lin_world(rng, n, q, apart=apart)) < 0.05)


@pytest.mark.parametrize(("n", "q"), [((7, 7), 1), ((10, 10), 1), ((9, 9), 3)])
def test_lin_at_its_least_size_is_careful(rng: np.random.Generator, n: tuple[int, int], q: int) -> None:
    errors = tail(lin_world(rng, n, q, apart=0.5)) < 0.05
    assert keeps(errors, at_most=True)
    assert errors.mean() > 0.02


def test_lin_with_skewed_covariates_holds_from_two_hundred_an_arm(rng: np.random.Generator) -> None:
    errors = [tail(lin_world(rng, (200, 400), 1, apart=0.8, skewed=True, trials=1_000)) < 0.05 for _ in range(10)]
    assert keeps(np.concatenate(errors), at_most=True)


def test_forgetting_that_the_mean_of_covariates_is_of_a_sample_is_seen(rng: np.random.Generator) -> None:
    """The planted fault: without the population term the interval covers the sample's own effect only."""
    x = [rng.normal(size=(TRIALS, 30, 1)) for _ in (0, 1)]
    y = [x[a] @ np.array([2.0 * a]) + 0.5 * rng.normal(size=(TRIALS, 30)) for a in (0, 1)]
    assert keeps(tail(lin((y[0], y[1]), (x[0], x[1]))) < 0.05)
    assert not keeps(tail(lin((y[0], y[1]), (x[0], x[1]), of_population=False)) < 0.05)


# -- margins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [(10, 10), (180, 20)])
def test_tests_against_a_margin_err_at_five_percent_on_the_margin(rng: np.random.Generator, n: tuple[int, int]) -> None:
    control, treatment = rng.normal(size=(TRIALS, n[0])), rng.normal(size=(TRIALS, n[1])) * 2
    assert keeps(tail(welch(control, treatment - 0.3), null=-0.3, side="greater") < 0.05)
    assert keeps(tail(welch(control, treatment + 0.3), null=0.3, side="less") < 0.05)
    base = control + 10  # relative: the treatment is 5 % worse, the margin 5 %
    assert keeps(tail(welch(0.95 * base, treatment + 9.5), side="greater") < 0.05)


def test_equivalence_errs_at_five_percent_on_its_bound_and_less_beyond(rng: np.random.Generator) -> None:
    def shown(shift: float, n: int) -> Array:
        parts = welch(rng.normal(size=(TRIALS, n)), shift + rng.normal(size=(TRIALS, n)))
        return np.maximum(tail(parts, null=-0.5, side="greater"), tail(parts, null=0.5, side="less")) < 0.05

    assert keeps(shown(0.5, 100))
    assert keeps(shown(-0.5, 100))
    assert np.mean(shown(0.6, 100)) < 0.02
    assert np.mean(shown(0.0, 100)) > 0.9
    assert np.mean(shown(0.5, 8)) < 0.05  # too small to show anything: careful


# -- pools, corrections, segments, caps ------------------------------------------------------------------------------


def test_pooled_arms_err_at_five_percent(rng: np.random.Generator) -> None:
    """Arms of 40 and 80 units whose effects of -.2 and .1 cancel in the mean of their units."""
    arms = rng.normal(size=(TRIALS, 40)) - 0.2, rng.normal(size=(TRIALS, 80)) + 0.1
    assert keeps(tail(welch(rng.normal(size=(TRIALS, 60)), np.concatenate(arms, axis=1))) < 0.05)


def outcome_p_values(rng: np.random.Generator, shifts: Array, *, shared: float) -> Array:
    """p-values of m outcomes of the same 30 + 30 units, shape (trials, m)."""
    found = []
    for _ in range(10):
        shape, m = (TRIALS // 10, 30), len(shifts)
        common = [rng.normal(size=shape) * math.sqrt(shared) for _ in (0, 1)]
        arms = [[common[a] + rng.normal(size=shape) * math.sqrt(1 - shared) for _ in range(m)] for a in (0, 1)]
        found.append(np.stack([tail(welch(arms[0][j], arms[1][j] + shifts[j])) for j in range(m)], axis=1))
    return np.concatenate(found)


@pytest.mark.parametrize("shared", [0.0, 0.6])
def test_holm_bounds_any_false_alarm(rng: np.random.Generator, shared: float) -> None:
    shifts = np.array([0.0, 0.0, 0.0, 0.0, 0.8, 0.8])
    p = outcome_p_values(rng, shifts, shared=shared)
    alarms = holm_alarms(p)
    assert keeps(alarms[:, :4].any(axis=1), at_most=True)
    assert not keeps((p < 0.05)[:, :4].any(axis=1), at_most=True)  # the planted fault: no correction
    bonferroni = p * p.shape[1] < 0.05
    assert np.all(alarms >= bonferroni)
    assert alarms[:, 4:].mean() > bonferroni[:, 4:].mean()


def test_benjamini_hochberg_bounds_the_share_of_false_alarms(rng: np.random.Generator) -> None:
    """Independent tests: the expected share is exactly 5 % times the share of true nulls."""
    shifts = np.array([0.0] * 6 + [0.8] * 4)
    alarms = bh_alarms(outcome_p_values(rng, shifts, shared=0.0))
    share = alarms[:, :6].sum(axis=1) / np.maximum(alarms.sum(axis=1), 1)
    assert abs(share.mean() - 0.03) < 5 * share.std() / math.sqrt(len(share))


def test_intervals_of_bonferroni_hold_together(rng: np.random.Generator) -> None:
    p = outcome_p_values(rng, np.zeros(5), shared=0.3)  # p < .05 / 5 exactly where the joint interval misses zero
    assert keeps((p < 0.01).any(axis=1), at_most=True)
    assert (p < 0.01).any(axis=1).mean() > 0.03


SEGMENTS: dict[str, tuple[list[int], list[float]]] = {
    "two of 15": ([15, 15], [1, 3]),
    "three unequal": ([20, 40, 100], [3, 1, 0.5]),
    "eight of 30": ([30] * 8, [1.0] * 8),
}


@pytest.mark.parametrize("world", SEGMENTS)
def test_equal_effects_look_different_at_five_percent(rng: np.random.Generator, world: str) -> None:
    sizes, noise = SEGMENTS[world]
    parts = [
        welch(s * rng.normal(size=(TRIALS, n)), 1.0 + s * rng.normal(size=(TRIALS, n)))
        for n, s in zip(sizes, noise, strict=True)
    ]
    values = [np.stack([part[j] for part in parts], axis=1) for j in range(3)]
    assert keeps(equal(*values) < 0.05)


def test_means_capped_at_a_percentile_of_all_err_at_five_percent(rng: np.random.Generator) -> None:
    """Log-normal 1.5, capped at the 99th percentile of both arms together."""
    errors = []
    for _ in range(10):
        y = rng.lognormal(0, 1.5, (TRIALS // 10, 400))
        y = np.minimum(y, np.quantile(y, 0.99, axis=1, keepdims=True))
        errors.append(tail(welch(y[:, :200], y[:, 200:])) < 0.05)
    assert keeps(np.concatenate(errors))
    rows = table({"y": y[0, :200]}, {"y": y[0, 200:]})
    found = compare(rows, arm="arm", control=0, outcomes=Mean("y", cap="p99")).effects[0].estimate
    assert found.value == pytest.approx(y[0, 200:].mean() - y[0, :200].mean(), rel=0.05)


def test_student_with_equal_variances_errs_at_five_percent(rng: np.random.Generator) -> None:
    p = stats.ttest_ind(rng.normal(size=(TRIALS, 8)), rng.normal(size=(TRIALS, 24)), axis=1).pvalue
    assert keeps(p < 0.05)
    y = rng.normal(size=(8,)), rng.normal(size=(24,))
    found = compare(table({"y": y[0]}, {"y": y[1]}), arm="arm", control=0, outcomes="y", test="student")
    assert found["y"].estimate.p_value == pytest.approx(stats.ttest_ind(*y).pvalue, rel=1e-10)


def cuped_of(x: np.ndarray, y: np.ndarray, treated: np.ndarray) -> tuple[float, float]:
    """Effect and p-value of CUPED with many covariates, by literal least squares of all units on the covariates."""
    centred = x - x.mean(axis=0)
    left = y - centred @ np.linalg.lstsq(centred, y - y.mean(), rcond=None)[0]
    found = stats.ttest_ind(left[treated], left[~treated], equal_var=False)
    return float(left[treated].mean() - left[~treated].mean()), float(found.pvalue)


@pytest.mark.parametrize("effect", [0.0, 0.5])
def test_cuped_with_many_covariates_tests_right_and_shrinks_as_it_says(effect):
    rng, n, k, reps = np.random.default_rng([41, int(10 * effect)]), 200, 20, 2000
    effects, p_values = np.zeros(reps), np.zeros(reps)
    for i in range(reps):
        x, treated = rng.normal(size=(n, k)), rng.permutation(n) < n // 2
        y = x.sum(axis=1) / math.sqrt(k) + rng.normal(size=n) + effect * treated
        effects[i], p_values[i] = cuped_of(x, y, treated)
        if i == 0:
            names = [f"x{j}" for j in range(k)]
            frame = pd.DataFrame(x, columns=names).assign(y=y, arm=np.where(treated, "b", "a"))
            door = compare(frame, arm="arm", control="a", outcomes="y", covariates=names)["y"].estimate
            assert (door.value, door.p_value) == (pytest.approx(effects[0]), pytest.approx(p_values[0], rel=1e-9))
    error = effects.std() / math.sqrt(reps)
    assert effects.mean() == pytest.approx(effect * (1 - k / (n - 1)), abs=5 * error)
    if not effect:
        assert 0.028 <= np.mean(p_values < 0.05) <= 0.0755  # exact binomial band of two-sided probability 1e-6
