"""E-processes over experiments: the mixture by quadrature, the process by plain loops, and what must not change it."""

import math

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.combining.effects import Effects
from cpi_experiments.stats.sequential.anytime import log_e_value, mixture_rate
from cpi_experiments.stats.sequential.confidence_sequence import confidence_sequence, largest_log_e
from cpi_experiments.stats.sequential.link_process import (
    as_e_values,
    averaged,
    calibrated,
    general_log_e,
    log_mixture,
    planned_log_e,
    predictable_spread,
    purged_log_e,
)


def mixture(score, information, *, scale):
    """One e-value of the mixture as a plain number."""
    return float(as_e_values(log_mixture(score, information, scale=scale)))


NAMES = tuple(Effects.__dataclass_fields__)


def effects_of(seed=0, shape=(12,), *, theta=0.3, strength=2.0, df=math.inf):
    """Experiments of unequal precision, noise correlation and planned moves."""
    rng = np.random.default_rng(seed)
    xx, yy, rho = rng.uniform(0.5, 1.5, shape), rng.uniform(0.5, 1.5, shape), rng.uniform(-0.8, 0.8, shape)
    sign = rng.choice([-1.0, 1.0], shape)
    move = rng.uniform(0.5, 1.5, shape) * strength
    first, second = rng.normal(size=shape), rng.normal(size=shape)
    x = sign * move + np.sqrt(xx) * first
    y = theta * sign * move + np.sqrt(yy) * (rho * first + np.sqrt(1 - rho**2) * second)
    return Effects(
        x=x, y=y, xx=xx, xy=rho * np.sqrt(xx * yy), yy=yy, df=np.full(shape, df), sign=sign, move=move,
    )  # fmt: skip


def changed(effects, **arrays):
    return Effects(**{name: arrays.get(name, getattr(effects, name)) for name in NAMES})


def first(effects, n):
    return Effects(**{name: getattr(effects, name)[..., :n] for name in NAMES})


# -- numbers from outside --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("score", "information"), [(0.0, 0.0), (0.0, 5.0), (7.0, 5.0), (-9.0, 20.0), (40.0, 90.0)])
@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0])
def test_mixture_is_the_integral_of_likelihood_ratios_over_a_half_normal(score, information, scale):
    def weighted(h):
        return math.exp(h * score - h * h * information / 2) * stats.halfnorm.pdf(h, scale=scale)

    peak = max(score / (information + scale**-2), 0.0)
    parts = [integrate.quad(weighted, a, b, epsabs=0)[0] for a, b in ((0, peak), (peak, peak + 12 * scale)) if b > a]
    assert math.exp(log_mixture(score, information, scale=scale)) == pytest.approx(sum(parts), rel=1e-8)


def test_mixture_is_that_of_links_and_of_trials():
    scores, information = np.array([-3.0, 0.5, 9.0]), np.array([4.0, 4.0, 11.0])
    ours = log_mixture(scores, information, scale=0.7)
    assert as_e_values(ours) == pytest.approx(
        [mixture(s, v, scale=0.7) for s, v in zip(scores, information, strict=True)], rel=1e-12
    )
    time = information * 0.7**2 / mixture_rate(0.05, two_sided=False)
    assert ours == pytest.approx(log_e_value(scores / np.sqrt(information), time, alternative="greater"), rel=1e-12)


def test_no_information_is_no_evidence_and_far_scores_stay_inside_the_doubles():
    assert float(log_mixture(0.0, 0.0, scale=1.0)) == pytest.approx(0.0, abs=1e-15)
    assert float(log_mixture(-1e4, 10.0, scale=1.0)) == pytest.approx(
        math.log(math.sqrt(2 / math.pi) / 1e4), abs=1e-4
    )  # the mean of exp(-h s) over a half-normal density at zero
    assert np.isfinite(as_e_values(log_mixture(1e5, 1.0, scale=1.0)))


@pytest.mark.parametrize("kappa", [0.3, 0.5, 0.9])
def test_calibrator_integrates_to_one(kappa):
    assert integrate.quad(lambda p: calibrated(p, kappa=kappa), 0, 1)[0] == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("p", [0.0, -0.1, 1.1, math.nan])
def test_calibrator_refuses_what_is_no_p_value(p):
    with pytest.raises(EstimationError, match="not above 0"):
        calibrated(p)


def test_joint_e_values_are_their_mean():
    e = np.array([[2.0, 1e-8, 5.0], [4.0, 1.0, 7.0], [6.0, 1.0, 0.0]])
    with np.errstate(divide="ignore"):
        assert np.exp(averaged(np.log(e))) == pytest.approx(e.mean(axis=0))


# -- the process by plain loops --------------------------------------------------------------------------------------


def normal_score(t, df):
    return t if math.isinf(df) else math.copysign(-special.ndtri(special.stdtr(df, -abs(t))), t)


