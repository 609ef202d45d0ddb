"""Corrections for many tests against statsmodels, by hand, and their laws."""

import numpy as np
import pytest

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.multiplicity import CORRECTIONS, adjusted_p_values

NAMES = {"bonferroni": "bonferroni", "holm": "holm", "bh": "fdr_bh", "by": "fdr_by"}


@pytest.mark.parametrize("correction", NAMES)
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_corrections_are_statsmodels(correction: str, size: int) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(size).random(size) ** 3
    p[size // 2 :] = p[0]  # ties
    found = adjusted_p_values(p, correction=correction)
    np.testing.assert_allclose(found, multitest.multipletests(p, method=NAMES[correction])[1], rtol=1e-12)


@pytest.mark.parametrize("correction", NAMES)
def test_an_adjusted_p_value_is_never_smaller_and_keeps_the_order(correction: str) -> None:
    p = np.random.default_rng(3).random(50)
    found = adjusted_p_values(p, correction=correction)
    assert np.all(found >= p)
    assert found.max() <= 1
    assert np.all(np.diff(found[np.argsort(p)]) >= 0)


def test_none_changes_nothing_and_copies() -> None:
    p = np.array([0.2, np.nan])
    found = adjusted_p_values(p, correction="none")
    np.testing.assert_array_equal(found, p)
    found[0] = 1
    assert p[0] == 0.2
    assert adjusted_p_values(np.array([]), correction="holm").tolist() == []


@pytest.mark.parametrize("correction", NAMES)
def test_e01_a_missing_p_counts_as_one_and_stays_missing(correction: str) -> None:  # E01
    found = adjusted_p_values(np.array([0.01, np.nan, 0.02]), correction=correction)
    expected = adjusted_p_values(np.array([0.01, 1.0, 0.02]), correction=correction)
    assert np.isnan(found[1])
    np.testing.assert_array_equal(found[[0, 2]], expected[[0, 2]])


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.inf, -np.inf])
def test_what_is_no_chance_is_refused(wrong: float) -> None:
    with pytest.raises(EstimationError, match="1 of 2 p-values lie outside 0 to 1"):
        adjusted_p_values(np.array([0.5, wrong]), correction="holm")


def test_an_unknown_correction_is_refused() -> None:
    with pytest.raises(EstimationError, match="correction 'hol' is not known"):
        adjusted_p_values(np.array([0.5]), correction="hol")  # type: ignore[arg-type]
    assert set(NAMES) | {"none"} == set(CORRECTIONS)
