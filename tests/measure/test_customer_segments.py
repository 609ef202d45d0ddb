"""Customer segments and promoters against detractors: every rule on small tables, numbers against SciPy."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cpi_experiments.errors import DataError, EstimationError
from cpi_experiments.measure.scores.customer_segments import customer_segments
from cpi_experiments.measure.scores.promoter_gap import promoter_gap
from cpi_experiments.measure.scores.segment_rows import GROUPS
from cpi_experiments.wording.results import banned_words

NAMES = {"unit": "id", "loyalty": "nps", "satisfaction": "csat", "value": "spend"}
LIMITS = {"large_from": 100.0, "small_to": 40.0}


def customers(n=1600, *, seed=1, answered=0.7) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "id": np.arange(n),
            "nps": rng.integers(0, 11, n).astype(float),
            "csat": rng.integers(1, 6, n).astype(float),
            "spend": rng.lognormal(4, 1, n),
        }
    )
    rows.loc[rng.random(n) > answered, "nps"] = np.nan
    rows.loc[rng.random(n) > answered, "csat"] = np.nan
    return rows


def by_hand(nps, csat, spend):
    """Place one customer by asking what could be if missing answers were known."""
    worlds = itertools.product(
        range(11) if np.isnan(nps) else [nps],
        range(1, 6) if np.isnan(csat) else [csat],
        [1, 50, 500] if np.isnan(spend) else [spend],
    )
    found = set()
    for n, c, s in worlds:
        if s >= 100 and (n <= 6 or c <= 2):
            found.add("large and at risk")
        elif n <= 6 and c <= 2:
            found.add("critical and disappointed")
        elif s <= 40 and n >= 9 and c > 2:
            found.add("upsell potential")
        else:
            found.add("others")
    return found.pop() if len(found) == 1 else "unknown"


@pytest.mark.parametrize("seed", range(3))
def test_a_customer_is_placed_only_if_no_missing_answer_could_change_it(seed):
    rows = customers(seed=seed)
    rows.loc[rows["id"] % 17 == 0, "spend"] = np.nan
    rows.loc[rows["id"] % 5 < 2, "spend"] /= 10
    expected = pd.Series([by_hand(*row) for row in rows[["nps", "csat", "spend"]].to_numpy()]).value_counts()
    found = customer_segments(rows, **NAMES, **LIMITS)
    assert {row.group: row.customers for row in found.rows} == {g: int(expected.get(g, 0)) for g in GROUPS}


def test_money_at_risk_is_a_total_with_its_range():
    rows = customers(answered=1.0)
    found = customer_segments(rows, **NAMES, **LIMITS)
    groups = np.array([by_hand(*row) for row in rows[["nps", "csat", "spend"]].to_numpy()])
    mine = rows["spend"].to_numpy() * np.isin(groups, GROUPS[:2])
    ends = stats.ttest_1samp(mine, 0).confidence_interval(0.95)
    assert (found.at_risk, found.at_risk_low, found.at_risk_high) == pytest.approx(
        (mine.sum(), 1600 * ends.low, 1600 * ends.high)
    )
    assert sum(row.money for row in found.rows) == pytest.approx(rows["spend"].sum())


def test_shares_of_groups_are_goodman():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    found = customer_segments(customers(), **NAMES, **LIMITS)
    expected = proportion.multinomial_proportions_confint([row.customers for row in found.rows], method="goodman")
    np.testing.assert_allclose([(row.share_low, row.share_high) for row in found.rows], expected, atol=1e-12)


def test_value_limits_are_shares_of_customers_and_keep_equals_together():
    rows = customers(100, answered=1.0).assign(spend=np.repeat([1.0, 2, 3, 4], [40, 20, 25, 15]))
    found = customer_segments(rows, **NAMES)
    assert (found.limits["large_from"], found.limits["small_to"]) == (3.0, 2.0)
    assert (found.limits["satisfied_from"], found.limits["disappointed_to"]) == (4.0, 2.0)


def test_the_grid_counts_every_combination_that_is_shown():
    found = customer_segments(customers(5000, answered=1.0), **NAMES, large_from=150.0, small_to=30.0)
    assert sum(count for *_, count in found.grid) == 5000
    assert len(found.grid) == 27
    assert {cell[0] for cell in found.grid} == {"promoter", "passive", "detractor"}


def test_small_groups_and_their_combinations_are_hidden():
    rows = pd.DataFrame(
        {"id": range(60), "nps": [10.0] * 57 + [2.0] * 3, "csat": 5.0, "spend": [10.0] * 57 + [900.0] * 3}
    )
    found = customer_segments(rows, **NAMES, large_from=500, small_to=5)
    assert found.row("large and at risk").hidden
    assert found.row("others").hidden
    assert found.grid == ()
    assert np.isnan(found.at_risk)
    assert "too few to be shown" in str(found)


def test_several_rows_need_a_time_and_then_the_latest_answer_counts():
    rows = pd.DataFrame(
        {
            "id": [1, 1, 2],
            "nps": [9.0, 3.0, np.nan],
            "csat": [5.0, np.nan, 1.0],
            "spend": [60.0, 60.0, np.nan],
            "day": pd.to_datetime(["2026-01-02", "2026-03-01", "2026-02-01"]),
        }
    )
    many = pd.concat([rows.assign(id=rows["id"] + 10 * k) for k in range(12)])
    with pytest.raises(DataError, match="12 rows repeat a id"):
        customer_segments(many, **NAMES, **LIMITS)
    found = customer_segments(many.sample(frac=1, random_state=2), **NAMES, **LIMITS, at="day")
    assert found.row("large and at risk").customers == 12  # 120 of value, latest answer 3
    assert found.row("unknown").customers == 12


@pytest.mark.parametrize(
    ("change", "options", "text"),
    [
        ({"nps": 11.0}, {}, "outside 0 to 10, such as 11"),
        ({"nps": 7.5}, {}, "not whole, such as 7.5"),
        ({"csat": 99.0}, {}, "outside 1 to 5, such as 99"),
        ({}, {"large_from": 5.0, "small_to": 50.0}, "small_to 50 is not below large_from 5"),
        ({}, {"promoter_from": 6.0}, "detractor_to 6 is not below promoter_from 6"),
        ({}, {"large_share": 0.8}, "do not fit together"),
        ({"spend": np.nan}, {}, "no customer has a value"),
        ({"id": None}, {}, "no row has a id"),
        ({}, {"minimum": 1}, "may not be shown"),
    ],
)
def test_what_contradicts_is_refused(change, options, text):
    with pytest.raises(DataError, match=text):
        customer_segments(customers(40).assign(**change), **NAMES, **options)


def test_a_level_of_confidence_lies_between_0_and_1():
    with pytest.raises(EstimationError, match="not between"):
        customer_segments(customers(40), **NAMES, confidence_level=1.0)
    with pytest.raises(EstimationError, match="not between"):
        promoter_gap(customers(40), score="nps", value="spend", confidence_level=0)


def test_segments_read_in_plain_words_in_80_columns():
    found = customer_segments(customers(), **NAMES, **LIMITS)
    assert max(map(len, str(found).splitlines())) <= 80
    assert banned_words(str(found)) == ()
    assert "they are no passives" in " ".join(str(found).split())
    assert found.to_frame()["customers"].sum() == 1600
    full = customer_segments(customers(answered=1.0), **NAMES, **LIMITS)
    assert "Every customer could be placed." in str(full)


def test_money_at_risk_holds_its_level():
    rng = np.random.default_rng(6)
    held, trials, n = 0, 800, 300
    truth = n * np.exp(3 + 0.5**2 / 2) * (1 / 3)
    for _ in range(trials):
        rows = pd.DataFrame(
            {"id": np.arange(n), "nps": rng.choice([2.0, 8, 10], n), "csat": 3.0, "spend": rng.lognormal(3, 0.5, n)}
        )
        found = customer_segments(rows, **NAMES, large_from=0.01, small_to=0.001)
        held += found.at_risk_low <= truth <= found.at_risk_high
    assert stats.binom.ppf(5e-7, trials, 0.95) <= held <= stats.binom.isf(5e-7, trials, 0.95)


# -- promoters against detractors ------------------------------------------------------------------------------------


def test_the_gap_is_welch():
    rows = customers(answered=0.9)
    found = promoter_gap(rows, score="nps", value="spend")
    high, low = rows["spend"][rows["nps"] >= 9], rows["spend"][rows["nps"] <= 6]
    test = stats.ttest_ind(high, low, equal_var=False)
    ends = test.confidence_interval(0.95)
    assert (found.gap, found.ci_low, found.ci_high, found.df) == pytest.approx(
        (high.mean() - low.mean(), ends.low, ends.high, test.df)
    )
    assert (found.n_promoters, found.n_detractors) == (len(high), len(low))
    assert found.n_passives == rows["nps"].between(7, 8).sum()
    assert found.dropped == (("without nps", int(rows["nps"].isna().sum())),)


def test_the_ratio_agrees_with_the_delta_method_and_a_bootstrap():
    rng = np.random.default_rng(2)
    rows = customers(4000, answered=1.0)
    rows["spend"] *= 1 + 0.5 * (rows["nps"] >= 9)
    found = promoter_gap(rows, score="nps", value="spend")
    high, low = (rows["spend"].to_numpy()[side] for side in (rows["nps"] >= 9, rows["nps"] <= 6))
    draws = [rng.choice(high, len(high)).mean() / rng.choice(low, len(low)).mean() for _ in range(2000)]
    assert found.ratio == pytest.approx(high.mean() / low.mean())
    assert (found.ratio_low, found.ratio_high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), rel=0.03)


def test_one_scan_and_rows_give_the_same():
    """Money near a large offset, with missing scores and values; customers of their own give Welch again."""
    rows = customers(500, answered=0.8)
    rows["spend"] += 1e6
    rows.loc[rows["id"] % 9 == 0, "spend"] = np.nan
    scan, by_row = (promoter_gap(rows, score="nps", value="spend", unit=unit) for unit in (None, "id"))
    for name in ("gap", "std_error", "df", "ci_low", "ratio_high", "promoters"):
        assert getattr(scan, name) == pytest.approx(getattr(by_row, name), rel=1e-9)
    assert (scan.dropped, scan.n_passives, scan.n_promoters) == (by_row.dropped, by_row.n_passives, by_row.n_promoters)


def test_customers_with_several_rows_are_one_unit_each():
    rows = customers(200, answered=1.0)
    thrice = pd.concat([rows] * 3)
    once, blown = promoter_gap(rows, score="nps", value="spend"), promoter_gap(thrice, score="nps", value="spend")
    clustered = promoter_gap(thrice, score="nps", value="spend", unit="id")
    assert clustered.std_error == pytest.approx(once.std_error, rel=1e-9)
    assert blown.std_error < 0.7 * once.std_error
    assert clustered.n_clusters == once.n_promoters + once.n_detractors
    assert promoter_gap(rows, score="nps", value="spend", unit="id").df == pytest.approx(once.df)


def test_gaps_of_customers_who_change_sides_hold_their_level():
    """80 customers answer three times; what they bring hardly depends on the answer."""
    rng = np.random.default_rng(8)
    held, trials = 0, 600
    for _ in range(trials):
        ids = np.repeat(np.arange(80), 3)
        rows = pd.DataFrame({"id": ids, "nps": np.where(rng.random(240) < 0.4, 10.0, 3.0)})
        rows["spend"] = np.exp(rng.normal(3, 0.6, 80))[ids] + rng.normal(0, 2, 240) + 10 * (rows["nps"] == 10)
        found = promoter_gap(rows, score="nps", value="spend", unit="id")
        held += found.ci_low <= 10 <= found.ci_high
    assert stats.binom.ppf(5e-7, trials, 0.95) <= held <= stats.binom.isf(5e-7, trials, 0.95)


def test_no_ratio_where_detractors_may_bring_nothing():
    rows = customers(answered=1.0).assign(spend=lambda d: d["spend"] - 400)
    found = promoter_gap(rows, score="nps", value="spend")
    assert np.isnan(found.ratio)
    assert "times" not in str(found)


@pytest.mark.parametrize(
    ("change", "options", "error"),
    [
        ({"nps": 11.0}, {}, DataError),
        ({"nps": 9.5}, {}, DataError),
        ({}, {"detractor_to": 9.0}, DataError),
        ({"nps": 10.0}, {}, EstimationError),
        ({"spend": 5.0}, {}, EstimationError),
    ],
)
def test_gaps_that_mean_nothing_are_refused(change, options, error):
    with pytest.raises(error):
        promoter_gap(customers(40).assign(**change), score="nps", value="spend", **options)


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_a_gap_is_told_as_an_association(factor):
    rows = customers()
    rows["spend"] *= np.where(rows["nps"] >= 9, factor, 1)
    text = " ".join(str(promoter_gap(rows, score="nps", value="spend")).split())
    assert "does not show that a better score brings more" in text
    assert text.startswith("We cannot tell" if factor == 1 else "Promoters have")
    assert banned_words(text) == ()
