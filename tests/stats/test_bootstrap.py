"""The bootstrap against scipy, literal resampling, and the promises of its interval."""

import math

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.resampling.bootstrap import bootstrap_test, draw_counts, resampled_arms
from cpi_experiments.stats.resampling.totals import Totals, by_arm, observed, own_sums, totals_of

Array = np.ndarray


def rows(control: Array, treatment: Array) -> Totals:
    values = np.concatenate([control, treatment]).astype(float)
    return totals_of(values, np.ones(len(values)), np.arange(len(values)) >= len(control))


@pytest.fixture
def skewed() -> tuple[Array, Array]:
    rng = np.random.default_rng(11)
    return rng.exponential(size=60), rng.exponential(1.4, size=80)


@pytest.mark.parametrize(("kind", "method"), [("bca", "BCa"), ("percentile", "percentile")])
@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_interval_is_that_of_scipy_bootstrap(skewed, kind, method, alternative):
    a, b = skewed
    expected = stats.bootstrap(
        (b, a), lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis), method=method, n_resamples=20_000,
        alternative=alternative, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    found = bootstrap_test(rows(a, b), rng=np.random.default_rng(2), reps=19_999, kind=kind, alternative=alternative)
    # ends of 20,000 draws each have a Monte Carlo error of about .02 standard errors
    for end, other in ((found.ci_low, expected.low), (found.ci_high, expected.high)):
        assert end == pytest.approx(other, abs=0.1 * found.std_error)


def test_arms_of_resamples_are_those_of_the_drawn_rows(skewed):
    a, b = skewed
    counts = [draw_counts(len(x), 50, np.random.default_rng(4)) for x in (a, b)]
    rng = np.random.default_rng(4)  # the control is drawn first
    totals = rows(a, b)
    control, _, variance, _ = resampled_arms(totals, 50, rng)
    drawn = np.array([np.repeat(a, row) for row in counts[0]])
    assert control + totals.origin == pytest.approx(drawn.mean(axis=1), rel=1e-12)
    assert variance == pytest.approx(drawn.var(axis=1, ddof=1) / len(a), rel=1e-9)


def test_studentised_interval_is_the_literal_bootstrap_t(skewed):
    a, b = skewed
    rng = np.random.default_rng(5)
    t = []
    effect, std_error = b.mean() - a.mean(), math.sqrt(a.var(ddof=1) / 60 + b.var(ddof=1) / 80)
    for _ in range(4_000):
        x, y = rng.choice(a, 60), rng.choice(b, 80)
        t.append((y.mean() - x.mean() - effect) / math.sqrt(x.var(ddof=1) / 60 + y.var(ddof=1) / 80))
    c = np.quantile(np.abs(t), 0.95)
    found = bootstrap_test(rows(a, b), rng=np.random.default_rng(6), reps=9_999)
    assert found.std_error == pytest.approx(std_error, rel=1e-12)
    assert found.ci_high == pytest.approx(effect + c * std_error, abs=0.1 * std_error)
    assert found.ci_high - found.effect == pytest.approx(found.effect - found.ci_low, rel=1e-9)


@pytest.mark.parametrize("kind", ["studentised", "bca", "percentile"])
@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_p_is_below_its_level_exactly_when_the_interval_excludes_zero(kind, alternative):
    rng = np.random.default_rng(7)
    agree, rejected = [], 0
    for _ in range(60):
        totals = rows(rng.exponential(size=25), rng.exponential(rng.uniform(0.3, 3.0), size=25))
        found = bootstrap_test(totals, rng=rng, reps=199, kind=kind, alternative=alternative)
        excludes = found.ci_low > 0 or found.ci_high < 0
        near = abs(found.p_value - 0.05) < 0.006  # percentile ends are interpolated between two draws
        agree.append(excludes == (found.p_value <= 0.05) or (near and kind != "studentised"))
        rejected += excludes
    assert all(agree)
    assert 2 < rejected < 58


def test_ratio_of_arms_has_an_interval_on_the_log(skewed):
    a, b = skewed
    found = bootstrap_test(rows(a, b), rng=np.random.default_rng(8))
    log_ratio = math.log(b.mean() / a.mean())
    std_error = math.sqrt(stats.variation(a, ddof=1) ** 2 / 60 + stats.variation(b, ddof=1) ** 2 / 80)
    half = math.log(found.ratio_high / found.ratio_low) / 2
    assert math.log(found.ratio_high * found.ratio_low) / 2 == pytest.approx(log_ratio, abs=1e-12)
    assert half / std_error == pytest.approx(2.0, abs=0.25)


