"""What to test next, from a plain table: size, rank, answers, and what is refused."""

import html
import itertools
import math
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.evidence.next.next_tests import next_tests
from cpi_experiments.evidence.next.result import NextTests
from cpi_experiments.stats.judging.portfolio import alone_threshold
from cpi_experiments.stats.judging.sample_information import sample_information
from cpi_experiments.stats.planning.judging_power import confirm_power, refute_power

A, B, C = "quote_hours -> win_rate", "plan_options -> purchases", "first_time_resolution -> nps"


def table(**changes):
    """Two links of equal worth, one with two levers."""
    columns = {
        "link": [A, A, B], "lever": ["auto_quote", "broker_portal", "plan_chooser"], "effect": [0.003, 0.003, 0.002],
        "sd": 0.003, "break_even": 0.004, "unit_sd": 0.45, "planned_move": [10.0, 8.0, 10.0], "value": 3e7, "per_day": 160.0,
        "window_days": 28.0,
    } | changes  # fmt: skip
    return pd.DataFrame(columns)


def test_best_test_of_every_link_comes_first():
    found = next_tests(table(), currency="EUR")
    assert [(test.link, test.lever) for test in found.tests] == [(A, "auto_quote"), (B, "plan_chooser")]
    assert found.tests[0].rate > found.tests[1].rate > 0
    assert str(found).startswith("Test next quote_hours -> win_rate with auto_quote: ")


def test_row_order_never_matters():
    rows = table()
    found = [next_tests(rows.iloc[list(order)]).tests for order in itertools.permutations(range(3))]
    assert found.count(found[0]) == 6


def test_value_is_that_of_the_size_times_the_chance_that_the_lever_works():
    (test, *_) = next_tests(table(inert_chance=0.3), currency="EUR").tests
    error = 2 * 0.45 / (10 * math.sqrt(test.n))
    value = float(sample_information(0.003, 0.003, std_error=error, line=0.004, value=3e7))
    assert test.std_error == pytest.approx(error)
    assert test.value == pytest.approx(0.7 * value)
    assert test.weeks == pytest.approx(4 + test.n / 160 / 7)
    assert test.rate == pytest.approx(test.value / test.weeks)
    assert test.customer_weeks == pytest.approx(test.n * test.weeks)


@pytest.mark.parametrize("scarce", ["weeks", "customers"])
def test_no_other_size_is_worth_more_per_week(scarce):
    """Brute force over every size; the trials so far will be pooled, so that no size is needed for a verdict."""
    rows = table(estimate=0.004, std_error=0.004)
    test = next(t for t in next_tests(rows, scarce=scarce).tests if t.link == A)
    n = np.arange(200, 28_000)
    weeks = 4 + n / 160 / 7
    value = sample_information(0.003, 0.003, std_error=0.09 / np.sqrt(n), line=0.004, value=3e7)
    rate = value / (weeks if scarce == "weeks" else n * weeks)
    assert test.rate >= 0.995 * rate.max()
    assert test.n == pytest.approx(n[np.argmax(rate)], rel=0.3)


def test_test_on_its_own_can_confirm_if_that_fits():
    rows = table(effect=0.004, window_days=1.0, value=1.0, sesoi=0.004)
    (test, *_) = next_tests(rows).tests
    threshold = alone_threshold(0.10, 4)
    assert confirm_power(test.std_error, effect=0.006, sesoi=0.004, threshold=threshold) >= 0.8
    assert test.n_confirm <= test.n <= 1.1 * test.n_confirm
    hurried = next_tests(rows, most_weeks=1.5).tests[0]
    assert hurried.n < hurried.n_confirm  # it does not fit: the best that does


def test_sizes_that_settle_have_the_power_of_the_rule():
    (test, *_) = next_tests(table(), links=12).tests
    threshold = alone_threshold(0.10, 12)
    powers = []
    for n in (test.n_confirm, test.n_refute):
        error = 2 * 0.45 / (10 * math.sqrt(n))
        powers.append(
            (
                confirm_power(error, effect=0.006, sesoi=0.004, threshold=threshold),
                refute_power(error, sesoi=0.004, threshold=threshold),
            )
        )
    assert powers[0][0] == pytest.approx(0.8, abs=0.001)
    assert powers[1][1] == pytest.approx(0.8, abs=0.001)


