"""The plain door: every row of the decision table, the laws of judging, and tables that cannot be judged."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import special

from cpi_experiments.errors import CpiError, DataError, EstimationError
from cpi_experiments.evidence.judge import judge_cases, judge_links
from cpi_experiments.stats.instruments.fieller import fieller_set
from cpi_experiments.stats.judging.portfolio import alone_threshold

NAN, INF = math.nan, math.inf
COLUMNS = [
    "link", "verdict", "cause", "grade", "effect", "effect_shrunken", "ci_low", "ci_high", "p_value", "e_value", "general",
    "at_risk", "since", "reasons",
]  # fmt: skip
BASE = {
    "link": "quote -> win", "experiment": "E1", "lever": "L1", "effect_cpi": 10.0, "effect_kpi": 20.0, "var_cpi": 0.01,
    "var_kpi": 9.0, "cov": 0.0, "sesoi": 1.0, "expected_sign": 1,
}  # fmt: skip
SECOND = {"experiment": "E2", "lever": "L2"}


def table(*rows):
    return pd.DataFrame([{**BASE, **row} for row in rows])


def strong(n):
    """Links beyond doubt, which loosen what the portfolio asks of the others."""
    return [{"link": f"strong {i}", "effect_kpi": 90.0} for i in range(n)]


def judged(*rows, **options):
    return judge_links(table(*rows), **options).set_index("link").loc["quote -> win"]


DECISIONS = {
    # rows of the link, verdict, cause, grade, a piece of the reasons
    "confirmed, one trial": ([{}], "confirmed", "", "B", "at most 71% of the lift bypasses"),
    "confirmed, one lever twice": ([{}, {"experiment": "E2"}], "confirmed", "", "B", "Trials: 2, levers: 1"),
    "confirmed, two levers": (
        [{"effect_kpi": 14}, {**SECOND, "effect_kpi": 14}], "confirmed", "", "A", "Trials: 2, levers: 2"),
    "confirmed, material": ([{}, SECOND], "confirmed", "", "A+", "at least the 1 that is worth acting on"),
    "confirmed, lower is expected": ([{"effect_kpi": -20, "expected_sign": -1}], "confirmed", "", "B", "-2.00"),
    "confirmed, lever lowers the CPI": (
        [{"effect_cpi": -10, "effect_kpi": -20, "lever_sign": -1}], "confirmed", "", "B", "+2.00"),
    "refuted, harmful": ([{"effect_kpi": -30}], "refuted", "harmful", "B", "the wrong way: -3.00"),
    "refuted, harmful twice": ([{"effect_kpi": -30}, {**SECOND, "effect_kpi": -30}], "refuted", "harmful", "A", "the wrong way"),
    "refuted, too small": (
        [{"effect_kpi": 0.5, "var_kpi": 1}], "refuted", "no material effect", "B", "smaller than 1 per step"),
    "refuted, too small twice": (
        [{"effect_kpi": 0.5, "var_kpi": 1}, {**SECOND, "effect_kpi": -0.5, "var_kpi": 1}],
        "refuted", "no material effect", "A", "which we said beforehand"),
    "refuted, too small though its sign is proven": (
        [{"effect_kpi": 4, "var_kpi": 1}], "refuted", "no material effect", "B", "+0.40"),
    "heterogeneous": ([{}, {**SECOND, "effect_kpi": 50}], "inconclusive", "heterogeneous", "A", "The trials differ by more than chance"),
    "heterogeneous, no direction": (
        [{}, {**SECOND, "effect_kpi": -20}], "inconclusive", "heterogeneous", "C", "The trials differ by more than chance"),
    "bundle": ([{"bundle": "ftr"}], "inconclusive", "bundle", "B", "L1 also moves ftr."),
    "bundle, harmful": ([{"effect_kpi": -30, "bundle": "ftr"}], "inconclusive", "bundle", "B", "L1 also moves ftr."),
    "inert lever": ([{"effect_cpi": 0.1, "planned_move": 10}], "inconclusive", "lever inert", "", "-0.06 to +0.26 steps"),
    "lever not shown to move": (
        [{"effect_cpi": 1, "var_cpi": 1}], "inconclusive", "lever not shown to move the CPI", "B", "-0.6 to +2.6 steps"),
    "lever the wrong way": (
        [{"effect_cpi": -10}], "inconclusive", "lever moved the CPI the wrong way", "", "against its declared sign"),
    "one of two levers inert": (
        [{}, {**SECOND, "effect_cpi": 0.1, "effect_kpi": 0, "planned_move": 10}],
        "confirmed", "", "B", "E2: L2 did not move the CPI"),
    "real but small": (
        [{"effect_kpi": 8, "var_kpi": 1}], "inconclusive", "real but small so far", "B", "shrinkage the effect is +0.79"),
    "fragile": (
        [{"effect_kpi": 21, "var_kpi": 100}, *strong(3)], "inconclusive", "fragile to a direct path", "C",
        "if more than 7% of the lift bypassed"),
    "underpowered": ([{"effect_kpi": 10, "var_kpi": 50}], "inconclusive", "underpowered", "C", "times as many customers"),
    "underpowered, weak lever": (
        [{"effect_cpi": 0.4, "var_cpi": 0.04, "effect_kpi": 0.1}], "inconclusive", "underpowered", "C", "times as many customers"),
    "blocked, no covariance": ([{"cov": NAN}], "blocked", "", "", "E1: cov missing"),
    "blocked, no effect": ([{"effect_kpi": NAN, "var_kpi": NAN}], "blocked", "", "", "effect_kpi, var_kpi missing"),
    "blocked, said so": ([{"blocked": "sample ratio p = 2e-16"}], "blocked", "", "", "E1: sample ratio p = 2e-16"),
    "blocked, constant KPI": ([{"var_kpi": 0.0}], "blocked", "", "", "the KPI has no variance"),
    "blocked, KPI made from the CPI": ([{"var_cpi": 1.0, "cov": 3.0}], "blocked", "", "", "computed from the other"),
    "blocked, one of two trials": ([{}, {**SECOND, "cov": NAN}], "blocked", "", "", "E2: cov missing"),
    "overlapping trials": (
        [{"overlaps": "E2"}, {**SECOND, "var_kpi": 16.0}], "confirmed", "", "B", "E2 is not counted: it shares customers with E1"),
    "overlap told by the other": (
        [{}, {**SECOND, "var_kpi": 4.0, "overlaps": "E1"}], "confirmed", "", "B", "E1 is not counted: it shares customers with E2"),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "verdict", "cause", "grade", "text"), DECISIONS.values(), ids=DECISIONS)
def test_every_row_of_the_decision_table(rows, verdict, cause, grade, text):
    found = judged(*rows)
    assert (found.verdict, found.cause, found.grade) == (verdict, cause, grade)
    assert text in found.reasons
    assert "nan" not in found.reasons
    assert "{" not in found.reasons


def test_answer_has_the_promised_columns_one_row_per_link_in_order():
    found = judge_links(table({"link": "z"}, {"link": "a"}, {"link": "z", **SECOND}))
    assert list(found.columns) == COLUMNS
    assert found["link"].tolist() == ["z", "a"]


def test_empty_table_gives_an_empty_answer_with_its_columns():
    """E03."""
    found = judge_links(table({}).iloc[:0])
    assert found.empty
    assert list(found.columns) == COLUMNS
    assert judge_cases([]) == ()


def test_a_file_is_judged_like_the_frame(tmp_path):
    rows = table({}, {**SECOND, "cov": NAN}, {"link": "other"})
    rows.to_csv(tmp_path / "effects.csv", index=False)
    pd.testing.assert_frame_equal(judge_links(tmp_path / "effects.csv"), judge_links(rows))


def test_optional_columns_left_empty_mean_their_defaults():
    full = {"lever_sign": 1, "planned_move": 1, "df": INF, "looks": "single", "looked_at": "2026-10-01", "blocked": "",
            "overlaps": "", "bundle": ""}  # fmt: skip
    empty = dict.fromkeys(full, None) | dict.fromkeys(("lever_sign", "planned_move", "df"), NAN)
    for given_columns in (full, empty):
        found, plain = judge_links(table(given_columns)), judge_links(table({}))
        pd.testing.assert_frame_equal(found.drop(columns="since"), plain.drop(columns="since"))
        assert found["since"].item() == (given_columns["looked_at"] or "")


# -- laws --------------------------------------------------------------------------------------------------------------

normal = st.floats(-4, 4).map(lambda value: round(value, 6))


@st.composite
def effect_tables(draw):
    """Links with one to three experiments: strong and weak levers, both signs, correlated noise."""
    rows = []
    for i in range(draw(st.integers(1, 4))):
        sesoi = draw(st.sampled_from([0.2, 1.0]))
        sign = draw(st.sampled_from([-1, 1]))
        slope = draw(st.sampled_from([-1.5, 0.0, 0.3, 1.5])) * sesoi
        for j in range(draw(st.integers(1, 3))):
            strength, error = draw(st.sampled_from([1.0, 5.0, 40.0])), draw(st.sampled_from([0.2, 1.0])) * sesoi
            move = strength + draw(normal)
            rho = draw(st.sampled_from([-0.8, 0.0, 0.5]))
            sd = error * strength
            rows.append(
                {"link": f"l{i}", "experiment": f"E{j}", "lever": f"L{draw(st.integers(0, 1))}", "effect_cpi": move,
                 "effect_kpi": sign * slope * move + sd * draw(normal), "var_cpi": 1.0, "var_kpi": sd**2, "cov": rho * sd,
                 "sesoi": sesoi, "expected_sign": sign, "planned_move": strength}
            )  # fmt: skip
    return pd.DataFrame(rows)


laws = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NUMBERS = ["effect", "effect_shrunken", "ci_low", "ci_high"]


def same(one, other, *, factor=1.0):
    assert one[["link", "verdict", "cause", "grade"]].equals(other[["link", "verdict", "cause", "grade"]])
    ends = other[NUMBERS].to_numpy() / factor
    ends = ends if factor > 0 else ends[:, [0, 1, 3, 2]]
    scale = np.nanmax(np.where(np.isfinite(ends), np.abs(ends), 0), initial=1e-9)
    np.testing.assert_allclose(one[NUMBERS].to_numpy(), ends, rtol=1e-5, atol=1e-6 * scale)
    np.testing.assert_allclose(one["p_value"], other["p_value"], rtol=1e-6, atol=1e-12)


@laws
@given(data=effect_tables(), seed=st.integers(0, 99))
def test_order_of_rows_never_matters(data, seed):
    found = judge_links(data).sort_values("link", ignore_index=True)
    shuffled = data.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(found, judge_links(shuffled).sort_values("link", ignore_index=True), check_exact=True)


@laws
@given(data=effect_tables(), factor=st.sampled_from([1e-3, 7.0, 1e6]))
def test_unit_change_of_kpi_rescales(data, factor):
    other = data.assign(
        effect_kpi=data.effect_kpi * factor, var_kpi=data.var_kpi * factor**2, cov=data["cov"] * factor,
        sesoi=data.sesoi * factor,
    )  # fmt: skip
    same(judge_links(data), judge_links(other), factor=factor)


@laws
@given(data=effect_tables(), factor=st.sampled_from([1e-3, 60.0]))
def test_unit_change_of_the_customer_step_rescales(data, factor):
    other = data.assign(
        effect_cpi=data.effect_cpi * factor, var_cpi=data.var_cpi * factor**2, cov=data["cov"] * factor,
        planned_move=data.planned_move * factor, sesoi=data.sesoi / factor,
    )  # fmt: skip
    same(judge_links(data), judge_links(other), factor=1 / factor)


@laws
@given(data=effect_tables())
def test_flipping_kpi_sign_and_expected_sign_changes_nothing(data):
    other = data.assign(effect_kpi=-data.effect_kpi, cov=-data["cov"], expected_sign=-data.expected_sign)
    same(judge_links(data), judge_links(other), factor=-1.0)


@laws
@given(data=effect_tables())
def test_swapping_the_arms_and_the_declared_sign_of_the_lever_changes_nothing(data):
    other = data.assign(effect_cpi=-data.effect_cpi, effect_kpi=-data.effect_kpi, lever_sign=-1)
    same(judge_links(data), judge_links(other))


@settings(deadline=None, max_examples=150)
@given(
    effect=st.floats(-15, 15), error=st.floats(0.2, 6), rho=st.sampled_from([-0.7, 0, 0.7]), strength=st.sampled_from([5, 100])
)  # fmt: skip
def test_refuted_needs_interval_inside_sesoi(effect, error, rho, strength):
    """Too small to matter = the Anderson-Rubin set at the family's own level lies within the SESOI on both sides."""
    sd = 10 / strength
    row = {"effect_kpi": effect, "var_cpi": sd**2, "var_kpi": error**2, "cov": rho * sd * error}
    found = judged(row)
    level = -special.ndtri(alone_threshold(0.10, 4))
    pieces = fieller_set(10, effect, var_x=sd**2, var_y=error**2, cov=row["cov"], critical=level)
    inside = len(pieces) == 1 and pieces[0][0] > -1 and pieces[0][1] < 1
    assert (found.verdict == "refuted" and found.cause != "harmful") <= inside
    assert inside <= (found.verdict == "refuted")  # and all the more at 95%


