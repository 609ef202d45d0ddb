"""Scores, sets and e-values of one link against closed forms, brute force and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, linalg, special, stats

from cpi_experiments.stats.combining.effects import Effects
from cpi_experiments.stats.combining.link_point import link_point
from cpi_experiments.stats.instruments.fieller import fieller_set, hull
from cpi_experiments.stats.judging.link_score import direction_score, planned_score, score_p_value
from cpi_experiments.stats.judging.shrinkage import shrink
from cpi_experiments.stats.sequential.link_process import as_e_values, log_mixture
from cpi_experiments.stats.student import normal_scores


def mixture(score, information, *, scale):
    """One e-value of the mixture as a plain number."""
    return float(as_e_values(log_mixture(score, information, scale=scale)))


Z = 1.959963984540054


def effects_of(x, y, xx, xy, yy, *, df=math.inf, sign=1.0, move=1.0):
    x = np.atleast_1d(np.asarray(x, dtype=float))
    columns = {"x": x, "y": y, "xx": xx, "xy": xy, "yy": yy, "df": df, "sign": sign, "move": move}
    return Effects(
        **{name: np.broadcast_to(np.asarray(value, dtype=float), x.shape) for name, value in columns.items()}
    )


def draw(rng, k, *, strength, theta=0.0, rho=0.0, spread=0.0):
    """K experiments with unit variances: first stage sqrt(strength), noise correlation rho."""
    noise = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=k)
    pi = np.full(k, math.sqrt(strength))
    slopes = theta + spread * rng.standard_normal(k)
    return effects_of(pi + noise[:, 0], slopes * pi + noise[:, 1], 1, rho, 1, move=pi)


# -- direction -----------------------------------------------------------------------------------------------------


@given(
    y=st.floats(-5, 5), x=st.floats(5, 20), rho=st.floats(-0.95, 0.95), df=st.sampled_from([8.0, 40.0, 300.0, math.inf])
)
def test_direction_of_one_experiment_is_its_one_sided_itt_test(y, x, rho, df):
    one = effects_of(x, y, 1, rho, 1, df=df)
    tail = stats.norm.sf(y) if math.isinf(df) else stats.t.sf(y, df)
    expected = max(tail, special.ndtr(-abs(y))) if y > 0 else tail  # the t tail never helps
    assert score_p_value(*direction_score(one)) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_lever_that_went_the_other_way_gives_no_direction():
    one = effects_of(-3.0, 5.0, 1, 0, 1)
    assert score_p_value(*direction_score(one)) == 1.0
    assert score_p_value(*direction_score(effects_of(-3.0, -5.0, 1, 0, 1, sign=-1.0))) == pytest.approx(
        special.ndtr(-5)
    )


def z_of(score):
    return score[0] / math.sqrt(score[1]) if score[1] > 0 else 0.0


@pytest.mark.parametrize("rho", [-0.9, 0.9])
@pytest.mark.parametrize("k", [1, 3, 8])
def test_purged_weights_keep_size_with_a_weak_first_stage(rho, k):
    """F = 2 and noise correlation .9: estimated weights would follow the noise of the KPI."""
    rng = np.random.default_rng(11)
    sets = [draw(rng, k, strength=2.0, rho=rho) for _ in range(3000)]
    for level, high in ((0.05, 0.068), (0.0083, 0.016)):
        assert np.mean([score_p_value(*direction_score(e)) < level for e in sets]) <= high


def test_estimated_weights_would_break_that_size():
    """Planted fault: the raw first stage as weight."""
    rng = np.random.default_rng(12)
    raw = [
        float(np.sum(e.x * e.y) / math.sqrt(np.sum(e.x**2)))
        for e in (draw(rng, 8, strength=2, rho=0.9) for _ in range(5000))
    ]
    assert np.mean(np.asarray(raw) > 1.645) > 0.15


def test_planned_scores_reject_at_their_level_at_the_boundary():
    rng = np.random.default_rng(13)
    for side in (-1, 1):
        z = [z_of(planned_score(draw(rng, 4, strength=6, theta=0.4, rho=-0.5), 0.4, side=side)) for _ in range(4000)]
        assert np.mean(np.asarray(z) > 1.645) == pytest.approx(0.05, abs=0.014)


def test_t_statistics_become_normal_ones_of_the_same_tail():
    z = normal_scores(np.array([2.0, -2.0, 0.0, 60.0]), np.array([7.0, 7.0, 7.0, 1000.0]))
    assert z[:2] == pytest.approx([stats.norm.isf(stats.t.sf(2, 7)), -stats.norm.isf(stats.t.sf(2, 7))])
    assert z[2] == 0
    assert 0 < z[3] <= 60


# -- several experiments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [-0.5, 0.5])
@pytest.mark.parametrize("k", [2, 3, 5, 8])
def test_set_of_two_to_eight_experiments_covers(k, rho):
    """A two-sided test of the true value rejects about one in twenty: coverage of the set."""
    rng = np.random.default_rng([k, 7])
    rejected = 0
    reps = 1500
    for _ in range(reps):
        e = draw(rng, k, strength=15, theta=0.3, rho=rho)
        p, u, v = e.purged(0.3), e.u(0.3), e.v(0.3)
        rejected += abs(np.sum(p * u / v)) / math.sqrt(np.sum(p**2 / v)) > Z
    assert 0.033 <= rejected / reps <= 0.069
    hits = 0
    for _ in range(200):
        found = link_point(draw(rng, k, strength=15, theta=0.3, rho=rho))
        hits += found.low <= 0.3 <= found.high
    assert 0.88 <= hits / 200 <= 0.995


def sets():
    rng = np.random.default_rng(5)
    for k in (2, 2, 3, 4, 6, 9, 9):
        yield draw(
            rng,
            k,
            strength=float(rng.choice([10, 40, 400])),
            theta=float(rng.normal()),
            rho=float(rng.uniform(-0.9, 0.9)),
        )
    yield effects_of([30, 12.0, 7], [0.3, 0.11, 0.08], [1, 2, 0.5], [1e-4, -2e-4, 0], [1e-4, 4e-4, 1e-3])
    yield effects_of([3e6, 2e6], [5.0, 2.0], [1e10, 2e10], [1e4, -3e4], [0.2, 0.1], df=[40, 60])


@pytest.mark.parametrize("effects", list(sets()), ids=lambda e: f"K{len(e)}")
def test_set_is_the_piece_of_all_values_not_rejected_that_holds_the_point(effects):
    found = link_point(effects)
    assert math.isfinite(found.low)
    assert math.isfinite(found.high)
    width = found.high - found.low
    t = np.linspace(found.low - 0.3 * width, found.high + 0.3 * width, 20001)
    p, v = effects.purged(t), effects.v(t)
    kept = np.abs(np.sum(p * effects.u(t) / v, axis=-1)) <= Z * np.sqrt(np.sum(p**2 / v, axis=-1))
    inside = (t >= found.low) & (t <= found.high)
    step = t[1] - t[0]
    near_end = np.minimum(np.abs(t - found.low), np.abs(t - found.high)) < 2 * step
    assert np.all(kept[inside | near_end] | near_end[inside | near_end])
    just_outside = ~inside & ~near_end & ((t > found.low - 0.02 * width) & (t < found.high + 0.02 * width))
    assert not np.any(kept[just_outside])
    assert found.low < found.value < found.high


def test_set_that_reaches_infinity_is_the_whole_line():
    for seed in range(40):
        found = link_point(draw(np.random.default_rng(seed), 3, strength=0.1, theta=0.5))
        assert math.isinf(found.low) == math.isinf(found.high)
    found = link_point(effects_of([0.1, -0.2], [1.0, 0.5], 1, 0, 1))
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert math.isinf(found.std_error)


@pytest.mark.parametrize("rho", [-0.7, 0.0, 0.7])
@pytest.mark.parametrize("k", [2, 4, 9])
def test_point_is_liml_and_q_is_its_overidentification_statistic(k, rho):
    """With one common covariance, min Q is the smallest eigenvalue of the moments in its metric, LIML its vector."""
    e = draw(np.random.default_rng(k), k, strength=20, theta=0.6, rho=rho)
    data = np.column_stack([e.y, e.x])
    values, vectors = linalg.eigh(data.T @ data, np.array([[1, rho], [rho, 1]]))
    found = link_point(e)
    assert found.q == pytest.approx(values[0], rel=1e-8)
    assert found.value == pytest.approx(-vectors[1, 0] / vectors[0, 0], rel=1e-5)
    assert found.q_p_value == pytest.approx(stats.chi2.sf(values[0], k - 1), rel=1e-8)


def test_standard_error_is_that_of_the_point():
    rng = np.random.default_rng(3)
    found = [link_point(draw(rng, 5, strength=25, theta=0.4, rho=0.5)) for _ in range(400)]
    assert np.std([f.value for f in found]) == pytest.approx(np.median([f.std_error for f in found]), rel=0.12)


@pytest.mark.parametrize("rho", [-0.8, 0.0, 0.8])
@pytest.mark.parametrize("x", [6.0, 1.0])
def test_one_experiment_has_the_wald_ratio_and_fieller_set(x, rho):
    found = link_point(effects_of(x, 2.0, 1, rho, 1, df=30.0))
    expected = hull(fieller_set(x, 2.0, var_x=1, var_y=1, cov=rho, critical=float(stats.t.isf(0.025, 30))))
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.value == 2 / x
    assert math.isnan(found.q_p_value)


def test_first_stage_of_exactly_zero_has_no_point():
    found = link_point(effects_of(0.0, 2.0, 1, 0, 1))
    assert math.isnan(found.value)
    assert math.isinf(found.std_error)


# -- e-values and shrinkage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("information", [0.1, 4.0, 250.0])
@pytest.mark.parametrize("z", [-3.0, 0.0, 2.0, 5.0])
@pytest.mark.parametrize("scale", [0.2, 1.0])
def test_mixture_e_value_is_the_integral_of_likelihood_ratios(information, z, scale):
    score = z * math.sqrt(information)

    def integrand(h):
        return math.exp(h * score - h * h * information / 2) * 2 * stats.norm.pdf(h / scale) / scale

    peak = max(score / information, 0.0)
    expected = integrate.quad(integrand, 0, peak + 12 * scale, points=sorted({peak, scale}), limit=400)[0]
    assert mixture(score, information, scale=scale) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("information", [0.5, 10.0, 50.0])
@pytest.mark.parametrize("drift", [0.0, -0.3])
def test_mixture_e_value_has_mean_at_most_one_without_an_effect(information, drift):
    root = math.sqrt(information)
    mean = integrate.quad(
        lambda z: mixture(z * root + drift * information, information, scale=1.0) * stats.norm.pdf(z),
        -12, 37, points=[0, 3, 6, 12], limit=500,
    )[0]  # fmt: skip
    assert mean == pytest.approx(1.0, abs=1e-4) if drift == 0 else mean < 1


def test_mixture_e_value_never_overflows():
    assert math.isfinite(mixture(1e6, 1e6, scale=1.0))


@settings(max_examples=60)
@given(value=st.floats(-100, 100), error=st.floats(1e-3, 100), prior=st.floats(1e-2, 100))
def test_shrinking_goes_toward_zero_and_never_past_it(value, error, prior):
    left = shrink(value, error, prior_sd=prior)
    assert 0 <= left * math.copysign(1, value) <= abs(value)
    assert shrink(value, 2 * error, prior_sd=prior) == pytest.approx(value / (1 + 4 * error**2 / prior**2))


def test_nothing_is_left_of_a_point_without_error_or_value():
    assert shrink(3.0, math.inf, prior_sd=1.0) == 0.0
    assert shrink(math.nan, 1.0, prior_sd=1.0) == 0.0