@pytest.mark.parametrize("so_far", [{}, {"estimate": 0.0045, "std_error": 0.0025}])
def test_chances_are_those_of_simulated_tests(so_far):
    """Draw the truth and the test; confirm, refute and act as the rule says; pooled with what there is."""
    rows = table(effect=0.0035, window_days=100.0, **so_far)
    test = next(t for t in next_tests(rows, most_weeks=60).tests if t.link == A)
    rng = np.random.default_rng(9)
    result = rng.normal(rng.normal(0.0035, 0.003, 400_000), test.std_error)
    old = so_far.get("std_error", math.inf) ** -2
    new = test.std_error**-2
    pooled, error = (so_far.get("estimate", 0.0) * old + result * new) / (old + new), (old + new) ** -0.5
    z = 2.394  # one in 120: the threshold of four slots
    confirmed = (
        (pooled > z * error)
        & (pooled * 0.004**2 / (0.004**2 + error**2) > 0.004)
        & (1 - 1.959964 * error / np.abs(pooled) > 0.1)
    )
    refuted = np.abs(pooled) < 0.004 - z * error
    acts = (0.0035 / 0.003**2 + result * new) / (0.003**-2 + new) > 0.004
    assert test.chance_confirm == pytest.approx(confirmed.mean(), abs=0.003)
    assert test.chance_refute == pytest.approx(refuted.mean(), abs=0.003)
    assert test.chance_act == pytest.approx(acts.mean(), abs=0.003)
    assert 0 < test.chance_refute < 1
    assert np.array_equal(acts, result > test.decide_at)
    assert np.mean(confirmed == (result > test.confirm_at)) > 0.9999


def test_larger_effects_at_stake_and_faster_enrolment_move_a_test_up():
    base = table(lever=["a", "b", "c"], link=[A, B, C], planned_move=10.0, effect=0.003)
    for name, better in (("value", 9e7), ("planned_move", 20.0), ("per_day", 400.0), ("sd", 0.004), ("effect", 0.0038)):
        changed = base.astype({name: float})
        changed.loc[2, name] = better
        assert next_tests(changed).tests[0].link == C, name


def test_at_ties_a_new_lever_on_a_link_of_grade_b_goes_first():
    rows = table(link=[A, B, C], lever=["a", "b", "c"], planned_move=10.0, effect=0.003, value=[3.1e7, 3e7, 2.6e7])
    order = [test.link for test in next_tests(rows).tests]
    assert order == [A, B, C]
    tied = rows.assign(grade=["B", "B", "B"], new_lever=[0, 1, 1])
    assert [test.link for test in next_tests(tied).tests] == [B, A, C]  # 3 % behind is a tie, 15 % is not
    assert [test.link for test in next_tests(tied.assign(grade=["", "C", "A"])).tests] == [A, B, C]


def test_cost_of_a_lever_is_taken_off_and_must_be_earned():
    rows = table(cost=[5_000.0, 0.0, 1e9])
    found = next_tests(rows, currency="EUR")
    free = next_tests(table(), currency="EUR")
    assert [(test.lever, test.lever_cost) for test in found.tests] == [("broker_portal", 0.0)]
    assert found.tests[0].rate < free.tests[0].rate
    assert found.left_out == (
        (B, f"knowing more is worth {_words(free, 1)} EUR, less than the 1bn that plan_chooser costs."),
    )
    paid = next_tests(table(cost=[500.0, 0.0, 0.0]), currency="EUR").tests[0]
    assert (paid.lever, paid.rate) == ("auto_quote", pytest.approx((paid.value - 500) / paid.weeks))
    assert "The lever costs 500 first." in paid.answers