@laws
@given(effect=st.floats(-40, 40), error=st.floats(0.3, 30))
def test_not_significant_is_never_refuted(effect, error):
    """E08: An interval that holds zero and the SESOI stays open, whatever its p-value."""
    found = judged({"effect_kpi": effect, "var_kpi": error**2})
    assume(found.ci_low < 0 < found.ci_high)
    if found.ci_high >= 1:
        assert found.verdict != "refuted"
    if found.verdict == "refuted":
        assert -1 < found.ci_low < found.ci_high < 1


@pytest.mark.parametrize("error", [5.0, 10.0, 50.0])
def test_calling_every_open_link_refuted_would_be_seen(error):
    """Planted fault: refuted := p > .05."""
    found = judged({"effect_kpi": 0.0, "var_kpi": error**2})
    assert found.p_value > 0.05
    assert found.verdict == "inconclusive"


def test_nan_cov_is_never_zero():
    """E01."""
    for others in ([], [SECOND], [{**SECOND, "overlaps": "E1"}], [{**SECOND, "var_kpi": 1.0, "overlaps": "E1"}]):
        assert judged({"cov": NAN}, *others).verdict == "blocked"
    assert judged({"cov": 0.0}).verdict == "confirmed"


def test_blocked_links_stay_in_the_family():
    """E01: Dropping what is blocked would judge one link of one instead of one of forty."""
    edge = {"effect_kpi": 30 * 0.26, "sesoi": 0.3}  # z = 2.6: enough among four links, not among forty
    assert judged(edge).verdict == "confirmed"
    dead = [{"link": f"b{i}", "cov": NAN} for i in range(39)]
    found = judge_links(table(edge, *dead)).set_index("link")
    assert found.loc["quote -> win"].verdict == "inconclusive"
    assert (found.drop("quote -> win").verdict == "blocked").all()
    assert (found.drop("quote -> win").p_value == 1).all()


