"""Certified data and exact rationals: how many digits of what is derived from gathered moments are right.

Data and certified values: NIST Statistical Reference Datasets. The analyses of variance ship with scipy, Longley's data
with statsmodels; NumAcc1-4 are written down by their rule. LRE is the number of correct digits, at most 16.
"""

import math
import re
from fractions import Fraction
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import scipy
import statsmodels.datasets

from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.moments.gather import gather, gather_table
from cpi_experiments.stats.moments import add_moments
from cpi_experiments.stats.regression import least_squares

NIST = Path(scipy.__file__).parent / "stats" / "tests" / "data" / "nist_anova"


def lre(found, certified):
    """Correct digits."""
    error = abs(Fraction(found) - Fraction(certified))
    return 16.0 if not error else min(16.0, -math.log10(error / abs(Fraction(certified))))


def exact(values):
    return [Fraction(str(each)) for each in values]


def variance(m, column):
    """Variance of a column over all cells, from its moments."""
    i = m.place(column)
    k = m.pairs.index((i, i))
    n, s, q = int(m.n.sum()), float(m.sums[:, i].sum()), float(m.products[:, k].sum())
    return (q - s * s / n) / (n - 1) / m.scale[i] ** 2


def effect(m, column, a, b):
    means = [m.where({"arm": arm}).means([column])[0, 0] for arm in (a, b)]
    return means[1] - means[0]


# -- mean and standard deviation -------------------------------------------------------------------------------------


def numacc(base, low, high, pairs=500):
    return [base, *([low, high] * pairs)]


NUMACC = {
    "NumAcc1": ([10000001.0, 10000003.0, 10000002.0], 10000002, Fraction(1)),
    "NumAcc2": (numacc(1.2, 1.1, 1.3), Fraction(12, 10), Fraction(1, 10)),
    "NumAcc3": (numacc(1000000.2, 1000000.1, 1000000.3), Fraction(10000002, 10), Fraction(1, 10)),
    "NumAcc4": (numacc(10000000.2, 10000000.1, 10000000.3), Fraction(100000002, 10), Fraction(1, 10)),
}


@pytest.mark.parametrize("name", NUMACC)
def test_numacc_has_every_digit_that_the_doubles_hold(name):
    values, mean, deviation = NUMACC[name]
    m = gather(pd.DataFrame({"x": values}), ["x"])
    assert lre(float(m.means(["x"])[0, 0]), mean) >= 15
    # what the numbers as stored allow: the deviation of the doubles themselves, without any rounding
    stored = [Fraction(each) for each in values]
    centre = sum(stored) / len(stored)
    limit = math.sqrt(sum((each - centre) ** 2 for each in stored) / (len(stored) - 1))
    found = math.sqrt(variance(m, "x"))
    assert lre(found, limit) >= 13
    assert lre(found, deviation) >= min(lre(limit, deviation), 14) - 0.1


@pytest.mark.parametrize("name", NUMACC)
def test_numacc_is_exact_where_tenths_are_declared_whole(name):
    values, mean, deviation = NUMACC[name]
    m = gather(pd.DataFrame({"x": values}), ["x"], scales={"x": 10})
    assert lre(float(m.means(["x"])[0, 0]), mean) >= 15.5
    assert lre(math.sqrt(variance(m, "x")), deviation) >= 15


# -- analysis of variance --------------------------------------------------------------------------------------------


def anova(name):
    text = (NIST / f"{name}.dat").read_text(encoding="ascii")
    certified = float(re.search(r"Between \w+\s+\d+(?:\s+\S+){2}\s+(\S+)", text).group(1))
    head, rows = re.split(r"Data:\s+\w+\s+\w+\s*\n", text)[-2:]
    values = np.array([line.split() for line in rows.splitlines() if line.strip()], dtype=float)
    return certified, pd.DataFrame({"treatment": values[:, 0].astype(int), "y": values[:, 1]}), head


def f_statistic(m):
    n, s, q = m.n.astype(float), m.sums[:, 0].astype(float), m.products[:, 0].astype(float)
    within = float(np.sum(q - s * s / n))
    grand = s.sum() / n.sum()
    between = float(np.sum(n * (s / n - grand) ** 2))
    return between / (len(m) - 1) / (within / (n.sum() - len(m)))


FLOORS = {
    **{f"SmLs0{k}": (12.0 if k < 4 else 10.0 if k < 7 else 4.0) for k in range(1, 10)},
    "AtmWtAg": 10.0,
    "SiRstv": 12.0,
}