def _words(found, i):
    from cpi_experiments.evidence.next.words import amount

    return amount(found.tests[i].value)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"effect": 0.04}, "we would act on it whatever a test of "),
        ({"effect": -0.04}, "we would leave it whatever a test of "),
        ({"inert_chance": 0.95}, "auto_quote does not move the CPI: another lever is needed."),
        ({"per_day": 0.5}, "only 77 customers in 26 weeks, and a test needs 200."),
        ({"population": 150.0}, "only 150 customers in 26 weeks"),
        ({"window_days": 200.0}, "the KPI window alone takes 28.57 weeks, and no test may last longer than 26: raise"),
        ({"window_days": 182.0}, "the KPI window alone takes 26 weeks, and no test may last longer than 26: raise"),
        (
            {"window_days": 200.0, "inert_chance": 0.95},
            "auto_quote does not move the CPI: another lever is needed. Also: the KPI window alone",
        ),
        ({"window_days": 200.0, "effect": 0.04}, "we would act on it whatever a test of "),
        (
            {"per_day": 0.5, "inert_chance": 0.95},
            "only 77 customers in 26 weeks, and a test needs 200. Also: broker_portal does not move",
        ),
        ({"value": 0.0, "cost": 1.0}, "no value was given to this link (its value is 0): say what it is worth."),
        ({"value": 0.0}, "no value was given to this link (its value is 0): say what it is worth."),
        ({"value": 1.0, "cost": 1.0}, "EUR, less than the 1 that auto_quote costs."),
    ],
)
def test_links_that_need_no_test_are_named_with_the_reason(changes, why):
    found = next_tests(table(**changes), currency="EUR")
    assert found.tests == ()
    assert [link for link, _ in found.left_out] == [A, B]
    assert why in found.left_out[0][1]
    assert str(found).startswith("No link needs a test that could be run now.\n\nNot now:\n  quote_hours -> win_rate: ")
    assert found.to_frame().empty


def test_grade_only_tests_are_called_that():
    found = next_tests(table(effect=0.04, grade="B", new_lever=1))
    assert found.left_out[0][1].endswith("A new lever would only lift its grade.")


def test_without_money_values_count_steps_of_break_even_size():
    plain = next_tests(table().drop(columns="value"))
    priced = next_tests(table(value=1 / 0.004))
    assert [test.value for test in plain.tests] == pytest.approx([test.value for test in priced.tests])
    assert plain.notes == ("No money is declared: values count steps of break-even size that each customer gains.",)
    assert "SESOI steps" in str(plain).splitlines()[1]
    parts = table().drop(columns="value").assign(worth=300.0, steps=2.0, customers=5e4)
    assert next_tests(parts).tests == next_tests(table(value=3e7)).tests


def test_without_a_pace_tests_are_ranked_by_customers():
    found = next_tests(table().drop(columns="per_day"))
    assert found.scarce == "customers"
    assert found.notes[0].startswith("Nobody said how many customers enter a day")
    assert all(math.isnan(test.weeks) for test in found.tests)
    assert found.tests[0].n >= found.tests[0].n_confirm
    assert "per 1000" in str(found)
    assert len(next_tests(table().drop(columns=["per_day", "window_days"])).tests) == 2


def test_answers_say_what_we_would_do_with_the_numbers_at_which_we_would():
    rows = table(unit="EUR", inert_chance=0.4, effect=[0.005, 0.005, 0.002], confirmed=[1, 1, 0])
    act, leave = next_tests(rows).tests
    if not act.confirmed:
        act, leave = leave, act
    assert "keep scaling it" in act.answers
    for test, below in ((act, "stop spending on it"), (leave, "leave it, spend nothing on it")):
        assert below in test.answers
        assert f"{test.decide_at:+.4f} EUR per step or more (chance " in test.answers
        assert f"Confirmed from {test.confirm_at:+.4f}" in test.answers
        assert "may not move the CPI at all (chance 40%)" in test.answers
        assert f"{test.n_refute:,} to refute a link without effect" in test.answers
        assert str(test).startswith(f"{test.link} with {test.lever}: {test.n:,} customers in ")


def test_no_link_that_is_not_confirmed_is_said_to_be_acted_on_today():
    for test in next_tests(table(effect=0.005)).tests:
        assert test.acts_today  # by its numbers alone
        assert "today" not in str(test)
        assert ": scale it. Less: leave it, spend nothing on it." in test.answers


