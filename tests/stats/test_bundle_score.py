"""Two causes moved by the same instruments: two-stage least squares, projected sets against a grid, strength."""

import math

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.instruments.bundle_score import (
    BundleEffects,
    bundle_misfit,
    bundle_strength,
    bundle_two_stage,
    projected_set,
)
from cpi_experiments.stats.instruments.several_instruments import JointEffects, effective_f, joint_critical, two_stage


def drawn(seed: int, k: int = 3, *, strength: float = 5.0, m: int = 2) -> BundleEffects:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(k * (m + 1), k * (m + 1) + 3))
    omega = root @ root.T / (k * (m + 1))
    first = strength * rng.normal(size=(m, k))
    reduced = rng.normal(size=m) @ first + 0.7 * rng.normal(size=k)
    return BundleEffects(
        first=first, reduced=reduced, omega=omega.reshape(m + 1, k, m + 1, k), weights=np.diag(rng.uniform(0.2, 1, k))
    )


def inside(pieces: tuple, t: float) -> bool:
    return any(low <= t <= high for low, high in pieces)


@pytest.mark.parametrize("strength", [0.3, 2.0, 8.0])
@pytest.mark.parametrize("k", [2, 3])
def test_the_projected_set_is_what_a_grid_of_both_effects_finds(k: int, strength: float) -> None:
    for seed in range(3):
        effects = drawn(seed, k, strength=strength)
        pieces = projected_set(effects, 0)
        critical = joint_critical(k, math.inf)
        angles = np.linspace(-math.pi / 2, math.pi / 2, 1201)[1:-1]
        stacked = np.vstack([effects.first, effects.reduced])
        for t in np.tan(np.linspace(-1.5, 1.5, 25)) * 2:
            turned = np.stack([np.full(len(angles), -t), -np.tan(angles), np.ones(len(angles))], axis=1)
            u = turned @ stacked
            v = np.einsum("ga,aibj,gb->gij", turned, effects.omega, turned)
            least = np.einsum("gi,gi->g", u, np.linalg.solve(v, u[..., None])[..., 0]).min()
            if abs(least - critical) > 0.02 * critical:
                assert inside(pieces, t) == (least <= critical), (seed, t)


def test_as_many_instruments_as_causes_solve_them_exactly() -> None:
    effects = drawn(1, 2)
    theta, _ = bundle_two_stage(effects)
    assert effects.first.T @ theta == pytest.approx(effects.reduced, rel=1e-9)
    assert effects.statistic(theta) == pytest.approx(0, abs=1e-12)
    assert all(map(math.isnan, bundle_misfit(effects)))
    for j in (0, 1):
        assert inside(projected_set(effects, j), theta[j])


def test_strong_instruments_give_the_usual_region() -> None:
    """With no noise in the moves the projected set is the ellipse's shadow: theta +- sqrt(critical) * error."""
    omega = np.zeros((3, 2, 3, 2))
    omega[2, :, 2, :] = np.eye(2)
    effects = BundleEffects(first=10 * np.eye(2), reduced=np.array([10.0, -5.0]), omega=omega, weights=np.eye(2))
    theta, covariance = bundle_two_stage(effects)
    assert theta == pytest.approx([1.0, -0.5])
    half = math.sqrt(stats.chi2.ppf(0.95, 2) * covariance[0, 0])
    ((low, high),) = projected_set(effects, 0)
    assert (low, high) == pytest.approx((1 - half, 1 + half), rel=1e-6)
    assert math.isinf(bundle_strength(effects))


def test_strength_is_the_effective_f_for_one_cause() -> None:
    effects = drawn(5, 3, m=1)
    joint = JointEffects(
        first=effects.first[0], reduced=effects.reduced, omega=effects.omega.reshape(6, 6), weights=effects.weights
    )
    assert bundle_strength(effects) == pytest.approx(effective_f(joint), rel=1e-9)
    theta, covariance = bundle_two_stage(effects)
    assert (theta[0], math.sqrt(covariance[0, 0])) == pytest.approx(two_stage(joint), rel=1e-9)
    assert effects.statistic(theta) == pytest.approx(joint.statistic(theta[0]), rel=1e-9)


def test_causes_moved_in_proportion_are_seen() -> None:
    moved = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])
    omega = np.eye(9).reshape(3, 3, 3, 3)
    effects = BundleEffects(first=moved, reduced=np.ones(3), omega=omega, weights=np.eye(3))
    assert bundle_strength(effects) == pytest.approx(0, abs=1e-9)
    with pytest.raises(EstimationError, match="in the same proportion"):
        bundle_two_stage(effects)


def test_the_misfit_has_the_right_size() -> None:
    rng = np.random.default_rng(9)
    first = np.array([[9.0, 2.0, 5.0, 1.0], [1.0, 8.0, 4.0, -6.0]])
    p = []
    for _ in range(2_000):
        noise = rng.normal(size=(3, 4))
        reduced = np.array([0.5, -1.0]) @ first + noise[2]
        effects = BundleEffects(
            first=first + noise[:2], reduced=reduced, omega=np.eye(12).reshape(3, 4, 3, 4), weights=np.eye(4)
        )
        p.append(bundle_misfit(effects)[1])
    assert 0.028 <= np.mean(np.array(p) < 0.05) <= 0.0755


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(EstimationError, match="need a covariance of"):
        BundleEffects(first=np.ones((2, 3)), reduced=np.ones(3), omega=np.zeros((3, 2, 3, 2)), weights=np.eye(3))
    with pytest.raises(EstimationError, match="1 instruments for 2 causes"):
        BundleEffects(first=np.ones((2, 1)), reduced=np.ones(1), omega=np.zeros((3, 1, 3, 1)), weights=np.eye(1))
    with pytest.raises(EstimationError, match="projected sets are for two causes, not 3"):
        projected_set(drawn(1, 4, m=3), 0)
