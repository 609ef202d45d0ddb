"""Moments by cell: mapped ones are those of mapped rows, and what is rounding is told from variance."""

import numpy as np
import pytest

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.adjustment import adjustment
from cpi_experiments.stats.arm_means import arm_means, means_of_cells
from cpi_experiments.stats.cell_clusters import place_clusters
from cpi_experiments.stats.cells import Cells, cells_of_rows

DESIGNS = ("plain", "strata", "clusters", "crossed", "clusters in strata", "crossed in strata")


def design(kind: str, n: int = 120) -> tuple[np.ndarray, dict]:
    """Arm of every row, and the codes of strata and clusters."""
    g = np.arange(n) % 24
    treated = g % 2 == 1 if "crossed" not in kind else np.arange(n) % 5 < 2
    if kind in ("plain", "strata"):
        treated = np.arange(n) % 3 == 0
    return treated, {
        "strata": g // 12 if "strata" in kind else None,
        "clusters": g if "cl" in kind or "crossed" in kind else None,
    }


@pytest.mark.parametrize("kind", DESIGNS)
@pytest.mark.parametrize("by_arm", [False, True])
def test_mapped_moments_are_those_of_mapped_rows(kind: str, *, by_arm: bool) -> None:
    rng = np.random.default_rng(1)
    treated, codes = design(kind)
    rows = rng.normal(size=(120, 3)) @ rng.normal(size=(3, 3)) + [5, -20, 100]
    cells = cells_of_rows(rows, treated, **codes)
    slope, offset = rng.normal(size=(2, 2, 3)), rng.normal(size=(2, 2))
    if not by_arm:
        slope[1], offset[1] = slope[0], offset[0]
    about = rows - cells.origin
    mapped = np.where(treated[:, None], about @ slope[1].T + offset[1], about @ slope[0].T + offset[0])
    strata = len(cells.n) // 2
    found = means_of_cells(
        cells.mapped(np.tile(slope, (strata, 1, 1)), np.tile(offset, (strata, 1)), origin=np.ones(2))
    )
    direct = arm_means(mapped + 1, treated, **codes)
    for name in ("control", "treatment", "effect", "cov", "df_control", "df_treatment"):
        np.testing.assert_allclose(getattr(found, name), getattr(direct, name), rtol=1e-9, atol=1e-12)
    assert found.crossed == ("crossed" in kind)


@pytest.mark.parametrize("kind", DESIGNS)
def test_taken_columns_are_those_columns(kind: str) -> None:
    treated, codes = design(kind)
    rows = np.random.default_rng(2).normal(size=(120, 3))
    taken = means_of_cells(cells_of_rows(rows, treated, **codes).take([2, 0]))
    direct = arm_means(rows[:, [2, 0]], treated, **codes)
    np.testing.assert_allclose(taken.cov, direct.cov, rtol=1e-12)
    np.testing.assert_array_equal(taken.effect, direct.effect)


@pytest.mark.parametrize("kind", DESIGNS)
@pytest.mark.parametrize("level", [0.1, 1e-9, 1e12 + 0.4, -(7e200**0.5)])
def test_a_constant_in_each_arm_has_exactly_no_variance(kind: str, level: float) -> None:
    treated, codes = design(kind)
    y = np.where(treated, 3 * level, level)
    cells = cells_of_rows(np.column_stack([y, np.arange(120) * level]), treated, **codes)
    assert [cells.varies(j) for j in (0, 1)] == [False, True]
    means = means_of_cells(cells)
    assert means.omega[0, 0] == 0
    assert means.omega[0, 1] == 0
    assert means.omega[1, 1] > 0
    assert means.effect[0] == pytest.approx(2 * level, rel=1e-12)


@pytest.mark.parametrize("kind", DESIGNS)
def test_what_covariates_predict_exactly_has_no_variance(kind: str) -> None:
    rng = np.random.default_rng(3)
    treated, codes = design(kind)
    x = rng.normal(size=(120, 3)) * [1, 1e5, 1e-5] + 10
    cells = cells_of_rows(np.column_stack([x @ [1.0, 1e-5, 1e5] - 4, x]), treated, **codes)
    found = adjustment(cells, 1)
    slope = np.hstack([np.eye(1), -found.coefficients.T])
    assert not cells.mapped(slope, found.offset, origin=np.zeros(1)).varies(0)
    near = cells_of_rows(np.column_stack([x @ [1.0, 1e-5, 1e5] + 1e-4 * rng.normal(size=120), x]), treated, **codes)
    assert near.mapped(slope, found.offset, origin=np.zeros(1)).varies(0)