@pytest.mark.parametrize(
    ("columns", "currency", "title", "legend"),
    [
        ([], "EUR", "is worth 19k EUR.", "value: what the answer is worth, in EUR; a week: that per week of the test."),
        (
            [],
            "",
            "is worth 19k (in the unit of `value`).",
            "in the unit of `value`; a week: that per week of the test.",
        ),
        (["value"], "EUR", "is worth 0.16 SESOI steps.", "value: what the answer is worth, in SESOI steps; a week:"),
        (["per_day"], "EUR", "is worth", "in EUR; per 1000: that per 1,000 customers x weeks of the test."),
        (["per_day", "window_days"], "EUR", "is worth", "in EUR; per 1000: that per 1,000 customers of the test."),
    ],
)
def test_values_are_told_with_their_unit(columns, currency, title, legend):
    found = next_tests(table().drop(columns=columns), currency=currency)
    text = " ".join(str(found).split())
    assert title in text
    assert legend in text
    assert ("SESOI steps" in text) == ("value" in columns)
    assert html.escape(legend) in found._repr_html_()


def test_costs_are_told_to_be_taken_off():
    text = " ".join(str(next_tests(table(cost=500.0), currency="EUR", scarce="customers")).split())
    assert "per 1000: that, less the cost of the lever, per 1,000 customers x weeks of the test." in text


def test_refutation_is_told_where_the_size_allows_it():
    small = next_tests(table(), scarce="customers").tests[0]
    large = next_tests(table(window_days=1500.0), most_weeks=400).tests[0]
    assert "cannot be refuted by so few" in small.answers
    assert math.isnan(small.refute_at)
    assert small.chance_refute == 0
    assert f"refuted below {large.refute_at:+.4f}" in large.answers
    assert "Power 0.8" not in large.answers


@pytest.mark.parametrize("columns", [["value"], ["per_day"], []])
def test_result_prints_well(columns):
    rows = table(link=[A, "a_rather_long_name_of_an_outcome -> another_rather_long_name", "<b> -> c\nd"]).drop(
        columns=columns
    )
    found = next_tests(rows.assign(lever=["auto_quote", "a_lever_with_quite_a_long_name_too", "x"]))
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(found.tests) == 3
    assert found.to_frame()["rank"].tolist() == [1, 2, 3]
    assert found.to_dict()["tests"][0]["n"] == found.tests[0].n
    page = found._repr_html_()
    assert page.startswith("<p>Test next ")
    assert "<b>" not in page
    assert html.escape(found.tests[0].answers) in page
    assert NextTests(tests=())._repr_html_() == "<p>No link needs a test that could be run now.</p>"


def test_table_may_be_a_file(tmp_path):
    table(std_error=[0.01, math.nan, 0.01], estimate=0.0).to_csv(tmp_path / "t.csv", index=False)
    assert repr(next_tests(tmp_path / "t.csv")) == repr(
        next_tests(table(std_error=[0.01, math.inf, 0.01], estimate=0.0))
    )
    assert repr(next_tests(table(std_error=math.inf, estimate=0.0))) == repr(next_tests(table()))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"link": ["", A, B]}, "a link or lever without a name"),
        ({"lever": [None, "a", "b"]}, "a link or lever without a name"),
        ({"lever": ["a", "a", "b"]}, "with lever 'a' appears 2 times"),
        ({"effect": [math.nan, 0.1, 0.1]}, "lever 'auto_quote': effect missing"),
        ({"sd": 0.0}, "sd is 0"),
        ({"unit_sd": -1.0}, "unit_sd is -1"),
        ({"planned_move": 0.0}, "planned_move is 0"),
        ({"per_day": -5.0}, "per_day is -5"),
        ({"per_day": [math.nan, 10.0, 10.0]}, "per_day is missing in 1 of 3 rows"),
        ({"window_days": -1.0}, "window_days is -1"),
        ({"cost": -1.0}, "cost is -1"),
        ({"value": [math.nan, 1.0, 1.0]}, "value missing"),
        ({"inert_chance": 1.5}, "inert_chance is 1.5"),
        ({"new_lever": 2}, "new_lever is 2"),
        ({"confirmed": -1}, "confirmed is -1"),
        ({"grade": "Z"}, "grade 'Z' is not known"),
        ({"break_even": -0.1}, "break_even is -0.1 and there is no sesoi"),
        ({"estimate": 0.1}, "of the columns estimate and std_error only one is given"),
        ({"estimate": [0.1, math.nan, 0.1], "std_error": 0.1}, "there is a std_error, but no estimate"),
        ({"worth": 3.0}, "column value stands beside worth"),
        ({"effect": ["a", "b", "c"]}, "effect"),
    ],
)
def test_bad_tables_are_refused_with_what_to_do(changes, said):
    with pytest.raises(DataError, match=said) as caught:
        next_tests(table(**changes))
    assert caught.value.advice


