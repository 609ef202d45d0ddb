"""Reasons for leaving and what less churn would keep: against statsmodels, a bootstrap and simulated companies."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cpi_experiments.errors import DataError, EstimationError
from cpi_experiments.measure.scores.attrition import UNKNOWN, attrition_reasons
from cpi_experiments.measure.scores.churn_what_if import what_if_churn, what_if_churn_in
from cpi_experiments.wording.results import banned_words


def lost(n=800, *, seed=1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": np.arange(n),
            "why": rng.choice(["price", "service", "moved", " price ", "", None], n, p=[0.3, 0.3, 0.1, 0.1, 0.1, 0.1]),
            "spend": rng.lognormal(3, 1, n),
            "segment": rng.choice(["home", "firm"], n, p=[0.8, 0.2]),
        }
    )


# -- reasons ---------------------------------------------------------------------------------------------------------


def test_reasons_are_counted_with_the_unknown_one_as_its_own():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    rows = lost()
    found = attrition_reasons(rows, reason="why", unit="id", value="spend")
    reason = rows["why"].fillna("").str.strip().replace("", UNKNOWN)
    counts = reason.value_counts()
    assert {row.reason: row.customers for row in found.rows} == counts.to_dict()
    assert found.rows[-1].reason == UNKNOWN
    ends = proportion.multinomial_proportions_confint([row.customers for row in found.rows], method="goodman")
    np.testing.assert_allclose([(row.share_low, row.share_high) for row in found.rows], ends, atol=1e-12)
    money = rows["spend"].groupby(reason).sum()
    for row in found.rows:
        assert row.value == pytest.approx(money[row.reason])
        assert row.value_low < row.value_share < row.value_high


def test_groups_have_reasons_of_their_own():
    rows = lost()
    found = attrition_reasons(rows, reason="why", unit="id", value="spend", by="segment")
    firm = attrition_reasons(rows[rows["segment"] == "firm"], reason="why", unit="id", value="spend")
    mine = {row.reason: row for row in found.rows if row.group == "firm"}
    for row in firm.rows:
        assert mine[row.reason].share_low == pytest.approx(row.share_low)
        assert mine[row.reason].value_high == pytest.approx(row.value_high)


def test_small_reasons_are_hidden_with_one_that_gives_them_away():
    rows = pd.DataFrame({"id": range(103), "why": ["price"] * 60 + ["service"] * 40 + ["died"] * 3})
    found = attrition_reasons(rows, reason="why", unit="id")
    assert {row.reason: row.hidden for row in found.rows} == {"price": False, "service": True, "died": True}
    rows["segment"] = ["a"] * 50 + ["b"] * 53
    rows.loc[0, "segment"] = "tiny"
    cells = attrition_reasons(rows, reason="why", unit="id", by="segment")
    assert all(row.hidden for row in cells.rows if row.group == "tiny")
    assert not any(0 < row.customers < 10 for row in cells.rows)


def test_values_that_are_not_known_are_counted():
    rows = lost()
    rows.loc[:49, "spend"] = np.nan
    found = attrition_reasons(rows, reason="why", unit="id", value="spend")
    assert found.without_value == 50
    assert sum(row.value_share for row in found.rows) == pytest.approx(1)
    nothing = attrition_reasons(rows.assign(spend=np.nan), reason="why", unit="id", value="spend")
    assert np.isnan(nothing.rows[0].value_share)


@pytest.mark.parametrize(
    ("change", "options", "text"),
    [
        ({"id": 1}, {}, "repeat a id"),
        ({"id": None}, {}, "have no id"),
        ({"why": None}, {}, "holds no reason"),
        ({"why": [f"text {i}" for i in range(800)]}, {}, "800 different reasons"),
        ({"spend": -1.0}, {}, "below zero"),
        ({}, {"minimum": 3}, "may not be shown"),
    ],
)
def test_reasons_that_cannot_be_counted_are_refused(change, options, text):
    with pytest.raises(DataError, match=text):
        attrition_reasons(lost().assign(**change), reason="why", unit="id", value="spend", **options)


def test_a_level_of_confidence_lies_between_0_and_1():
    with pytest.raises(EstimationError, match="not between"):
        attrition_reasons(lost(), reason="why", unit="id", confidence_level=2)


def test_reasons_read_in_plain_words_in_80_columns():
    found = attrition_reasons(lost(), reason="why", unit="id", value="spend", by="segment")
    assert max(map(len, str(found).splitlines())) <= 80
    assert banned_words(str(found)) == ()
    assert str(found).startswith('Of 800 lost customers most name "price": 40%')
    assert found.to_frame().shape == (12, 11)
    few = attrition_reasons(lost(8), reason="why", unit="id")
    assert "too few to show reasons" in str(few)
    numbers = attrition_reasons(lost().assign(why=1.0), reason="why", unit="id")
    assert numbers.rows[0].reason == "1"


# -- what if churn fell ----------------------------------------------------------------------------------------------


def months(rng, n=400, *, churn=0.04, length=8) -> pd.DataFrame:
    """Customers month by month until they leave; those who leave bring less, and large ones leave less often."""
    large = rng.random(n) < 0.3
    hazard = np.where(large, churn / 2, churn)
    ends = np.minimum(rng.geometric(hazard), length)
    left = rng.geometric(hazard, n)
    left = np.where(left <= length, left, 0)
    ends = np.where(left > 0, left, length)
    ids = np.repeat(np.arange(n), ends)
    month = np.concatenate([np.arange(1, end + 1) for end in ends])
    spend = np.where(large, 80.0, 30.0)[ids] * rng.lognormal(0, 0.4, len(ids))
    return pd.DataFrame({"id": ids, "left": (month == left[ids]).astype(float), "spend": spend})


def test_the_plain_calculator_by_hand():
    found = what_if_churn(
        churn=0.05, customers=2000, value_per_customer=10, reduction=0.2, periods=3, value_std_error=0.5
    )
    gained = [2000 * (0.96**t - 0.95**t) for t in (1, 2, 3)]
    assert found.customers_kept == pytest.approx(gained[-1])
    assert found.money_kept == pytest.approx(10 * sum(gained))
    assert found.exact == ()


def test_ranges_agree_with_the_delta_method():
    """Where churn is well known the range is the delta method's, with the covariance of churn and value."""
    c, n, v, se_c, se_v, r = 0.05, 1e6, 10.0, 0.0004, 0.05, 0.6
    found = what_if_churn(
        churn=c, customers=n, value_per_customer=v, periods=6, churn_std_error=se_c, value_std_error=se_v, correlation=r
    )
    t = np.arange(1, 7)
    span = np.sum((1 - 0.8 * c) ** t - (1 - c) ** t)
    slope = np.sum(-0.8 * t * (1 - 0.8 * c) ** (t - 1) + t * (1 - c) ** (t - 1))
    error = n * np.sqrt((v * slope * se_c) ** 2 + (span * se_v) ** 2 + 2 * r * v * slope * span * se_c * se_v)
    assert (found.money_high - found.money_low) / 2 == pytest.approx(1.959964 * error, rel=0.01)
    kept = n * abs(-0.8 * 6 * (1 - 0.8 * c) ** 5 + 6 * (1 - c) ** 5) * se_c
    assert (found.customers_high - found.customers_low) / 2 == pytest.approx(1.959964 * kept, rel=0.01)