def test_ratio_interval_is_absent_where_the_control_is_not_above_zero(skewed):
    a, b = skewed
    found = bootstrap_test(rows(a - 10, b), rng=np.random.default_rng(8), reps=199)
    assert math.isnan(found.ratio_low)
    assert math.isnan(found.ratio_high)


def test_clusters_are_drawn_whole():
    """Ten identical rows a cluster carry no more than one."""
    rng = np.random.default_rng(9)
    means = rng.normal(size=24)
    treated = np.arange(24) >= 12
    whole = totals_of(np.repeat(means, 10), np.ones(240), np.repeat(treated, 10), clusters=np.repeat(np.arange(24), 10))
    single = totals_of(means, np.ones(24), treated)
    one, ten = (bootstrap_test(t, rng=np.random.default_rng(1), reps=499) for t in (single, whole))
    assert ten.ci_low == pytest.approx(one.ci_low, rel=1e-9)
    assert ten.p_value == one.p_value
    naive = bootstrap_test(
        totals_of(np.repeat(means, 10), np.ones(240), np.repeat(treated, 10)), rng=np.random.default_rng(1), reps=499
    )
    assert naive.ci_high - naive.ci_low < 0.5 * (ten.ci_high - ten.ci_low)


def test_strata_are_drawn_within():
    """A difference between strata that is constant within them adds nothing to the width."""
    rng = np.random.default_rng(10)
    strata, treated = np.repeat([0, 1], 40), np.tile([False, True], 40)
    values = rng.normal(size=80)
    options = {"rng": np.random.default_rng(1), "reps": 499}
    plain = bootstrap_test(totals_of(values, np.ones(80), treated, strata=strata), **options)
    options["rng"] = np.random.default_rng(1)
    apart = bootstrap_test(totals_of(values + 1000 * strata, np.ones(80), treated, strata=strata), **options)
    assert apart.ci_low == pytest.approx(plain.ci_low, abs=1e-6)
    assert apart.ci_high == pytest.approx(plain.ci_high, abs=1e-6)


def test_ratio_of_totals_has_the_delta_methods_standard_error():
    rng = np.random.default_rng(12)
    base = rng.poisson(4, 90) + 1.0
    top = rng.binomial(base.astype(int), 0.3).astype(float)
    treated = np.arange(90) >= 40
    expected, effect = 0.0, []
    for arm in (~treated, treated):
        r = top[arm].sum() / base[arm].sum()
        effect.append(r)
        expected += np.var(top[arm] - r * base[arm], ddof=1) / arm.sum() / base[arm].mean() ** 2
    found = observed(totals_of(top, base, treated))
    assert found == pytest.approx((effect[1] - effect[0], math.sqrt(expected)), rel=1e-12)
    control, treatment, *_ = by_arm(own_sums(totals_of(top, base, treated)), np.ones(1))
    origin = top.sum() / base.sum()
    assert (control + origin, treatment + origin) == pytest.approx(effect, rel=1e-12)


def test_a_hundred_thousand_rows_keep_memory_bounded_and_answer():
    rng = np.random.default_rng(13)
    found = bootstrap_test(rows(rng.exponential(size=50_000), 1.05 * rng.exponential(size=50_000)), rng=rng, reps=99)
    assert found.p_value == pytest.approx(0.01)
    assert found.p_error == pytest.approx(math.sqrt(0.01 * 0.99 / 100))


def test_resamples_without_variance_count_as_extreme():
    """Two arms of two rows: many resamples repeat one row, and the interval has no end."""
    found = bootstrap_test(rows(np.array([0.0, 1.0]), np.array([5.0, 6.0])), rng=np.random.default_rng(0))
    assert (found.ci_low, found.ci_high) == (-math.inf, math.inf)
    assert found.p_value > 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [({"kind": "normal"}, "bootstrap 'normal'"), ({"reps": 5}, "too few"), ({"alternative": "up"}, "alternative")],
)
def test_meaningless_arguments_are_refused(options, message):
    with pytest.raises(EstimationError, match=message):
        bootstrap_test(rows(np.arange(4), np.arange(4)), rng=np.random.default_rng(0), **options)