@pytest.mark.parametrize("kind", ["plain", "clusters"])
def test_sums_of_a_constant_that_drifted_are_rounding_and_a_covariate_of_them_is_idle(kind: str) -> None:
    """A running sum of 0.1 is off in its last digits: as moments, the constant seems to vary."""
    treated, codes = design(kind)
    rng = np.random.default_rng(4)
    exact = cells_of_rows(np.column_stack([rng.normal(size=120), np.full(120, 0.1)]), treated, **codes)
    drift = 60 * 0.01 * 60 * np.finfo(float).eps / 4
    cross = exact.cross + np.array([[0.0, 0.0], [0.0, 1.0]]) * drift
    squares = np.column_stack([np.diagonal(cross, axis1=1, axis2=2)[:, 0], exact.n * 0.01])
    moments = Cells(
        n=exact.n, origin=np.zeros(2), means=exact.means + exact.origin, cross=cross, noise=squares,
        unit_noise=squares, clusters=exact.clusters,
    ).with_noise(squares, unit=np.zeros(2), of_clusters=None if kind == "plain" else squares)  # fmt: skip
    found = adjustment(moments, 1)
    assert found.used.tolist() == [False]
    assert found.coefficients.tolist() == [[0.0]]


def test_whole_numbers_vary_by_a_unit_or_not_at_all() -> None:
    n = np.array([1e6, 1e6])
    cross = np.array([[[0.0]], [[1 - 1e-6]]])  # one value of a million is off by one
    zero = np.zeros((2, 1))
    cells = Cells(n=n, origin=np.zeros(1), means=np.full((2, 1), 1e5), cross=cross, noise=zero, unit_noise=zero)
    squares = np.full((2, 1), 1e16)
    assert cells.with_noise(squares, unit=np.ones(1)).varies(0)
    assert not cells.with_noise(squares, unit=np.zeros(1)).varies(0)
    assert cells.with_noise(squares, unit=np.ones(1)).cleaned().cross.ravel().tolist() == [0.0, 1 - 1e-6]


def test_a_cluster_in_several_strata_is_refused() -> None:
    values, treated = np.arange(8.0)[:, None], np.arange(8) % 2 == 1
    with pytest.raises(EstimationError, match="several strata"):
        cells_of_rows(values, treated, strata=np.arange(8) // 4, clusters=np.arange(8) % 4)


def test_values_centred_within_clusters_leave_nothing_but_rounding() -> None:
    rng = np.random.default_rng(6)
    treated, codes = design("clusters")
    y = rng.normal(size=120) * 100
    y -= (np.bincount(codes["clusters"], weights=y) / 5)[codes["clusters"]]
    assert np.ptp(np.bincount(codes["clusters"], weights=y)) > 0
    cells = cells_of_rows(y[:, None], treated, **codes)
    assert not cells.varies(0)
    assert means_of_cells(cells).omega[0, 0] == 0


def test_clusters_are_placed_whatever_their_codes() -> None:
    rng = np.random.default_rng(5)
    codes = rng.permutation(500)[:60][rng.integers(0, 60, 400)]
    cell = 2 * (codes % 3) + rng.integers(0, 2, 400)
    places = place_clusters(codes, cell, 6)
    expected = np.unique(np.column_stack([codes, cell % 2]), axis=0, return_inverse=True)
    np.testing.assert_array_equal(places.total, expected[1].ravel())
    np.testing.assert_array_equal(places.cluster, np.unique(expected[0][:, 0], return_inverse=True)[1])
    np.testing.assert_array_equal(places.cell[places.total], cell)
    assert places.n_clusters == len(np.unique(codes))
    assert places.per_cell.tolist() == np.bincount(places.cell, minlength=6).tolist()
