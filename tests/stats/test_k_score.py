"""The K-score of few and of many experiments, heterogeneity, LIML and the joint set."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from cpi_experiments.stats.combining.effects import Effects
from cpi_experiments.stats.combining.heterogeneity import heterogeneity, least_disagreement, paule_mandel, q_statistic
from cpi_experiments.stats.combining.joint_set import joint_set
from cpi_experiments.stats.combining.k_score import fixed_effect_score, overdispersed_score, score_set
from cpi_experiments.stats.combining.link_point import MANY, link_point, spared

Z = 1.959963984540054


def drawn(seed, k=14, *, size=4.0, theta=0.5, rho=0.5, unequal=True, df=math.inf):
    rng = np.random.default_rng([seed, k])
    s, t = (np.exp(rng.normal(0, 0.5, k)) if unequal else np.ones(k) for _ in range(2))
    move = size * rng.normal(size=k)
    e = rng.normal(size=k)
    f = rho * e + math.sqrt(1 - rho**2) * rng.normal(size=k)
    ones = np.ones(k)
    return Effects(x=move + s * e, y=theta * move + t * f, xx=s**2, xy=rho * s * t, yy=t**2, df=df * ones, sign=ones,
                   move=ones)  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_paule_mandel_solves_its_equation(seed):
    rng = np.random.default_rng(seed)
    squares, variances = 9 * rng.chisquare(1, 20), rng.uniform(0.2, 3, 20)
    found = paule_mandel(squares, variances, total=19)
    expected = optimize.brentq(lambda tau: np.sum(squares / (variances + tau)) - 19, 0, 1e3)
    assert found == pytest.approx(expected, rel=1e-9)
    assert paule_mandel(0.1 * variances, variances, total=19) == 0.0


def test_least_disagreement_is_the_least_of_a_fine_grid():
    for seed in range(6):
        e = drawn(seed, size=1.0)
        at = least_disagreement(e)
        around = np.concatenate([np.linspace(-5, 5, 4001), np.linspace(-200, 200, 801)])
        assert float(q_statistic(e, at)) <= float(np.min(q_statistic(e, around))) + 1e-9


def test_heterogeneity_tells_noise_from_difference():
    calm = drawn(1, 60)
    found = heterogeneity(calm, at=least_disagreement(calm))
    assert found.p_value > 0.01
    assert found.p_value == pytest.approx(stats.chi2.sf(found.q, 59))
    rng = np.random.default_rng(2)
    wild = Effects(x=calm.x, y=calm.y + 5 * rng.normal(size=60), xx=calm.xx, xy=calm.xy, yy=calm.yy, df=calm.df,
                   sign=calm.sign, move=calm.move)  # fmt: skip
    found = heterogeneity(wild, at=0.5)
    assert found.p_value < 1e-6
    assert found.i_squared == pytest.approx(1 - 59 / found.q)
    assert found.tau_squared == pytest.approx(25, rel=0.5)


@pytest.mark.parametrize("seed", range(4))
def test_fixed_effect_score_is_written_out(seed):
    e = drawn(seed, 5)
    at = least_disagreement(e)
    score = fixed_effect_score(e, at=at)
    for t in (-1.0, 0.0, at, 0.7):
        p, u, v = e.purged(t), e.u(t), e.v(t)
        z = np.sum(p * u / v) / math.sqrt(np.sum(p**2 / v))
        assert score.ratio(t) == pytest.approx(z / Z)
    assert abs(score.ratio(at)) < 1e-4


@pytest.mark.parametrize("seed", range(4))
def test_overdispersed_score_takes_the_larger_error(seed):
    e = drawn(seed)
    at, tau2 = least_disagreement(e), 0.7
    score = overdispersed_score(e, at=at, tau_squared=tau2)
    t = 0.2
    u, v = e.u(t), e.v(t) + tau2
    move2 = paule_mandel(e.x**2, e.xx, total=14)
    p = (e.x - (e.xy - t * e.xx) / v * u) / (move2 + e.xx)
    info = p**2 / v
    h = info / info.sum()
    seen = np.sum(info * (e.y - at * e.x) ** 2 / v / (1 - h) ** 2)
    most = max(Z * math.sqrt(info.sum()), stats.t.isf(0.025, 13) * math.sqrt(seen))
    assert score.ratio(t) == pytest.approx(np.sum(p * u / v) / most)


@pytest.mark.parametrize("k", [4, 14, 50])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_ends_of_the_set_are_where_the_score_turns(k, level):
    e = drawn(3, k)
    at = least_disagreement(e)
    make = fixed_effect_score(e, at=at, confidence_level=level)
    if k >= MANY:
        make = overdispersed_score(e, at=at, tau_squared=0.3, confidence_level=level)
    low, high = score_set(make)
    assert low < at < high
    assert [abs(make.ratio(end)) for end in (low, high)] == pytest.approx([1, 1])
    assert np.all(make.excess(np.linspace(low, high, 500)[1:-1]) <= 0)


def test_level_makes_the_set_wider():
    e = drawn(4)
    narrow, wide = (link_point(e, confidence_level=level) for level in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_moves_too_weak_for_a_point_leave_the_line():
    found = [link_point(drawn(seed, 12, size=0.05, unequal=False)) for seed in range(20)]
    weak = [f for f in found if f.strength < 4]
    assert len(weak) >= 18
    assert all(math.isnan(f.value) and math.isinf(f.std_error) for f in weak)
    assert sum(math.isinf(f.low) for f in weak) >= 15


def test_score_that_rejects_its_own_centre_gives_the_line():
    e = drawn(3)
    assert (
        score_set(overdispersed_score(e, at=50.0, tau_squared=0.0)) == (-math.inf, math.inf)
        or abs(overdispersed_score(e, at=50.0, tau_squared=0.0).ratio(50.0)) <= 1
    )


@pytest.mark.parametrize("k", [1, 5, 9, 10, 40, 120])
def test_form_follows_the_number_of_experiments(k):
    found = link_point(drawn(2, k))
    assert found.form == ("Fieller" if k == 1 else "K-score" if k < 10 else "overdispersed K-score")
    assert math.isnan(found.strength) == (k < 10)
    assert math.isnan(found.q) == (k == 1)
    assert link_point(drawn(2, k, size=0.8, unequal=False)).form == ("moments" if k == 120 else found.form)


@pytest.mark.parametrize("k", [4, 12])
def test_turning_the_kpi_turns_the_link(k):
    e = drawn(7, k)
    turned = Effects(x=e.x, y=-e.y, xx=e.xx, xy=-e.xy, yy=e.yy, df=e.df, sign=e.sign, move=e.move)
    one, two = link_point(e), link_point(turned)
    assert (-two.value, -two.high, -two.low) == pytest.approx((one.value, one.low, one.high), rel=1e-5)
    assert two.breakdown == pytest.approx(one.breakdown, abs=1e-9)


def test_breakdown_is_what_the_score_at_zero_can_spare():
    e = drawn(5, 4)
    score = fixed_effect_score(e, at=least_disagreement(e))
    found = link_point(e)
    assert found.breakdown == spared(score)
    assert (found.breakdown > 0) == (abs(score.ratio(0.0)) > 1)
    assert spared(fixed_effect_score(drawn(5, 4, theta=0.0), at=0.0)) == 0.0


def test_degrees_of_freedom_widen_nothing_beyond_their_tail():
    plain, few = link_point(drawn(6)), link_point(drawn(6, df=25.0))
    assert few.q < plain.q
    assert few.value == plain.value


@pytest.mark.parametrize("seed", range(3))
def test_joint_set_is_where_the_statistic_is_below_its_quantile(seed):
    e = drawn(seed, 6, size=2.0)
    at = least_disagreement(e)
    most = stats.chi2.isf(0.05, 6)
    for low, high in joint_set(e, at=at):
        for end in (low, high):
            if math.isfinite(end):
                assert float(q_statistic(e, end)) == pytest.approx(most, rel=1e-6)
        inner = np.linspace(max(low, -50), min(high, 50), 50)[1:-1]
        assert np.all(q_statistic(e, inner) <= most * (1 + 1e-9))


def test_joint_set_has_rays_the_line_or_nothing():
    ones = np.ones(2)
    fields = {"xx": ones, "xy": 0 * ones, "yy": ones, "df": math.inf * ones, "sign": ones, "move": ones}
    rays = Effects(x=1.2 * ones, y=np.array([9.0, 9.0]), **fields)
    pieces = joint_set(rays, at=least_disagreement(rays))
    assert [math.isinf(low) for low, _ in pieces] == [True, False]
    line = Effects(x=0.1 * ones, y=0.1 * ones, **fields)
    assert joint_set(line, at=1.0) == ((-math.inf, math.inf),)
    nothing = Effects(x=np.array([9.0, -9.0]), y=np.array([9.0, 9.0]), **fields)
    assert joint_set(nothing, at=0.0) == ()