def test_dormant_links_and_declared_slots_count_alike():
    """E04."""
    edge = {"effect_kpi": 30 * 0.26, "sesoi": 0.3}
    dormant = [{"link": f"d{i}", "effect_cpi": 0.0, "planned_move": 10} for i in range(39)]
    assert judged(edge, *dormant).verdict == judged(edge, slots=40).verdict == "inconclusive"
    assert judged(edge, slots=4).verdict == judged(edge, slots=1).verdict == "confirmed"


def test_a_link_cannot_be_judged_alone_at_the_full_rate():
    """Cut into pieces of one link, the portfolio gains nothing: z = 2.3 would pass a threshold of .10 / 3."""
    assert judged({"effect_kpi": 30 * 0.23, "sesoi": 0.3}).verdict == "inconclusive"


def test_verdict_never_latches():
    first = judged({})
    assert first.verdict == "confirmed"
    later = judged({}, {**SECOND, "effect_kpi": -4})
    assert later.verdict == "inconclusive"
    assert (
        judged({"effect_kpi": 0.5, "var_kpi": 1}, {**SECOND, "effect_kpi": 14, "var_kpi": 1}).verdict == "inconclusive"
    )


def test_other_links_never_change_numbers_but_only_thresholds():
    alone = judged({})
    among = judged({}, *strong(5), {"link": "b", "cov": NAN})
    assert alone[NUMBERS].tolist() == among[NUMBERS].tolist()