@pytest.mark.parametrize("like", ["lost", "average"])
def test_ranges_from_data_agree_with_a_bootstrap_of_customers(like):
    rng = np.random.default_rng(3)
    rows = months(rng, 3000)
    door = {"unit": "id", "churned": "left", "value": "spend", "like": like, "customers": 1000.0, "periods": 12}
    found = what_if_churn_in(rows, **door)
    left, spend, ids = (rows[name].to_numpy() for name in ("left", "spend", "id"))
    t = np.arange(1, 13)
    draws = []
    for _ in range(1500):
        weight = np.bincount(rng.integers(0, 3000, 3000), minlength=3000)[ids]
        c = np.sum(weight * left) / weight.sum()
        whose = weight * (left if like == "lost" else 1)
        value = np.sum(whose * spend) / whose.sum()
        gained = (1 - 0.8 * c) ** t - (1 - c) ** t
        draws.append((1000 * gained[-1], 1000 * value * gained.sum()))
    ends = np.quantile(draws, [0.025, 0.975], axis=0)
    assert (found.customers_low, found.customers_high) == pytest.approx(tuple(ends[:, 0]), rel=0.02)
    assert (found.money_low, found.money_high) == pytest.approx(tuple(ends[:, 1]), rel=0.03)


def test_ranges_from_data_hold_their_level():
    rng = np.random.default_rng(4)
    big = months(rng, 300_000)
    c = big["left"].mean()
    value = big.loc[big["left"] == 1, "spend"].mean()
    t = np.arange(1, 7)
    gained = (1 - 0.8 * c) ** t - (1 - c) ** t
    held, trials = np.zeros(2), 500
    for _ in range(trials):
        found = what_if_churn_in(months(rng, 300), unit="id", churned="left", value="spend", customers=1000, periods=6)
        held += [
            found.customers_low <= 1000 * gained[-1] <= found.customers_high,
            found.money_low <= 1000 * value * gained.sum() <= found.money_high,
        ]
    low, high = stats.binom.ppf(5e-7, trials, 0.95) / trials, stats.binom.isf(5e-7, trials, 0.95) / trials
    assert np.all((held / trials >= low) & (held / trials <= high))


