"""Tails and quantiles have scipy's digits."""

import math
import subprocess
import sys

import numpy as np
import pytest
import scipy
from scipy import special

from cpi_experiments.stats.tails import chi_squared_tail, normal_quantile, normal_tail, t_quantile, t_tail

DFS = [0.5, 1, 1.5, 2, 3, 4.7, 10, 29.3, 57, 100, 199.9, 200.1, 250, 500, 1e3, 3.3e4, 1e6, 1e8, 1e12, math.inf]
XS = [0.0, 0.03, 0.1, 0.5, 1, 1.5, 1.96, 2.5, 3, 4, 6, 8, 12, 20, 37, 100]
PS = [1e-12, 1e-6, 0.0005, 0.025, 0.1, 0.3, 0.45, 0.5, 0.55, 0.8, 0.95, 0.975, 0.9995, 1 - 1e-9]


#: Quantiles of older scipy are searched for and stop early; there the tail of the quantile is the exact test.
EXACT_QUANTILES = 2e-13 if tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 17) else 1e-9


def by_scipy(x, df):
    return float(special.ndtr(-x) if math.isinf(df) else special.stdtr(df, -x))


@pytest.mark.parametrize("df", DFS)
def test_tails_of_t_are_scipys(df):
    for x in XS:
        assert t_tail(x, df) == pytest.approx(by_scipy(x, df), rel=5e-13, abs=1e-300)
        assert t_tail(-x, df) == pytest.approx(by_scipy(-x, df), rel=1e-13)


@pytest.mark.parametrize("df", DFS)
def test_quantiles_of_t_are_scipys_and_turn_back_into_the_tail(df):
    for p in PS:
        expected = float(special.ndtri(p) if math.isinf(df) else special.stdtrit(df, p))
        found = t_quantile(p, df)
        assert found == pytest.approx(expected, rel=EXACT_QUANTILES, abs=1e-15)
        assert t_tail(-found, df) == pytest.approx(p, rel=1e-12)


def test_closed_forms_of_t_hold():
    for x in (1e-8, 1e-4, 0.3, 1.0, 7.0, 1e3):
        assert t_tail(x, 1) == pytest.approx(math.atan2(1, x) / math.pi, rel=2e-14)
        assert t_tail(x, 2) == pytest.approx(1 / (2 + x * x + x * math.sqrt(2 + x * x)), rel=2e-14)
    assert t_quantile(0.75, 1) == pytest.approx(1, rel=1e-14)


def test_tails_never_grow_with_the_statistic_where_the_method_changes():
    for df in (199.0, 201.0, 1000.0):
        edge = math.sqrt(0.1 * df)
        around = [t_tail(x, df) for x in np.linspace(edge * (1 - 1e-9), edge * (1 + 1e-9), 41)]
        assert np.all(np.diff(around) < 0)
    by_df = [t_tail(3.0, df) for df in (199.0, 199.999, 200.0, 200.001, 201.0)]
    assert by_df == sorted(by_df, reverse=True)


@pytest.mark.parametrize("x", [-40, -5, -1, 0, 0.3, 2, 8, 30, 37])
def test_tails_of_the_normal_are_scipys(x):
    assert normal_tail(x) == pytest.approx(float(special.ndtr(-x)), rel=5e-13)


@pytest.mark.parametrize("p", [1e-300, 1e-20, 1e-5, 0.025, 0.3, 0.6, 0.975, 0.999999])
def test_quantiles_of_the_normal_are_scipys(p):
    assert normal_quantile(p) == pytest.approx(float(special.ndtri(p)), rel=1e-14)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 10, 31, 100])
def test_tails_of_chi_squared_are_scipys(df):
    for x in (0.0, 1e-6, 0.1, 1, 3, 10, 50, 300, 1000):
        assert chi_squared_tail(x, df) == pytest.approx(float(special.chdtrc(df, x)), rel=EXACT_QUANTILES)


def test_ends_and_missing_numbers_stay_what_they_are():
    assert t_tail(math.inf, 5) == 0
    assert t_tail(-math.inf, 5) == 1
    assert (t_quantile(0, 5), t_quantile(1, 5), normal_quantile(1)) == (-math.inf, math.inf, math.inf)
    for nothing in (
        t_tail(math.nan, 5), t_tail(1, math.nan), t_tail(1, 0), t_quantile(math.nan, 5), t_quantile(0.9, math.nan),
        t_quantile(1.5, 5), normal_tail(math.nan), normal_quantile(-1), chi_squared_tail(math.nan, 1),
    ):  # fmt: skip
        assert math.isnan(nothing)


@pytest.mark.parametrize(
    "door", ["randomized.effects.compare", "randomized.links.link_effect", "observational.association"]
)
def test_doors_from_a_file_load_numpy_and_duckdb_only(door):
    asks = (
        f"import sys, cpi_experiments.{door}; "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'numpy', 'duckdb', 'scipy', 'pandas', 'pydantic'}))"
    )
    said = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "['duckdb', 'numpy']"