def test_a_weak_first_stage_is_not_gated_but_judged():
    found = judged({"effect_cpi": 2.2, "var_cpi": 1.0, "effect_kpi": 20, "sesoi": 0.5})
    assert math.isinf(found.ci_high) or found.ci_high > 50
    assert found.verdict == "inconclusive"  # the sign is sure, the size is anybody's guess


def test_few_degrees_of_freedom_ask_for_more():
    edge = {"effect_kpi": 30 * 0.27, "sesoi": 0.3}
    assert judged(edge).verdict == "confirmed"
    assert judged({**edge, "df": 8.0}).verdict == "inconclusive"
    assert judged({**edge, "df": 8.0}).p_value > judged(edge).p_value


def test_trials_that_do_not_count_push_no_overlapping_trial_out():
    found = judged({"blocked": "", "var_kpi": 9}, {**SECOND, "var_kpi": 1, "blocked": "lost log", "overlaps": "E1"})
    assert found.verdict == "blocked"
    assert "E1 is not counted" not in found.reasons


def test_overlaps_with_experiments_of_other_links_are_allowed():
    found = judge_links(table({"overlaps": "E2"}, {"link": "other", **SECOND, "overlaps": "E1"}))
    assert found.verdict.tolist() == ["confirmed", "confirmed"]


# -- tables that cannot be judged --------------------------------------------------------------------------------------