def looped(effects, t, *, side, scale, spread, weights):
    """One sequence, one experiment after the other, by the formulas and nothing else."""
    score = information = 0.0
    found = []
    for k in range(len(effects)):
        x, y, xx, xy, yy, df, sign, move = (float(getattr(effects, name)[k]) for name in NAMES)
        v = yy - 2 * t * xy + t * t * xx
        u = math.sqrt(v) * normal_score((y - t * x) / math.sqrt(v), df)
        purged = x - (xy - t * xx) / v * u
        w = sign * (max(sign * purged, 0.0) if weights == "purged" else move)
        score += side * w * u / (v * spread[k])
        information += w * w / (v * spread[k])
        a = information + scale**-2
        found.append(
            math.log(2) + 0.5 * math.log(scale**-2 / a) + score**2 / (2 * a) + stats.norm.logcdf(score / math.sqrt(a))
        )
    return found


@pytest.mark.parametrize("df", [math.inf, 9.0])
@pytest.mark.parametrize(("t", "side"), [(0.0, 1), (0.3, -1), (-0.3, 1), (2.0, -1)])
def test_processes_equal_plain_loops(df, t, side):
    effects = effects_of(3, theta=0.2, df=df)
    spread = predictable_spread(effects)
    terms = {"side": side, "scale": 0.3, "spread": spread}
    assert purged_log_e(effects, t, **terms) == pytest.approx(looped(effects, t, weights="purged", **terms))
    assert planned_log_e(effects, t, **terms) == pytest.approx(looped(effects, t, weights="planned", **terms))


def test_general_process_takes_the_larger_of_two_informations_and_waits_for_twenty():
    effects = effects_of(6, (30,), theta=0.0)
    larger = set()
    effects = changed(effects, y=effects.y + np.where(np.arange(30) == 25, 20.0, 0.0))
    xi = effects.sign * effects.move * effects.y / effects.yy
    for k in range(20, 31):
        planned, seen = np.sum(effects.move[:k] ** 2 / effects.yy[:k]), np.sum(xi[:k] ** 2)
        expected = mixture(float(np.sum(xi[:k])), float(max(planned, seen)), scale=0.3)
        assert as_e_values(general_log_e(effects, scale=0.3))[k - 1] == pytest.approx(expected, rel=1e-12)
        larger.add(bool(seen > planned))
    assert larger == {False, True}
    assert np.isnan(general_log_e(effects, scale=0.3)[:19]).all()
    assert np.isnan(general_log_e(first(effects, 7), scale=0.3)).all()


def test_spread_is_the_least_misfit_of_the_earlier_experiments():
    effects = effects_of(8, (20,), theta=1.0, strength=6.0)
    effects = changed(effects, y=effects.y + np.where(np.arange(20) % 3 == 0, 5.0, -5.0))
    found = predictable_spread(effects)
    assert found[:5].tolist() == [1.5] * 5
    for n in range(5, 20):
        part = first(effects, n)
        least = optimize.minimize_scalar(
            lambda t, part=part: float(np.sum(part.u(t) ** 2 / part.v(t))), bounds=(-3, 4), method="bounded"
        ).fun
        assert found[n] == pytest.approx(max(least / (n - 1), 1.0), rel=2e-3)
    assert found[-1] > 5


# -- laws ------------------------------------------------------------------------------------------------------------


PROCESSES = {
    "purged": lambda e: purged_log_e(e, scale=0.3),
    "planned": lambda e: planned_log_e(e, 0.3, side=-1, scale=0.3),
    "general": lambda e: general_log_e(e, scale=0.3),
    "spread": predictable_spread,
}


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_many_sequences_at_once_are_each_of_them(process):
    many = effects_of(1, (4, 2, 25))
    together = process(many)
    for i in np.ndindex(4, 2):
        alone = Effects(**{name: getattr(many, name)[i] for name in NAMES})
        assert process(alone) == pytest.approx(together[i], nan_ok=True, rel=1e-12)


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
@pytest.mark.parametrize("k", [3, 7, 22])
def test_the_past_knows_nothing_of_the_future(process, k):
    effects = effects_of(2, (25,))
    later = np.arange(25) >= k
    other = changed(effects, x=np.where(later, -3.0, effects.x), y=np.where(later, 50.0, effects.y))
    assert process(other)[:k] == pytest.approx(process(effects)[:k], nan_ok=True, rel=1e-12)
    assert predictable_spread(other)[k] == pytest.approx(predictable_spread(effects)[k], rel=1e-12)


def test_spread_is_never_below_one_and_one_where_levers_agree():
    effects = effects_of(4, (200, 40))
    spread = predictable_spread(effects)
    assert spread.min() == 1.0
    assert np.median(spread[:, 5:]) < 1.05


