"""Several instruments: every piece of the set against a grid, the least misfit, and other people's estimators."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.instruments.anderson_rubin import anderson_rubin_set, best_agreement, fits_somewhere
from cpi_experiments.stats.instruments.fieller import delta_std_error, fieller_set
from cpi_experiments.stats.instruments.instrument_regression import instrument_effects
from cpi_experiments.stats.instruments.several_instruments import (
    JointEffects,
    disagreement,
    effective_f,
    joint_critical,
    joint_p_value,
    two_stage,
)


def drawn(rng: np.random.Generator, k: int, *, correlated: bool = False) -> JointEffects:
    root = rng.normal(size=(2 * k, 2 * k + int(rng.integers(0, 5))))
    omega = root @ root.T * 10 ** rng.uniform(-2, 1)
    if correlated:
        half = rng.normal(size=(k, k + 3))
        omega = 0.3 * np.kron([[1, 0.99], [0.99, 1]], half @ half.T)
    first = 2 * rng.normal(size=k)
    reduced = rng.normal() * first + rng.choice([0.1, 1, 3]) * rng.normal(size=k)
    return JointEffects(first=first, reduced=reduced, omega=omega, weights=np.diag(rng.uniform(0.1, 1, k)))


def inside(pieces: tuple, t: float) -> bool:
    return any(low <= t <= high for low, high in pieces)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("correlated", [False, True])
def test_the_set_is_what_a_grid_finds_and_is_empty_only_where_the_misfit_is_too_large(
    k: int, *, correlated: bool
) -> None:
    rng = np.random.default_rng(100 * k + correlated)
    shapes = set()
    for _ in range(30):
        effects = drawn(rng, k, correlated=correlated)
        critical = joint_critical(k, math.inf)
        pieces = anderson_rubin_set(effects, critical=critical)
        unit = math.sqrt(np.trace(effects.omega[k:, k:]) / np.trace(effects.omega[:k, :k]))
        grid = unit * np.tan(np.linspace(-math.pi / 2, math.pi / 2, 202)[1:-1])
        values = np.array([effects.statistic(t) for t in grid])
        clear = abs(values - critical) > 1e-8 * critical
        assert [inside(pieces, t) for t in grid[clear]] == list(values[clear] <= critical)
        best = best_agreement(effects)
        assert fits_somewhere(effects, critical=critical) == bool(pieces)
        if k > 1:
            assert best.misfit <= values.min() + 1e-9
            assert effects.statistic(best.theta) == pytest.approx(best.misfit, rel=1e-7, abs=1e-9)
            assert bool(pieces) == (best.misfit <= critical)
        for end in (end for piece in pieces for end in piece if math.isfinite(end)):
            assert effects.statistic(end) == pytest.approx(critical, rel=1e-6)
        shapes.add((len(pieces), any(math.isinf(end) for piece in pieces for end in piece)))
    assert len(shapes) >= 3  # intervals, rays, lines, several pieces or none: the draws hold them all over


def test_one_instrument_is_fiellers_set_and_the_wald_ratio() -> None:
    rng = np.random.default_rng(7)
    for _ in range(50):
        effects = drawn(rng, 1)
        (xx, xy), (_, yy) = effects.omega
        x, y = float(effects.first[0]), float(effects.reduced[0])
        expected = fieller_set(x, y, var_x=xx, var_y=yy, cov=xy, critical=stats.t.ppf(0.975, 20))
        found = anderson_rubin_set(effects, critical=joint_critical(1, 20))
        assert np.array(found) == pytest.approx(np.array(expected), rel=1e-8)
        best = best_agreement(effects)
        assert best.theta == pytest.approx(y / x, rel=1e-12)
        assert best.std_error == pytest.approx(delta_std_error(x, y, var_x=xx, var_y=yy, cov=xy), rel=1e-9)
        assert math.isnan(best.misfit)
        assert math.isnan(disagreement(effects)[0])
        assert two_stage(effects) == pytest.approx((best.theta, best.std_error), rel=1e-9)
        assert effective_f(effects) == pytest.approx(x * x / xx, rel=1e-12)


def test_two_instruments_can_leave_two_bounded_pieces() -> None:
    omega = np.array(
        [[0.87, 0.05, -0.32, -0.43], [0.05, 0.08, -0.05, 0.02], [-0.32, -0.05, 0.6, 0.15], [-0.43, 0.02, 0.15, 0.34]]
    )
    effects = JointEffects(first=np.array([-2.2, -1.4]), reduced=np.array([0.6, -1.0]), omega=omega, weights=np.eye(2))
    pieces = anderson_rubin_set(effects, critical=5.99)
    assert np.array(pieces) == pytest.approx(np.array([[-0.33365, 0.24016], [0.83054, 2.00841]]), abs=1e-5)
    assert effects.statistic(0.5) > 5.99


def test_a_first_stage_without_noise_gives_the_set_of_a_known_move() -> None:
    omega = np.zeros((4, 4))
    omega[2:, 2:] = [[0.5, 0.2], [0.2, 0.4]]
    effects = JointEffects(first=np.array([2.0, 1.0]), reduced=np.array([2.1, 0.8]), omega=omega, weights=np.eye(2))
    ((low, high),) = anderson_rubin_set(effects, critical=5.99)
    inverse = np.linalg.inv(omega[2:, 2:])
    a, b = effects.first @ inverse @ effects.first, effects.first @ inverse @ effects.reduced
    c = effects.reduced @ inverse @ effects.reduced - 5.99
    root = math.sqrt(b * b - a * c)
    assert (low, high) == pytest.approx(((b - root) / a, (b + root) / a), rel=1e-9)
    assert best_agreement(effects).theta == pytest.approx(b / a, rel=1e-6)
    assert math.isinf(effective_f(effects))


@pytest.mark.parametrize(("x", "y"), [(1e-8, 1e-8), (1e6, 1e-4), (1e-5, 1e7)])
def test_units_do_not_matter(x: float, y: float) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        plain = drawn(rng, 3)
        unit = np.repeat([x, y], 3)
        scaled = JointEffects(
            first=plain.first * x,
            reduced=plain.reduced * y,
            omega=plain.omega * np.outer(unit, unit),
            weights=plain.weights,
        )
        one, two = (anderson_rubin_set(e, critical=7.81) for e in (plain, scaled))
        assert np.array(two).ravel() == pytest.approx(np.array(one).ravel() * y / x, rel=1e-6)
        assert best_agreement(scaled).theta == pytest.approx(best_agreement(plain).theta * y / x, rel=1e-6)


def test_with_equal_variances_the_best_agreement_is_liml_and_the_rest_is_linearmodels() -> None:
    iv = pytest.importorskip("linearmodels.iv")
    rng = np.random.default_rng(2)
    for _ in range(5):
        z = rng.normal(size=(300, 3))
        noise = rng.normal(size=300)
        x = z @ [0.3, 0.2, -0.1] + noise + rng.normal(size=300)
        y = 0.5 * x + noise
        one = np.ones((300, 1))
        effects = instrument_effects(x, y, z, variance="iid").joint
        fit = iv.IVLIML(y, one, x, z).fit(cov_type="unadjusted", debiased=True)
        assert best_agreement(effects).theta == pytest.approx(fit.params.iloc[1], rel=1e-7)
        tsls = iv.IV2SLS(y, one, x, z).fit(cov_type="robust", debiased=True)
        assert two_stage(effects)[0] == pytest.approx(tsls.params.iloc[1], rel=1e-9)
        robust = instrument_effects(x, y, z, variance="HC1").joint
        assert two_stage(robust)[1] == pytest.approx(
            tsls.std_errors.iloc[1], rel=0.02
        )  # residuals of both stages there
        first = iv.IV2SLS(x, np.hstack([one, z]), None, None).fit(cov_type="unadjusted", debiased=True)
        wald = first.params.iloc[1:] @ np.linalg.inv(first.cov.iloc[1:, 1:]) @ first.params.iloc[1:]
        assert effective_f(effects) == pytest.approx(wald / 3, rel=1e-9)  # equal variances: the usual F


def test_the_misfit_is_the_minimum_another_optimiser_finds() -> None:
    rng = np.random.default_rng(12)
    for _ in range(20):
        effects = drawn(rng, 3)
        found = best_agreement(effects)
        near = optimize.minimize_scalar(
            lambda a, e=effects: e.statistic(math.tan(a)), bounds=(math.atan(found.theta) - 0.02, math.atan(found.theta) + 0.02),
            method="bounded", options={"xatol": 1e-12},
        )  # fmt: skip
        assert found.misfit == pytest.approx(near.fun, rel=1e-6, abs=1e-9)
        assert found.p_value == pytest.approx(stats.chi2.sf(found.misfit, 2), rel=1e-9)
        assert disagreement(effects)[0] >= 0


@pytest.mark.parametrize("df", [4.5, 20.0, 400.0])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_critical_values_are_hotellings(k: int, df: float) -> None:
    critical = joint_critical(k, df, confidence_level=0.9)
    assert critical == pytest.approx(k * df / (df - k + 1) * stats.f.ppf(0.9, k, df - k + 1), rel=1e-9)
    assert joint_p_value(critical, k, df) == pytest.approx(0.1, rel=1e-9)
    assert joint_p_value(joint_critical(k, math.inf), k, math.inf) == pytest.approx(0.05, rel=1e-9)


def test_too_few_degrees_of_freedom_and_bad_shapes_are_refused() -> None:
    with pytest.raises(EstimationError, match="3 degrees of freedom are too few for 4 instruments"):
        joint_critical(4, 3)
    good = {"first": np.ones(2), "reduced": np.ones(2), "omega": np.eye(4), "weights": np.eye(2)}
    with pytest.raises(EstimationError, match="2 effects on the first outcome, 3 on the second"):
        JointEffects(**{**good, "reduced": np.ones(3)})
    with pytest.raises(EstimationError, match="not a number"):
        JointEffects(**{**good, "first": np.array([1.0, math.nan])})
    flat = JointEffects(**{**good, "omega": np.diag([1.0, 1.0, 1.0, 0.0])})
    with pytest.raises(EstimationError, match="no covariance of full rank"):
        anderson_rubin_set(flat, critical=5.99)


def test_arms_that_move_nothing_have_no_two_stage_estimate() -> None:
    none = JointEffects(first=np.zeros(2), reduced=np.ones(2), omega=np.eye(4), weights=np.eye(2))
    assert all(map(math.isnan, two_stage(none)))
    one = JointEffects(first=np.zeros(1), reduced=np.ones(1), omega=np.eye(2), weights=np.eye(1))
    assert math.isnan(best_agreement(one).theta)
    assert math.isnan(best_agreement(one).std_error)