@pytest.mark.parametrize("name", FLOORS)
def test_nist_analyses_of_variance_reach_their_floor(name, tmp_path):
    certified, frame, _ = anova(name)
    path = tmp_path / "t.parquet"
    duckdb.from_df(frame).write_parquet(str(path))
    for data in (frame, path):
        assert lre(f_statistic(gather(data, ["y"], by=["treatment"])), certified) >= FLOORS[name]


@pytest.mark.parametrize("name", [f"SmLs0{k}" for k in range(1, 10)])
def test_nist_analyses_of_variance_are_exact_where_tenths_are_declared_whole(name):
    certified, frame, _ = anova(name)
    assert lre(f_statistic(gather(frame, ["y"], by=["treatment"], scales={"y": 10})), certified) >= 14


# -- regression ------------------------------------------------------------------------------------------------------


def rational_regression(x, y):
    """Coefficients of y on 1, x in exact rationals."""
    rows = [[Fraction(1), *map(Fraction, row)] for row in x]
    k = len(rows[0])
    a = [[sum(r[i] * r[j] for r in rows) for j in range(k)] for i in range(k)]
    b = [sum(r[i] * Fraction(t) for r, t in zip(rows, y, strict=True)) for i in range(k)]
    for i in range(k):
        pivot = next(r for r in range(i, k) if a[r][i])
        a[i], a[pivot], b[i], b[pivot] = a[pivot], a[i], b[pivot], b[i]
        for r in range(k):
            if r != i and a[r][i]:
                times = a[r][i] / a[i][i]
                a[r] = [u - times * v for u, v in zip(a[r], a[i], strict=True)]
                b[r] -= times * b[i]
    return [b[i] / a[i][i] for i in range(k)]


def longley():
    frame = statsmodels.datasets.longley.load_pandas().data
    return frame.drop(columns="TOTEMP"), frame["TOTEMP"]


LONGLEY = [-3482258.63459582, 15.0618722713733, -0.358191792925910e-01, -2.02022980381683, -1.03322686717359,
           -0.511041056535807e-01, 1829.15146461355]  # fmt: skip


def test_longley_has_eleven_digits_from_moments_and_from_rows():
    x, y = longley()
    oracle = rational_regression(np.vectorize(lambda v: Fraction(str(v)), otypes=[object])(x.to_numpy()), exact(y))
    assert all(lre(float(a), b) >= 14 for a, b in zip(oracle, LONGLEY, strict=True))  # the oracle is right
    by_rows = least_squares(y.to_numpy(), x.to_numpy(), names=["TOTEMP", *x]).coefficients[:-1]
    assert min(lre(a, b) for a, b in zip(by_rows, LONGLEY[1:], strict=True)) >= 11
    m = gather(pd.concat([x, y], axis=1), [*x, "TOTEMP"])
    assert min(lre(a, b) for a, b in zip(slopes_from(m, list(x), "TOTEMP"), LONGLEY[1:], strict=True)) >= 11


def slopes_from(m, names, outcome):
    """Slopes from the moments, the columns scaled to unit variance first (condition of the scaled matrix)."""
    at = [m.place(name) for name in [*names, outcome]]
    n, s = int(m.n.sum()), m.sums.sum(axis=0).astype(float)
    gram = np.array([[_product(m, i, j) - s[i] * s[j] / n for j in at] for i in at])
    size = np.sqrt(np.diag(gram))
    z = gram / np.outer(size, size)
    solved = np.linalg.solve(z[:-1, :-1], z[:-1, -1])
    return solved * size[-1] / size[:-1] * m.scale[at[:-1]] / m.scale[at[-1]]


def _product(m, i, j):
    return float(m.products[:, m.pairs.index((min(i, j), max(i, j)))].sum())


# -- effects on business columns against exact rationals ---------------------------------------------------------------


def business(n=20_000, seed=11):
    rng = np.random.default_rng(seed)
    arm = rng.integers(0, 2, n)
    return pd.DataFrame(
        {
            "arm": np.where(arm == 1, "new", "old"),
            "cents": np.round(rng.lognormal(9, 1.2, n)).astype(int) + 3 * arm,
            "orders": rng.poisson(3 + 0.05 * arm),
            "won": (rng.random(n) < 0.3 + 0.01 * arm).astype(int),
            "nps": rng.choice([-100, 0, 100], n),
        }
    )


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("business")
    frame = business()
    path = folder / "t.parquet"
    duckdb.sql(
        "SELECT arm, (cents / 100.0)::DECIMAL(14, 2) AS money, cents / 1e2 AS price, orders, won = 1 AS won, nps FROM frame"
    ).write_parquet(str(path))
    return frame, path


