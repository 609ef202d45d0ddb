"""The Anderson-Rubin set against brute-force inversion of its test."""

import math

import numpy as np
import pytest

from cpi_experiments.stats.instruments.fieller import breakdown, delta_std_error, fieller_set, hull

Z = 1.959963984540054


def accepted(t: np.ndarray, x: float, y: float, var_x: float, var_y: float, cov: float) -> np.ndarray:
    return (y - t * x) ** 2 <= Z**2 * (var_y - 2 * t * cov + t**2 * var_x)


@pytest.mark.parametrize("seed", range(40))
def test_the_set_is_what_the_test_accepts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(scale=[3.0, 1.0])
    var_x, var_y = rng.uniform(0.1, 2, 2)
    cov = rng.uniform(-0.99, 0.99) * math.sqrt(var_x * var_y)
    found = fieller_set(x, y, var_x=var_x, var_y=var_y, cov=cov, critical=Z)
    grid = np.concatenate([np.linspace(-50, 50, 200_001), [-1e9, 1e9]])
    inside = np.zeros(len(grid), dtype=bool)
    near_end = np.zeros(len(grid), dtype=bool)
    for low, high in found:
        assert low <= high
        inside |= (grid >= low) & (grid <= high)
        near_end |= (np.abs(grid - low) < 1e-6) | (np.abs(grid - high) < 1e-6)
    clear = ~near_end
    np.testing.assert_array_equal(inside[clear], accepted(grid, x, y, var_x, var_y, cov)[clear])


@pytest.mark.parametrize(("x", "y", "shape"), [(5.0, 1.0, "interval"), (0.5, 4.0, "rays"), (0.1, 0.1, "line")])
def test_shapes_of_the_set(x: float, y: float, shape: str) -> None:
    found = fieller_set(x, y, var_x=1.0, var_y=1.0, cov=0.5, critical=Z)
    finite = [math.isfinite(end) for piece in found for end in piece]
    assert finite == {"interval": [True, True], "rays": [False, True, True, False], "line": [False, False]}[shape]


@pytest.mark.parametrize(
    ("x", "y", "var_x", "cov", "expected"),
    [
        (2.0, 3.0, 1.0, 0.5, ((0.625, math.inf),)),  # x = critical * se: one end is lost
        (2.0, -3.0, 1.0, -0.5, ((-math.inf, -0.625),)),
        (2.0, 0.5, 1.0, 0.25, ((-math.inf, math.inf),)),
        (2.0, 3.0, 1.0, 1.5, ()),
        (2.0, 4.0, 0.0, 0.0, ((1.0, 3.0),)),
        (2.0, 0.0, 0.0, 0.0, ((-1.0, 1.0),)),
        (0.0, 5.0, 1.0, 0.0, ((-math.inf, -math.sqrt(5.25)), (math.sqrt(5.25), math.inf))),
    ],
)
def test_edges_of_the_quadratic(x: float, y: float, var_x: float, cov: float, expected: tuple) -> None:
    found = fieller_set(x, y, var_x=var_x, var_y=1.0, cov=cov, critical=2.0)
    assert len(found) == len(expected)
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-12)


@pytest.mark.parametrize(("unit_x", "unit_y"), [(1e-80, 1e80), (1e80, 1e-60), (1e-90, 1e-90), (1e90, 1e90)])
def test_units_only_rescale_the_set(unit_x: float, unit_y: float) -> None:
    for x, y in [(5.0, 1.0), (0.5, 4.0)]:
        plain = fieller_set(x, y, var_x=1.0, var_y=1.0, cov=0.5, critical=Z)
        scaled = fieller_set(
            x * unit_x, y * unit_y, var_x=unit_x**2, var_y=unit_y**2, cov=0.5 * unit_x * unit_y, critical=Z
        )
        np.testing.assert_allclose(np.array(scaled), np.array(plain) * unit_y / unit_x, rtol=1e-10)


def test_hull_of_nothing_is_nan() -> None:
    assert all(math.isnan(end) for end in hull(()))
    assert hull(((0.0, 1.0),)) == (0.0, 1.0)


def test_breakdown_is_the_direct_share_at_which_the_interval_reaches_zero() -> None:
    share = breakdown(3.0, 1.0, critical=Z)
    assert 3.0 - share * 3.0 - Z == pytest.approx(0, abs=1e-12)
    assert breakdown(-3.0, 1.0, critical=Z) == share
    assert breakdown(1.0, 1.0, critical=Z) == 0
    assert breakdown(0.0, 1.0, critical=Z) == 0


def test_delta_error_is_the_gradients_quadratic_form() -> None:
    x, y, cov = 3.0, 1.2, np.array([[0.2, 0.05], [0.05, 0.4]])
    gradient = np.array([-y / x**2, 1 / x])
    error = delta_std_error(x, y, var_x=0.2, var_y=0.4, cov=0.05)
    assert error == pytest.approx(math.sqrt(gradient @ cov @ gradient), rel=1e-12)
