"""Randomisation inference against full enumeration, scipy, and its own promises."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.resampling.permutation import (
    ENUMERATED,
    assigned_sums,
    assignments,
    permutation_p,
    permutation_test,
    smallest_p,
)
from cpi_experiments.stats.resampling.totals import Totals, totals_of

Array = np.ndarray


def rows(control: Array, treatment: Array) -> Totals:
    values = np.concatenate([control, treatment]).astype(float)
    return totals_of(values, np.ones(len(values)), np.arange(len(values)) >= len(control))


def welch_t(control: Array, treatment: Array) -> float:
    return float(stats.ttest_ind(treatment, control, equal_var=False).statistic)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("seed", range(4))
def test_exact_p_counts_every_assignment(alternative, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.lognormal(size=5), rng.lognormal(0.5, 1, size=4)
    both = np.concatenate([a, b])
    observed = welch_t(a, b)
    hits = []
    for chosen in combinations(range(9), 4):
        t = welch_t(np.delete(both, chosen), both[list(chosen)])
        close = t >= observed - 1e-9 if alternative == "greater" else t <= observed + 1e-9
        hits.append(abs(t) >= abs(observed) - 1e-9 if alternative == "two-sided" else close)
    found = permutation_test(rows(a, b), rng=rng, alternative=alternative)
    assert found.p_value == pytest.approx(np.mean(hits), abs=1e-12)
    assert found.exact
    assert found.resamples == math.comb(9, 4)
    assert found.p_error == 0


def test_exact_p_is_that_of_scipy_permutation_test():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=6), rng.normal(1, 2, size=6)
    expected = stats.permutation_test((b, a), welch_t_of, n_resamples=np.inf, alternative="two-sided", vectorized=True)
    found = permutation_test(rows(a, b), rng=rng)
    # scipy doubles the smaller tail; with equal arms the statistic is symmetric and both agree
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-12)


def welch_t_of(x: Array, y: Array, axis: int) -> Array:
    effect = x.mean(axis=axis) - y.mean(axis=axis)
    return effect / np.sqrt(x.var(axis=axis, ddof=1) / x.shape[axis] + y.var(axis=axis, ddof=1) / y.shape[axis])


def test_drawn_p_approaches_the_exact_one_within_its_stated_error():
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=12), rng.normal(0.8, 1, size=12)  # 2.7 million assignments: drawn
    totals = rows(a, b)
    assert assignments(totals) > ENUMERATED
    found = permutation_test(totals, rng=np.random.default_rng(1), reps=999)
    fine = permutation_p(totals, assigned_sums(totals, rng=np.random.default_rng(2), reps=60_000))
    assert abs(found.p_value - fine) < 4 * found.p_error
    assert found.smallest_p == pytest.approx(1 / 1000)


@pytest.mark.parametrize(
    ("cells", "exact"),
    [([(8, 8)], True), ([(9, 9)], False), ([(4, 4), (4, 4)], True), ([(4, 4), (5, 5)], True), ([(5, 5)] * 2, False),
     ([(2, 190)], True), ([(200, 2)], False), ([(190, 2)], True), ([(2, 2)] * 5, True), ([(2, 2)] * 6, False)],
)  # fmt: skip
def test_all_assignments_are_counted_exactly_where_they_are_few(cells, exact):
    treated = np.concatenate([np.repeat([False, True], sizes) for sizes in cells])
    strata = np.repeat(np.arange(len(cells)), [sum(sizes) for sizes in cells])
    values = np.random.default_rng(1).normal(size=len(treated))
    totals = totals_of(values, np.ones(len(treated)), treated, strata=strata)
    found = permutation_test(totals, rng=np.random.default_rng(0), reps=99)
    assert found.exact == exact == (assignments(totals) <= ENUMERATED)
    assert found.resamples == (assignments(totals) if exact else 99)


def test_many_assignments_are_never_written_out(monkeypatch):
    """Their number has tens of thousands of digits for 200,000 units, and was taken at every null of the interval."""
    largest = []

    def counted(n: int, k: int) -> int:
        largest.append(k)
        return choose(n, k)

    choose = math.comb
    rng = np.random.default_rng(2)
    totals = rows(rng.normal(size=4_000), rng.normal(size=4_000))
    monkeypatch.setattr(math, "comb", counted)
    permutation_test(totals, rng=rng, reps=99)
    assert max(largest) <= 3
    assert len(largest) <= 6


def test_same_seed_same_numbers_and_other_seed_others():
    rng = np.random.default_rng(8)
    totals = rows(rng.normal(size=30), rng.normal(0.5, 1, size=30))
    one, same, other = (permutation_test(totals, rng=np.random.default_rng(s), reps=499) for s in (1, 1, 2))
    assert repr(one) == repr(same)
    assert one != other


def test_interval_ends_are_where_the_p_value_crosses_its_level():
    rng = np.random.default_rng(4)
    totals = rows(rng.lognormal(size=7), rng.lognormal(size=7))
    sums = assigned_sums(totals, rng=rng)
    found = permutation_test(totals, rng=rng)
    tiny = 1e-6 * found.std_error
    assert permutation_p(totals, sums, null=found.ci_low + tiny) > 0.05
    assert permutation_p(totals, sums, null=found.ci_high - tiny) > 0.05
    assert permutation_p(totals, sums, null=found.ci_low - tiny) <= 0.05
    assert permutation_p(totals, sums, null=found.ci_high + tiny) <= 0.05
    assert found.ci_low < found.effect < found.ci_high


def test_interval_of_many_rows_is_that_of_welch():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=300), rng.normal(0.3, 2, size=200)
    found = permutation_test(rows(a, b), rng=rng, reps=1_999)
    expected = stats.ttest_ind(b, a, equal_var=False).confidence_interval()
    assert found.ci_low == pytest.approx(expected.low, abs=0.12 * found.std_error)
    assert found.ci_high == pytest.approx(expected.high, abs=0.12 * found.std_error)
    assert found.effect == pytest.approx(b.mean() - a.mean(), rel=1e-12)
    assert found.std_error == pytest.approx(math.sqrt(a.var(ddof=1) / 300 + b.var(ddof=1) / 200), rel=1e-12)


@pytest.mark.parametrize(("alternative", "infinite"), [("greater", "high"), ("less", "low")])
def test_one_sided_interval_has_one_end_and_agrees_with_its_p(alternative, infinite):
    rng = np.random.default_rng(6)
    shift = 2.0 if alternative == "greater" else -2.0
    found = permutation_test(rows(rng.normal(size=8), shift + rng.normal(size=8)), rng=rng, alternative=alternative)
    assert found.p_value < 0.05
    assert math.isinf(found.ci_high if infinite == "high" else found.ci_low)
    assert found.ci_low > 0 or found.ci_high < 0


def test_c16_four_clusters_cannot_reject_and_the_interval_is_the_whole_line():
    values = np.array([0.0, 1.0, 0.5, 0.2, 100.0, 101.0, 99.0, 98.0])
    clusters = np.repeat([0, 1, 2, 3], 2)
    totals = totals_of(values, np.ones(8), np.arange(8) >= 4, clusters=clusters)
    found = permutation_test(totals, rng=np.random.default_rng(0))
    assert found.resamples == 6
    assert found.smallest_p == pytest.approx(1 / 3)
    assert found.p_value == pytest.approx(1 / 3)
    assert (found.ci_low, found.ci_high) == (-math.inf, math.inf)
    assert smallest_p(totals, "greater") == pytest.approx(1 / 6)


def test_strata_are_permuted_within():
    """Two strata of 2 + 2: 36 assignments, each counted, however far apart the strata are."""
    values = np.array([1.0, 2.0, 3.5, 5.0, 1001.0, 1002.5, 1003.0, 1006.0])
    treated, strata = np.tile([False, False, True, True], 2), np.repeat([0, 1], 4)
    found = permutation_test(totals_of(values, np.ones(8), treated, strata=strata), rng=np.random.default_rng(0))
    statistics = []
    for one in combinations(range(4), 2):
        for two in combinations(range(4, 8), 2):
            effect = variance = 0.0
            for inside, chosen in ((range(4), one), (range(4, 8), two)):
                t = values[list(chosen)]
                c = values[[i for i in inside if i not in chosen]]
                effect += 0.5 * (t.mean() - c.mean())
                variance += 0.25 * (t.var(ddof=1) / 2 + c.var(ddof=1) / 2)
            statistics.append(effect / math.sqrt(variance))
    observed = statistics[-1]  # (2, 3) and (6, 7) are the last of the combinations
    assert found.resamples == 36
    assert found.p_value == pytest.approx(np.mean(np.abs(statistics) >= abs(observed) - 1e-9))
    assert found.effect == pytest.approx(2.75)


def test_unequal_strata_are_drawn_when_assignments_are_many():
    rng = np.random.default_rng(1)
    strata = np.repeat([3, 7], [40, 20])
    treated = rng.permutation(60) < 30
    values = rng.normal(size=60) + 5 * (strata == 7) + 1.5 * treated
    found = permutation_test(totals_of(values, np.ones(60), treated, strata=strata), rng=rng, reps=999)
    assert not found.exact
    assert found.p_value == pytest.approx(0.001)
    assert 0.5 < found.ci_low < found.effect < found.ci_high < 2.5


def test_ratio_shift_moves_the_numerator_by_the_denominator():
    rng = np.random.default_rng(2)
    base = rng.integers(1, 9, 14).astype(float)
    treated = np.arange(14) >= 7
    top = base * rng.normal(2, 0.3, 14)
    sums_of = [totals_of(top + shift * base * treated, base, treated) for shift in (0.0, 5.0)]
    one, moved = (permutation_test(t, rng=np.random.default_rng(0)) for t in sums_of)
    assert moved.effect == pytest.approx(one.effect + 5)
    assert moved.ci_low == pytest.approx(one.ci_low + 5, abs=1e-4)
    assert moved.ci_high == pytest.approx(one.ci_high + 5, abs=1e-4)


def test_constant_values_give_no_evidence():
    found = permutation_test(rows(np.ones(4), np.ones(4)), rng=np.random.default_rng(0))
    assert (found.effect, found.p_value) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reps": 10}, "too few"),
        ({"confidence_level": 1.0}, "confidence level"),
        ({"alternative": "bigger"}, "alternative"),
    ],
)
def test_meaningless_arguments_are_refused(options, message):
    with pytest.raises(EstimationError, match=message):
        permutation_test(rows(np.arange(4), np.arange(4)), rng=np.random.default_rng(0), **options)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"clusters": np.array([0, 0, 1, 1, 0, 2])}, "2 of 3 clusters lie in both arms"),
        ({"clusters": np.array([0, 0, 0, 1, 1, 1])}, "control arm has 1 cluster"),
        ({"strata": np.array([0, 0, 0, 0, 0, 1])}, "1 of 2 strata"),
    ],
)
def test_c15_cells_without_two_units_are_refused(places, message):
    with pytest.raises(EstimationError, match=message):
        totals_of(np.arange(6.0), np.ones(6), np.arange(6) >= 3, **places)


def test_a_base_that_adds_up_to_nothing_is_refused():
    with pytest.raises(EstimationError, match="denominator adds up to 0"):
        totals_of(np.arange(4.0), np.zeros(4), np.arange(4) >= 2)