MEASURES = {
    "money": ("cents", 100),
    "price": ("cents", 100),
    "orders": ("orders", 1),
    "won": ("won", 1),
    "nps": ("nps", 1),
}


@pytest.mark.parametrize("column", MEASURES)
def test_effects_on_money_counts_and_flags_have_thirteen_digits(typed, column):
    frame, path = typed
    source, scale = MEASURES[column]
    m = gather(path, [column], by=["arm"], scales={column: 100} if column == "price" else None)
    means = {arm: Fraction(int(g.sum()), len(g) * scale) for arm, g in frame.groupby("arm")[source]}
    assert lre(effect(m, column, "old", "new"), means["new"] - means["old"]) >= 13
    for arm, values in frame.groupby("arm")[source]:
        n, total, squares = len(values), int(values.sum()), sum(int(v) ** 2 for v in values)
        expected = (Fraction(squares) - Fraction(total**2, n)) / (n - 1) / scale**2
        assert lre(variance(m.where({"arm": arm}), column), expected) >= 13


# -- the same bits for any number of threads, order of rows and split into files --------------------------------------


def numbers(m, columns):
    """All that a comparison derives from: means, sums and products of the cells in order."""
    return [
        m.n.tolist(), m.means(columns).tolist(), m.origin.tolist(), m.sums.tolist(), m.products.tolist(),
        [labels.tolist() for labels in m.keys.values()],
    ]  # fmt: skip


@pytest.fixture(scope="module")
def parted(typed, tmp_path_factory):
    """The same rows as one file, sorted, shuffled, in five files and in small row groups."""
    _, path = typed
    folder = tmp_path_factory.mktemp("parted")
    asks = {
        "sorted": "ORDER BY money",
        "backwards": "ORDER BY money DESC, orders",
        "shuffled": "ORDER BY hash(money * 7 + orders)",
    }
    paths = {"one": path}
    for name, order in asks.items():
        paths[name] = folder / f"{name}.parquet"
        duckdb.sql(f"COPY (SELECT * FROM '{path}' {order}) TO '{paths[name]}' (ROW_GROUP_SIZE 2048)")
    (folder / "many").mkdir()
    for k in range(5):
        duckdb.sql(f"COPY (SELECT * FROM '{paths['sorted']}' WHERE nps % 3 + orders % 3 = {k - 1}) TO '{folder}/many/{k}.parquet'")  # fmt: skip
    paths["files"] = str(folder / "many" / "*.parquet")
    return paths


COLUMNS = ["money", "price", "orders", "won", "nps"]
SCALES = {"price": 100}


@pytest.mark.parametrize("way", ["sorted", "backwards", "shuffled", "files"])
def test_whole_columns_give_the_same_bits_for_any_order_and_split(parted, way):
    expected = gather(parted["one"], COLUMNS, by=["arm"], scales=SCALES)
    assert expected.whole.all()
    found = gather(parted[way], COLUMNS, by=["arm"], scales=SCALES)
    assert numbers(found, COLUMNS) == numbers(expected, COLUMNS)


def test_whole_columns_give_the_same_bits_when_the_files_are_added_one_by_one(parted):
    expected = gather(parted["one"], COLUMNS, by=["arm"], scales=SCALES)
    files = sorted(Path(parted["files"]).parent.glob("*.parquet"))
    parts = [gather(file, COLUMNS, by=["arm"], scales=SCALES) for file in files]
    for order in (parts, parts[::-1]):
        assert numbers(add_moments(order), COLUMNS) == numbers(expected, COLUMNS)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_whole_columns_give_the_same_bits_on_any_number_of_threads(parted, threads):
    found = []
    for count in (threads, 2):
        with Tables({"data": parted["shuffled"]}, threads=count) as tables:
            found.append(
                gather_table(tables, "data", COLUMNS, by=["arm"], pairs=None, caps={}, scales=SCALES, origins={})
            )
    assert numbers(found[0], COLUMNS) == numbers(found[1], COLUMNS)


@pytest.mark.parametrize("way", ["sorted", "backwards", "shuffled", "files"])
def test_real_columns_agree_to_ten_digits_for_any_order_and_split(parted, way):
    one, other = (gather(parted[name], ["price"], by=["arm"]) for name in ("one", way))
    assert not one.whole.any()
    assert effect(other, "price", "old", "new") == pytest.approx(effect(one, "price", "old", "new"), rel=1e-10)
    for arm in ("old", "new"):
        two = variance(other.where({"arm": arm}), "price")
        assert two == pytest.approx(variance(one.where({"arm": arm}), "price"), rel=1e-12)