def test_a_first_stage_of_the_wrong_sign_weighs_nothing():
    effects = effects_of(6, (4,), strength=5.0)
    against = np.where(np.arange(4) == 3, -effects.sign * 9.0, effects.x)
    moved = changed(effects, x=against, xy=np.zeros(4))
    log_e = purged_log_e(moved, scale=0.3, spread=1.0)
    assert log_e[3] == log_e[2] != log_e[1]


@pytest.mark.parametrize("name", ["purged", "general"])
def test_which_arm_is_called_the_treatment_does_not_matter(name):
    effects = effects_of(9, (25,))
    turned = changed(effects, x=-effects.x, y=-effects.y, sign=-effects.sign)
    assert PROCESSES[name](turned) == pytest.approx(PROCESSES[name](effects), nan_ok=True, rel=1e-12)


@pytest.mark.parametrize("units", [1e-4, 60.0])
def test_units_of_the_increment_do_not_matter(units):
    effects = effects_of(9, (25,))
    other = changed(
        effects, x=effects.x * units, xx=effects.xx * units**2, xy=effects.xy * units, move=effects.move * units
    )
    for ours, theirs in (
        (purged_log_e(effects, scale=0.3), purged_log_e(other, scale=0.3 / units)),
        (
            planned_log_e(effects, 0.3, side=-1, scale=0.3),
            planned_log_e(other, 0.3 / units, side=-1, scale=0.3 / units),
        ),
        (general_log_e(effects, scale=0.3), general_log_e(other, scale=0.3 / units)),
        (confidence_sequence(effects, scale=0.3), units * confidence_sequence(other, scale=0.3 / units)),
    ):
        assert ours == pytest.approx(theirs, nan_ok=True, rel=1e-6)


# -- confidence sequence ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("df", [math.inf, 12.0])
@pytest.mark.parametrize(("theta", "seed"), [(0.0, 1), (0.4, 2), (-5.0, 3), (300.0, 4)])
def test_ends_are_where_an_e_value_reaches_forty(theta, seed, df):
    effects = effects_of(seed, (9,), theta=theta, strength=6.0, df=df)
    spread = predictable_spread(effects)[None]
    rows = Effects(**{name: getattr(effects, name)[None] for name in NAMES})
    ends = confidence_sequence(effects, scale=0.3)
    assert ends.shape == (9, 2)
    for k, (low, high) in list(enumerate(ends))[3:]:
        assert low < high
        log_e = largest_log_e(rows, np.array([low, high]), scale=0.3, spread=spread)[:, k]
        assert log_e == pytest.approx([math.log(40)] * 2, abs=1e-6)
        inside = largest_log_e(rows, np.linspace(low, high, 41)[1:-1], scale=0.3, spread=spread)[:, k]
        assert inside.max() < math.log(40)


def test_ends_agree_with_the_processes_for_harm_and_for_the_sesoi():
    effects = effects_of(7, (14,), theta=0.0, strength=4.0)
    ends = confidence_sequence(effects, scale=0.3)
    for t, side in ((0.3, -1), (-0.3, 1), (0.0, -1), (0.0, 1)):
        left_out = planned_log_e(effects, t, side=side, scale=0.3) >= math.log(40)
        outside = ends[:, 1] < t if side == -1 else ends[:, 0] > t
        assert outside.tolist() == left_out.tolist()


def test_a_set_is_unbounded_until_the_levers_are_shown_to_move_x():
    weak = effects_of(1, (6,), theta=3.0, strength=0.1)
    assert np.isinf(confidence_sequence(weak, scale=0.3)).all()
    nothing = changed(weak, x=np.zeros(6))
    assert np.isinf(confidence_sequence(nothing, scale=0.3)).all()
    strong = confidence_sequence(effects_of(1, (6,), strength=8.0), scale=0.3)
    assert np.isfinite(strong[1:]).all()


def test_more_confidence_is_a_wider_set():
    effects = effects_of(11, (10,), strength=5.0)
    widths = [np.diff(confidence_sequence(effects, scale=0.3, confidence_level=c)[-1])[0] for c in (0.8, 0.95, 0.999)]
    assert widths[0] < widths[1] < widths[2]


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_is_a_share(level):
    with pytest.raises(EstimationError, match="between 0 and 1"):
        confidence_sequence(effects_of(), scale=0.3, confidence_level=level)


def test_streams_that_contradict_each_other_leave_nothing():
    one = effects_of(1, (1,), strength=9.0)
    far = {name: np.stack([getattr(one, name)] * 2) for name in NAMES}
    two = Effects(**{**far, "x": np.array([[900.0], [900.0]]), "y": np.array([[-9000.0], [9000.0]]),
                     "sign": np.ones((2, 1)), "move": np.full((2, 1), 900.0)})  # fmt: skip
    assert np.isnan(confidence_sequence(two, scale=0.3)).all()
