"""One p-value over all declared looks: its tails, its error rate whatever decides on the looks, that it never rises."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.judging.running_p import (
    CAP_FACTOR,
    SMALLEST,
    capped_tail,
    look_plan,
    planned_tail,
    running_p,
)
from cpi_experiments.stats.sequential.group_sequential import crossing_probability

PLANS = ("single", "retest", "planned 2", "planned 4", "planned 8", "capped 0.35", "open 0.5")
LEVELS = (0.5, 0.1, 0.05, 0.005)


def most(chance, n):
    """Upper end of what n draws may show."""
    return stats.binom.ppf(1 - 1e-4, n, chance) / n


def first_passage(c, n=1500):
    """P(B passes c f^(1/4) before f = 1) over SF(c): Volterra equation of Buonocore and others, in log time."""
    t = np.exp(np.linspace(-4 * math.log(math.sqrt(c * c + 80) / c), 0, n + 1))
    h = math.log(t[1] / t[0])
    b, slope = c * t**0.25, 0.25 * c * t**-0.75
    free = (slope / 2 - b / (2 * t)) * np.exp((c * c - b * b / t) / 2) / np.sqrt(2 * np.pi * t)
    g = np.zeros(n + 1)
    for i in range(n + 1):
        ago, rise = t[i] - t[:i], b[i] - b[:i]
        kernel = (slope[i] / 2 - rise / (2 * ago)) * np.exp(-rise * rise / (2 * ago)) / np.sqrt(2 * np.pi * ago)
        g[i] = -2 * free[i] + 2 * h * np.sum(t[:i] * g[:i] * kernel)
    return h * (np.sum(t * g) - g[-1] / 2) / (special.erfcx(c / math.sqrt(2)) / 2)


# -- tails -----------------------------------------------------------------------------------------------------------


def test_cap_factor_bounds_the_first_passage_ratio_which_rises_to_three():
    c = np.array([0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0])
    ratio = np.array([first_passage(x) for x in c])
    assert np.all(np.diff(ratio) > 0)
    assert np.all(ratio < CAP_FACTOR)
    assert ratio[-1] == pytest.approx(CAP_FACTOR, abs=0.01)
    assert ratio[[3, 4, 5, 6]] == pytest.approx([2.83, 2.89, 2.94, 2.97], abs=0.008)  # the designed table
    assert ratio[7] == pytest.approx(2.976, abs=0.002)


@pytest.mark.parametrize("c", [2.0, 3.5])
def test_many_looks_come_close_to_the_bound_of_any_looks_and_never_pass_it(c):
    f = np.exp(np.linspace(-4 * math.log(math.sqrt(c * c + 40) / c), 0, 120))
    seen = crossing_probability(f, c / f**0.25, two_sided=False).sum()
    assert 0.70 * capped_tail(c) < seen < 0.98 * capped_tail(c)


def test_bound_of_any_looks_is_monotone_floored_and_at_most_one():
    p = capped_tail(np.linspace(-5, 40, 2001))
    assert np.all(np.diff(p) <= 0)
    assert (p.max(), p.min()) == (1.0, SMALLEST)
    assert capped_tail(np.array(-math.inf)) == 1.0


@pytest.mark.parametrize(("p", "c"), [(0.05, 1.90), (0.005, 2.74), (0.0005, 3.40)])
def test_eight_planned_looks_have_the_designed_boundary_or_little_more(p, c):
    share = np.arange(1, 9) / 8
    exact = crossing_probability(share, c / share**0.25, two_sided=False).sum()
    union = special.ndtr(-c / share**0.25).sum()
    assert exact == pytest.approx(p, rel=0.02)
    table = float(planned_tail(c, 8))
    assert exact < table < 1.12 * exact  # room for looks that grow
    assert table < 0.86 * union


@pytest.mark.parametrize("looks", [2, 3, 8, 12])
def test_planned_tail_is_the_integral_monotone_and_below_the_union(looks):
    share = np.arange(1, looks + 1) / looks
    for c in (0.025, 1.337, 2.81, 4.4):  # off the grid
        exact = crossing_probability(share**1.25, c / share**0.25, two_sided=False).sum()
        assert planned_tail(c, looks) == pytest.approx(exact, rel=2e-4)
    c = np.linspace(-2, 9, 3001)
    p = planned_tail(c, looks)
    assert np.all(np.diff(p) <= 0)
    assert p[0] == 1.0
    union = special.ndtr(-c[:, None] / share**0.25).sum(axis=1)
    assert np.all(p[c > 0] <= union[c > 0] * (1 + 1e-6))


def test_one_planned_look_is_the_normal_tail():
    z = np.linspace(-3, 9, 50)
    assert planned_tail(z, 1) == pytest.approx(special.ndtr(-z), rel=1e-12)


# -- what each plan counts --------------------------------------------------------------------------------------------


def p_of(s, v, plan):
    return running_p(np.array(s, dtype=float), np.array(v, dtype=float), look_plan(plan)).p_values


def test_single_counts_the_first_look_only():
    found = running_p(np.array([0, 0, 6, 50, 90.0]), np.array([0, 0, 4, 9, 9.5]), look_plan("single"))
    assert found.p_values == pytest.approx([1, 1, special.ndtr(-3), special.ndtr(-3), special.ndtr(-3)])
    assert found.looks_used.tolist() == [0, 0, 1, 1, 1]
    assert np.isnan(found.statistic[:2]).all()
    assert found.statistic[2:] == pytest.approx(3.0)
    assert (found.scores[-1], found.information[-1]) == (6.0, 4.0)


def test_retest_pays_each_look_from_its_account_on_new_experiments_only():
    found = running_p(np.array([2.0, 2.0, 7.0, 7.5]), np.array([1.0, 1.0, 5.0, 6.0]), look_plan("retest"))
    first, second, third = special.ndtr([-2.0, -2.5, -0.5]) / [0.8, 0.1, 0.05]
    assert found.p_values == pytest.approx([first, first, min(first, second), min(first, second, third)])
    assert found.statistic == pytest.approx([2.0] * 4)
    assert found.looks_used.tolist() == [1, 1, 2, 3]
    late = running_p(np.array([0.0, 6.0]), np.array([1.0, 5.0]), look_plan("retest"))
    assert late.statistic == pytest.approx([0.0, 3.0])
    assert late.p_values == pytest.approx([0.625, special.ndtr(-3) / 0.1])


def test_shares_of_the_account_add_up_to_one():
    steps = np.arange(1.0, 31.0)
    shares = [special.ndtr(-10.0) / p_of([*np.zeros(k - 1), 10.0], steps[:k], "retest")[-1] for k in range(1, 31)]
    assert shares[:4] == pytest.approx([0.8, 0.1, 0.05, 0.025])
    assert sum(shares) == pytest.approx(1.0, abs=1e-7)


def test_planned_weighs_looks_by_their_number_and_ignores_those_beyond():
    found = running_p(np.array([1.0, 5.0, 5.0, 90.0]), np.array([1.0, 2.0, 2.0, 3.0]), look_plan("planned 2"))
    c = np.array([1.0 * 0.5**0.25, 5 / math.sqrt(2)])
    assert found.statistic == pytest.approx([c[0], c[1], c[1], c[1]])
    assert found.p_values == pytest.approx(planned_tail(c[[0, 1, 1, 1]], 2))
    assert found.looks_used.tolist() == [1, 2, 2, 2]


def test_a_planned_look_that_grows_too_much_has_its_weight_shrunk():
    found = running_p(np.array([0.0, 10.0]), np.array([1.0, 5.0]), look_plan("planned 4"))
    room = 2**1.25 - 1
    assert found.information[1] == pytest.approx(1 + room)
    assert found.scores[1] == pytest.approx(10.0 * math.sqrt(room / 4))
    shrinking = running_p(np.array([0.0, 1.0, 2.0]), np.array([5.0, 5.1, 5.2]), look_plan("planned 4"))
    assert shrinking.information == pytest.approx([5.0, 5.1, 5.2])  # looks may get smaller as they like


def test_capped_looks_end_exactly_at_the_cap():
    found = running_p(np.array([1.0, 6.0, 99.0]), np.array([3.0, 7.0, 50.0]), look_plan("capped 0.5"))
    assert found.information == pytest.approx([3.0, 4.0, 4.0])
    assert found.scores == pytest.approx([1.0, 1 + 5 * math.sqrt(1 / 4), 1 + 5 * math.sqrt(1 / 4)])
    c = max(1 / (3 * 4) ** 0.25, 3.5 / 2)
    assert found.statistic == pytest.approx([1 / 12**0.25, c, c])
    assert found.p_values[1:] == pytest.approx(CAP_FACTOR * special.ndtr(-c))
    assert found.looks_used.tolist() == [1, 2, 2]


def test_open_looks_take_the_best_of_three_caps():
    s, v = [2.0, 5.0, 9.0, 12.0], [2.0, 4.0, 8.0, 16.0]
    caps = [p_of(s, v, f"capped {math.sqrt(1 / (4 * 2**j))!r}") for j in range(3)]
    best = np.minimum.reduce([np.minimum(p / a, 1) for p, a in zip(caps, (0.7, 0.2, 0.1), strict=True)])
    assert p_of(s, v, "open 0.5") == pytest.approx(np.minimum.accumulate(best))
    assert running_p(np.array(s), np.array(v), look_plan("open 0.5")).information[-1] == 16.0


def test_no_smaller_p_than_one_in_a_million_is_read_from_looks_without_a_fixed_end():
    assert p_of([40.0], [4.0], "capped 0.5")[0] == SMALLEST
    assert p_of([40.0], [4.0], "open 0.5")[0] == pytest.approx(SMALLEST / 0.7)
    assert p_of([40.0], [4.0], "single")[0] < 1e-80


@pytest.mark.parametrize("plan", PLANS)
def test_without_information_p_is_one(plan):
    found = running_p(np.zeros((2, 3)), np.zeros((2, 3)), look_plan(plan))
    assert found.p_values.tolist() == [[1.0] * 3] * 2
    assert found.looks_used.sum() == 0
    assert np.isnan(found.statistic).all()
    assert running_p(np.zeros((3, 0)), np.zeros((3, 0)), look_plan(plan)).p_values.shape == (3, 0)


@pytest.mark.parametrize("plan", PLANS)
def test_many_links_at_once_are_judged_as_one_by_one(plan):
    rng = np.random.default_rng(4)
    dv = rng.lognormal(0, 1, (5, 3, 6)) * (rng.uniform(size=(5, 3, 6)) < 0.7)
    s, v = np.cumsum(rng.standard_normal(dv.shape) * np.sqrt(dv), axis=-1), np.cumsum(dv, axis=-1)
    together = running_p(s, v, look_plan(plan))
    for i in np.ndindex(5, 3):
        alone = running_p(s[i], v[i], look_plan(plan))
        for name in ("p_values", "statistic", "looks_used", "scores", "information"):
            assert np.array_equal(getattr(together, name)[i], getattr(alone, name), equal_nan=True)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    steps=st.lists(
        st.tuples(st.floats(-50, 50), st.one_of(st.just(0.0), st.floats(1e-3, 1e6))), min_size=1, max_size=12
    ),
    plan=st.sampled_from(PLANS),
    tail=st.integers(0, 12),
)
def test_p_never_rises_and_no_step_is_judged_by_later_ones(steps, plan, tail):
    dv = np.array([v for _, v in steps])
    s, v = np.cumsum([z * math.sqrt(i) for (z, _), i in zip(steps, dv, strict=True)]), np.cumsum(dv)
    found = running_p(s, v, look_plan(plan))
    assert np.all(np.diff(found.p_values) <= 0)
    assert np.all((found.p_values >= 0) & (found.p_values <= 1))
    assert np.all(found.information <= v * (1 + 1e-9))
    cut = max(1, len(steps) - tail)
    assert np.array_equal(running_p(s[:cut], v[:cut], look_plan(plan)).p_values, found.p_values[:cut])


@pytest.mark.parametrize(
    ("s", "v", "found"),
    [
        ([1.0, 2.0], [1.0], "do not match"),
        (1.0, 1.0, "do not match"),
        ([math.nan, 2.0], [1.0, 2.0], "1 of 2"),
        ([1.0, 2.0], [1.0, math.inf], "1 of 2"),
        ([1.0, 2.0], [2.0, 1.0], "information falls at 1 of 2 steps"),
        ([1.0], [-1.0], "information falls"),
        ([1.0, 2.0], [1.0, 1.0], "moves without information at 1 of 2"),
        ([1.0], [0.0], "moves without information"),
    ],
)
def test_scores_that_cannot_be_are_refused(s, v, found):
    with pytest.raises(EstimationError, match=found):
        running_p(np.array(s), np.array(v), look_plan("retest"))


# -- error rate ------------------------------------------------------------------------------------------------------

N = 20_000


def equal_steps(rng, n, looks=8):
    return np.cumsum(rng.standard_normal((n, looks)), axis=1), np.broadcast_to(np.arange(1.0, looks + 1), (n, looks))


def uneven_steps(rng, n, looks=8):
    """Information of every look differs widely; some steps bring none."""
    dv = rng.lognormal(0, 1, (n, looks)) * (rng.uniform(size=(n, looks)) < 0.8)
    return np.cumsum(rng.standard_normal((n, looks)) * np.sqrt(dv), axis=1), np.cumsum(dv, axis=1)


def growing_steps(rng, n, looks=8):
    dv = np.broadcast_to(2.0 ** np.arange(looks), (n, looks))
    return np.cumsum(rng.standard_normal((n, looks)) * np.sqrt(dv), axis=1), np.cumsum(dv, axis=1)


def hunting_steps(rng, n, looks=40):
    """The next experiment is small when the score is promising, so that it is looked at often there."""
    s, v = np.zeros((n, looks)), np.zeros((n, looks))
    now, used = np.zeros(n), np.zeros(n)
    for t in range(looks):
        promising = now > 1.2 * np.sqrt(np.maximum(used, 1e-9))
        dv = np.where(promising, 0.05, 0.6) * (1 + used / 4)
        now, used = now + rng.standard_normal(n) * np.sqrt(dv), used + dv
        s[:, t], v[:, t] = now, used
    return s, v


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("world", [equal_steps, uneven_steps, growing_steps], ids=lambda w: w.__name__)
def test_chance_of_a_small_p_over_all_looks_is_at_most_p(plan, world):
    s, v = world(np.random.default_rng(11), N)
    last = running_p(s, v, look_plan(plan)).p_values[:, -1]
    for u in LEVELS:
        assert np.mean(last <= u) <= most(u, N)


@pytest.mark.parametrize("plan", ["capped 0.35", "open 0.5", "capped 1"])
def test_looks_up_to_a_cap_may_be_ordered_by_what_was_seen(plan):
    s, v = hunting_steps(np.random.default_rng(12), N)
    last = running_p(s, v, look_plan(plan)).p_values[:, -1]
    for u in LEVELS:
        assert np.mean(last <= u) <= most(u, N)


def test_a_harmful_link_is_confirmed_less_often_than_a_null():
    s, v = equal_steps(np.random.default_rng(13), N)
    for plan in PLANS:
        assert np.mean(running_p(s - 0.3 * v, v, look_plan(plan)).p_values[:, -1] <= 0.05) < 0.035


@pytest.mark.parametrize(
    ("plan", "least"), [("single", 0.93), ("planned 8", 0.80), ("planned 2", 0.88), ("capped 0.35355339", 0.55)]
)
def test_planned_looks_waste_little_of_the_error_rate(plan, least):
    s, v = equal_steps(np.random.default_rng(14), 4 * N)
    last = running_p(s, v, look_plan(plan)).p_values[:, -1]
    assert np.mean(last <= 0.05) >= least * 0.05


def test_planned_faults_break_the_error_rate():
    """A p-value read anew at each look, one cap replaced after the first was used up, a first look chosen by its z."""
    s, v = equal_steps(np.random.default_rng(15), N)
    each_look = special.ndtr(-s / np.sqrt(v)).min(axis=1)
    assert np.mean(each_look <= 0.05) > 2.5 * 0.05
    caps = [p_of(s[:400], v[:400], f"capped {(2.0 * 2**j) ** -0.5!r}")[:, -1] for j in range(3)]
    assert np.mean(np.min(caps, axis=0) <= 0.3) > np.mean(caps[0] <= 0.3)
    chosen = np.where(s[:, :1] > 0, s[:, :1], s[:, 1:2] - s[:, :1])  # the first experiment forgotten when it was bad
    assert np.mean(special.ndtr(-chosen) <= 0.05) > most(0.05, N)