BAD = {
    "column missing": (lambda t: t.rename(columns={"effect_kpi": "efect_kpi"}), "column 'effect_kpi' is missing",
                       "Did you mean 'efect_kpi'"),
    "cov missing": (lambda t: t.drop(columns="cov"), "column 'cov' is missing", "Columns: link"),
    "column twice": (lambda t: pd.concat([t, t[["cov"]]], axis=1), "occurs twice", "Rename"),
    "experiment twice": (lambda t: pd.concat([t, t]), "experiment 'E1' appears 2 times", "one row per link and experiment"),
    "sesoi zero": (lambda t: t.assign(sesoi=0), "sesoi is 0.0", "above zero"),
    "sesoi negative": (lambda t: t.assign(sesoi=-1), "sesoi is -1.0", "above zero"),
    "sesoi missing": (lambda t: t.assign(sesoi=NAN), "sesoi is nan", "above zero"),
    "sesoi differs": (lambda t: pd.concat([t, t.assign(experiment="E2", sesoi=2.0)]), "sesoi differs between rows", "quote"),
    "sign two": (lambda t: t.assign(expected_sign=2), "expected_sign is 2.0", "Give +1 or -1"),
    "sign missing": (lambda t: t.assign(expected_sign=NAN), "expected_sign is nan", "Give +1 or -1"),
    "sign differs": (lambda t: pd.concat([t, t.assign(experiment="E2", expected_sign=-1)]), "expected_sign differs", "[-1.0, 1.0]"),
    "lever sign zero": (lambda t: t.assign(lever_sign=0), "lever_sign is 0.0", "Give +1 or -1"),
    "planned move zero": (lambda t: t.assign(planned_move=0), "planned_move is 0.0", "above zero"),
    "text numbers": (lambda t: t.assign(effect_kpi="20,5"), "column 'effect_kpi' is text", "decimal comma"),
    "infinite effect": (lambda t: t.assign(effect_kpi=INF), "column 'effect_kpi' holds 1 infinite", "divisions by zero"),
    "negative variance": (lambda t: t.assign(var_kpi=-1.0), "a variance is negative", "sampling variances"),
    "covariance beyond the variances": (lambda t: t.assign(cov=1.0), "covariance 1 is impossible", "a standard error is not"),
    "covariance without variance": (lambda t: t.assign(var_cpi=0.0, cov=0.1), "covariance 0.1 is impossible", "variance"),
    "df zero": (lambda t: t.assign(df=0), "df is 0.0", "above zero"),
    "df text": (lambda t: t.assign(df="many"), "column 'df' is text", "A number"),
    "df minus infinity": (lambda t: t.assign(df=-INF), "column 'df' holds 1 infinite", "divisions"),
    "looks unknown": (lambda t: t.assign(looks="singel"), "looks 'singel' are not known", "Did you mean 'single'"),
    "looks many": (lambda t: t.assign(looks="weekly"), "looks 'weekly' are not known", "single"),
    "link without a name": (lambda t: t.assign(link=""), "without a name", "Name all three"),
    "experiment without a name": (lambda t: t.assign(experiment=None), "without a name", "Name all three"),
    "lever without a name": (lambda t: t.assign(lever=" "), "without a name", "Name all three"),
    "overlap misspelt": (lambda t: pd.concat([t, t.assign(experiment="E2", overlaps="E11")]),
                         "overlaps with experiment 'E11', which is not in the table", "Did you mean 'E1'"),
    "not a table": (lambda t: t["link"].tolist(), "a list is not a table", "DataFrame"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "found", "advice"), BAD.values(), ids=BAD)
def test_table_that_cannot_be_judged_says_what_and_where(spoil, found, advice):
    with pytest.raises(DataError) as caught:
        judge_links(spoil(table({})))
    assert found in str(caught.value)
    assert advice in str(caught.value)


@pytest.mark.parametrize("fdr", [5, 0, -0.1, 1, NAN])
def test_rate_that_is_no_share_is_refused(fdr):
    with pytest.raises(EstimationError, match="is not between 0 and 1"):
        judge_links(table({}), fdr=fdr)


def test_more_links_than_slots_are_refused():
    with pytest.raises(CpiError, match="slots is 5 for 6 links"):
        judge_links(table(*({"link": str(i)} for i in range(6))), slots=5)


def test_a_stricter_rate_never_confirms_more():
    rows = [
        {"link": f"l{i}", "effect_kpi": 30 * z / 10, "sesoi": 0.2} for i, z in enumerate((1.0, 2.0, 2.4, 2.8, 3.5, 6))
    ]
    counts = [int((judge_links(table(*rows), fdr=fdr).verdict == "confirmed").sum()) for fdr in (0.01, 0.05, 0.1, 0.2)]
    assert all(a <= b for a, b in itertools.pairwise(counts))
    assert counts[0] < counts[-1]