def test_kept_customers_like_the_lost_ones_bring_less_here():
    rows = months(np.random.default_rng(5), 2000)
    lost_like, average = (
        what_if_churn_in(rows, unit="id", churned="left", value="spend", like=like) for like in ("lost", "average")
    )
    assert lost_like.value_per_customer < average.value_per_customer
    assert lost_like.customers_kept == average.customers_kept
    assert "what lost ones brought" in " ".join(str(lost_like).split())
    assert lost_like.customers == 2000 - rows["left"].sum()


def test_rows_without_a_value_are_counted_where_it_matters():
    rows = months(np.random.default_rng(6), 500)
    gone = rows.index[rows["left"] == 1][:5]
    rows.loc[gone, "spend"] = np.nan
    rows.loc[0, "left"] = np.nan
    found = what_if_churn_in(rows, unit="id", churned="left", value="spend")
    assert dict(found.dropped) == {"without left": 1, "without spend": 5 - int(0 in gone)}


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ({"churn": 2.0}, "not a share between 0 and 1"),
        ({"churn": 0.0}, "leaves nothing to keep"),
        ({"customers": 0}, "customers cannot be kept"),
        ({"value_per_customer": 0.0}, "not above zero"),
        ({"reduction": 20}, "not a share above 0"),
        ({"churn_std_error": -1.0}, "below zero"),
        ({"correlation": 2.0}, "between -1 and 1"),
        ({"confidence_level": 95.0}, "not between 0 and 1"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(numbers, text):
    with pytest.raises(EstimationError, match=text):
        what_if_churn(**{"churn": 0.02, "customers": 100, "value_per_customer": 5.0} | numbers)


@pytest.mark.parametrize(
    ("change", "options", "error", "text"),
    [
        ({"left": 2.0}, {}, DataError, "other than 0 and 1"),
        ({"left": 1.0}, {}, DataError, "left more than once"),
        ({"left": 0.0}, {}, EstimationError, "0 customers left"),
        ({}, {"like": "best"}, DataError, "not known"),
        ({"spend": -4.0}, {}, EstimationError, "not above zero"),
        ({}, {"confidence_level": 0.0}, EstimationError, "not between 0 and 1"),
    ],
)
def test_data_that_make_no_sense_are_refused(change, options, error, text):
    rows = months(np.random.default_rng(7), 100).assign(**change)
    with pytest.raises(error, match=text):
        what_if_churn_in(rows, unit="id", churned="left", value="spend", **options)


def test_the_answer_says_what_it_takes_for_granted():
    found = what_if_churn(
        churn=0.02, customers=5000, value_per_customer=30, churn_std_error=0.0, discount=0.01, currency="EUR"
    )
    text = " ".join(str(found).split())
    assert "Taken as exact: the churn, the value per customer." in text
    assert "Later money counts 1.0% less a period." in text
    assert "an assumption, not a finding" in text
    assert "likely" not in text  # nothing was uncertain
    assert found.customers_low == found.customers_high == pytest.approx(found.customers_kept)
    assert banned_words(text) == ()
    assert max(map(len, str(found).splitlines())) <= 80