def test_missing_columns_and_costs_without_values_are_refused():
    with pytest.raises(DataError, match="unit_sd"):
        next_tests(table().drop(columns="unit_sd"))
    with pytest.raises(DataError, match="column steps, customers is missing"):
        next_tests(table().drop(columns="value").assign(worth=3.0))
    with pytest.raises(DataError, match="there is a cost, but no value"):
        next_tests(table(cost=5.0).drop(columns="value"))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"scarce": "money"}, "scarce 'money' is not known"),
        ({"most_weeks": 0.0}, "most_weeks 0"),
        ({"most_weeks": math.nan}, "most_weeks nan"),
        ({"fdr": 1.0}, "fdr 1"),
        ({"most_weeks": "a"}, "most_weeks 'a' is not above 0 and at most 520"),
        ({"most_weeks": None}, "most_weeks None is not above 0"),
        ({"most_weeks": True}, "most_weeks True is not above 0"),
        ({"fdr": "a"}, "fdr 'a' is not between 0 and 1"),
        ({"currency": 5}, "currency 5 is an int"),
        ({"links": 1}, "2 links do not fit a portfolio of 1"),
        ({"links": "a"}, "links 'a' is no whole number"),
        ({"links": 2.5}, "links 2.5 is no whole number"),
    ],
)
def test_options_outside_their_range_are_refused(option, said):
    with pytest.raises(DesignError, match=said) as caught:
        next_tests(table(), **option)
    assert caught.value.advice


def test_break_even_may_differ_from_what_the_verdict_asks():
    found = next_tests(table(break_even=-0.001, sesoi=0.004)).tests[0]
    assert found.acts_today
    assert found.confirm_at > 0.004
    assert found.decide_at < 0.004


sizes = st.floats(1e-6, 1e6)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    effect=st.floats(-1e6, 1e6), sd=sizes, line=st.floats(-1e6, 1e6), sesoi=sizes, unit_sd=sizes, move=sizes, pace=sizes,
    inert=st.floats(0, 1), error=sizes, scarce=st.sampled_from(["weeks", "customers"]),
)  # fmt: skip
def test_any_numbers_give_an_answer_that_fits(*, effect, sd, line, sesoi, unit_sd, move, pace, inert, error, scarce):
    rows = pd.DataFrame(
        {
            "link": ["a -> b"], "lever": ["c"], "effect": effect, "sd": sd, "break_even": line, "sesoi": sesoi,
            "unit_sd": unit_sd, "planned_move": move, "per_day": pace, "inert_chance": inert, "estimate": effect,
            "std_error": error, "window_days": 7.0, "value": 1e6,
        }
    )  # fmt: skip
    found = next_tests(rows, scarce=scarce)
    assert len(found.tests) + len(found.left_out) == 1
    assert max(map(len, str(found).splitlines())) <= 80
    for test in found.tests:
        assert 200 <= test.n <= pace * (26 * 7 - 7)
        assert test.weeks <= 26
        assert 0 <= test.chance_refute + test.chance_confirm <= 1 + 1e-9
        assert (
            0 <= test.value <= float(sample_information(effect, sd, std_error=0.0, line=line, value=1e6)) * (1 + 1e-9)
        )


def test_hundreds_of_links_are_ranked_in_a_moment():
    rng = np.random.default_rng(2)
    many = pd.DataFrame(
        {
            "link": [f"cpi{i // 3} -> kpi" for i in range(1500)], "lever": [f"lever{i % 3}" for i in range(1500)],
            "effect": rng.normal(0, 0.004, 1500), "sd": 0.003, "break_even": 0.004, "unit_sd": 0.4, "planned_move": 5.0,
            "value": rng.uniform(1e5, 1e7, 1500), "per_day": 100.0, "window_days": 28.0,
        }
    )  # fmt: skip
    began = time.process_time()
    found = next_tests(many)
    assert time.process_time() - began < 5
    assert len({test.link for test in found.tests}) == len(found.tests) > 300
    rates = [test.rate for test in found.tests]
    assert rates == sorted(rates, reverse=True)
