"""Following one link: the door is the process, in whatever form the experiments come, and says what it will not take."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import CpiError, DataError, EstimationError
from cpi_experiments.estimate import EffectPair
from cpi_experiments.evidence.case import Trialed
from cpi_experiments.evidence.judge import judge_links
from cpi_experiments.evidence.sequence.evidence_sequence import e_text
from cpi_experiments.evidence.sequence.follow import follow
from cpi_experiments.stats.combining.effects import Effects
from cpi_experiments.stats.combining.link_point import link_point
from cpi_experiments.stats.sequential.confidence_sequence import confidence_sequence
from cpi_experiments.stats.sequential.link_process import (
    as_e_values,
    calibrated,
    general_log_e,
    planned_log_e,
    purged_log_e,
)

PAIR = ("effect_cpi", "effect_kpi", "var_cpi", "var_kpi", "cov")


def table_of(count=8, *, seed=0, theta=0.004, kpi_sd=0.006, **columns):
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(2, count))
    move = rng.uniform(2, 4, count)
    frame = pd.DataFrame(
        {
            "experiment": [f"E{k + 1}" for k in range(count)],
            "effect_cpi": move + 0.4 * noise[0],
            "effect_kpi": theta * move + kpi_sd * (0.5 * noise[0] + math.sqrt(0.75) * noise[1]),
            "var_cpi": 0.16,
            "var_kpi": kpi_sd**2,
            "cov": 0.2 * kpi_sd,
            "planned_move": move,
        }
    )
    return frame.assign(**columns)


def pairs_of(table):
    return [EffectPair(**row) for row in table[list(PAIR)].to_dict("records")]


def effects_of(table, sign=1):
    one = np.ones(len(table))
    return Effects(
        x=table["effect_cpi"].to_numpy(),
        y=sign * table["effect_kpi"].to_numpy(),
        xx=table["var_cpi"].to_numpy(),
        xy=sign * table["cov"].to_numpy(),
        yy=table["var_kpi"].to_numpy(),
        df=np.inf * one,
        sign=one,
        move=table["planned_move"].to_numpy(),
    )


def column(result, name):
    return [getattr(step, name) for step in result.steps]


NUMBERS = ("effect", "ci_low", "ci_high", "e_plus", "e_minus", "e_up", "e_lo", "e_general", "p_value", "q_p_value")


def same(left, right, names=NUMBERS):
    return all(column(left, name) == pytest.approx(column(right, name), nan_ok=True, rel=1e-9) for name in names)


# -- the door is the process -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
def test_every_row_is_the_state_of_the_processes(sign):
    table, delta = table_of(23, seed=3), 0.003
    found = follow(table.assign(effect_kpi=sign * table["effect_kpi"], cov=sign * table["cov"]), sesoi=delta,
                   expected_sign=sign)  # fmt: skip
    effects = effects_of(table)
    expected = {
        "e_plus": purged_log_e(effects, scale=delta),
        "e_minus": planned_log_e(effects, 0.0, side=-1, scale=delta),
        "e_up": planned_log_e(effects, delta, side=-1, scale=delta),
        "e_lo": planned_log_e(effects, -delta, side=1, scale=delta),
        "e_general": general_log_e(effects, scale=delta),
    }
    for name, log_e in expected.items():
        assert column(found, name) == pytest.approx(as_e_values(log_e).tolist(), nan_ok=True, rel=1e-9)
    ends = np.sort(sign * confidence_sequence(effects, scale=delta), axis=1)
    assert column(found, "ci_low") == pytest.approx(ends[:, 0].tolist())
    assert column(found, "ci_high") == pytest.approx(ends[:, 1].tolist())
    assert found.last.effect == pytest.approx(sign * link_point(effects).value)
    assert column(found, "p_value") == pytest.approx(
        np.minimum(1 / np.maximum.accumulate(column(found, "e_plus")), 1).tolist()
    )
    assert found.last.e_immaterial == min(found.last.e_up, found.last.e_lo)


def test_a_row_says_what_could_be_said_at_that_time():
    table = table_of(12, seed=5)
    whole = follow(table, sesoi=0.003)
    for k in (1, 6, 11):
        assert same(follow(table.head(k), sesoi=0.003), type(whole)(**{
            name: getattr(whole, name)[:k] if name == "steps" else getattr(whole, name)
            for name in whole.__dataclass_fields__
        }))  # fmt: skip


def test_the_last_row_is_the_e_value_of_the_judge():
    table = table_of(9, seed=2)
    full = table.assign(link="a -> b", lever=table["experiment"], sesoi=0.003, expected_sign=1)
    judged = judge_links(full)
    assert judged["e_value"][0] == pytest.approx(follow(full, sesoi=0.003).last.e_plus, rel=1e-9)


# -- forms and order -------------------------------------------------------------------------------------------------


def test_tables_files_pairs_and_trials_say_the_same(tmp_path):
    table = table_of(6)
    path = tmp_path / "effects.csv"
    table.to_csv(path, index=False)
    trials = [
        Trialed(experiment=f"E{k}", lever="lever", pair=pair, planned_move=move)
        for k, (pair, move) in enumerate(zip(pairs_of(table), table["planned_move"], strict=True))
    ]
    by_table = follow(table, sesoi=0.003)
    assert same(by_table, follow(path, sesoi=0.003))
    assert same(by_table, follow(trials, sesoi=0.003))
    plain = follow(table.drop(columns=["experiment", "planned_move"]), sesoi=0.003)
    assert same(plain, follow(pairs_of(table), sesoi=0.003))
    assert column(plain, "experiment") == ["1", "2", "3", "4", "5", "6"]
    assert by_table.ordered_by == plain.ordered_by == "row order"


@pytest.mark.parametrize(
    "looks",
    [
        pd.date_range("2025-11-03", periods=7, freq="40D"),
        ["2025-11-03", "2025-12-13", "2026-01-22", "2026-03-03", "2026-04-12", "2026-05-22", "2026-07-01"],
        ["2025Q4", "2025Q4", "2026Q1", "2026Q1", "2026Q2", "2026Q2", "2026Q3"],
        [2, 4, 6, 8, 10, 12, 100],
    ],
    ids=["times", "days", "quarters", "numbers"],
)
def test_looked_at_puts_rows_in_order_of_time(looks):
    table = table_of(7, looked_at=looks)
    turned = table.iloc[[6, 3, 0, 4, 2, 1, 5]] if table["looked_at"].is_unique else table.iloc[[6, 4, 5, 0, 2, 3, 1]]
    found = follow(turned, sesoi=0.003)
    assert column(found, "experiment") == [f"E{k}" for k in range(1, 8)]
    assert same(found, follow(table.drop(columns="looked_at"), sesoi=0.003))
    assert found.ordered_by == "looked_at"
    assert "by the column looked_at" in str(found)
    assert "looked_at" in found.to_frame().columns
    assert all(column(found, "looked_at"))


def test_trials_are_put_in_order_of_their_looks():
    pairs = pairs_of(table_of(3))
    trials = [Trialed(experiment=str(k), lever="a", pair=pair, looked_at=k) for k, pair in enumerate(pairs)]
    found = follow(trials[::-1], sesoi=0.003)
    assert column(found, "experiment") == ["0", "1", "2"]
    assert found.ordered_by == "looked_at"


def test_the_order_matters_for_the_path_and_hardly_for_its_end():
    table = table_of(5, seed=4)
    there, back = follow(table, sesoi=0.003), follow(table.iloc[::-1], sesoi=0.003)
    assert there.steps[0].e_plus != pytest.approx(back.steps[0].e_plus)
    assert there.last.e_plus == pytest.approx(back.last.e_plus)  # up to five experiments the spread is fixed


# -- composition -----------------------------------------------------------------------------------------------------


def test_experiments_that_share_customers_are_averaged_when_the_last_is_in():
    table = table_of(5, seed=6)
    found = follow(table, sesoi=0.003, overlaps={"E4": ["E2"]})
    assert column(found, "counted") == [1, 1, 2, 4, 5]
    assert same(
        type(found)(**{n: getattr(found, n) if n != "steps" else found.steps[1:2] for n in found.__dataclass_fields__}),
        type(found)(**{n: getattr(found, n) if n != "steps" else found.steps[:1] for n in found.__dataclass_fields__}),
    )
    one, two = (follow(table.drop(index=i).iloc[[0, 1, 2, 3]], sesoi=0.003) for i in (1, 3))
    without_two = follow(table.iloc[[0, 2, 3, 4]], sesoi=0.003)
    without_four = follow(table.iloc[[0, 2, 1, 4]], sesoi=0.003)
    assert one.last.e_plus == without_two.last.e_plus
    assert two.last.e_plus == pytest.approx(without_four.last.e_plus)
    for name in ("e_plus", "e_minus", "e_up", "e_lo"):
        mean = (getattr(without_two.last, name) + getattr(without_four.last, name)) / 2
        assert getattr(found.last, name) == pytest.approx(mean, rel=1e-9)


def test_a_group_that_is_not_complete_says_nothing_yet():
    found = follow(table_of(3, overlaps=["E3", "", ""]).drop(index=1), sesoi=0.003, old_p_value=0.01)
    first = found.steps[0]
    assert (first.counted, first.e_plus, first.e_minus, first.p_value) == (0, 5.0, 1.0, 0.2)
    assert math.isnan(first.effect)
    assert (first.ci_low, first.ci_high) == (-math.inf, math.inf)
    assert found.last.counted == 2


def test_sharing_is_told_by_either_side_and_goes_on():
    table = table_of(6, seed=1)
    by_column = follow(table.assign(overlaps=["", "E1", "", "", "E2, E4", ""]), sesoi=0.003)
    by_name = follow(table, sesoi=0.003, overlaps={"E1": ["E2"], "E5": ["E2", "E4"]})
    assert same(by_column, by_name)
    assert column(by_name, "counted") == [0, 0, 1, 1, 5, 6]


def test_an_old_p_value_enters_once_and_only_for_the_sign():
    table = table_of(6)
    fresh, informed = follow(table, sesoi=0.003), follow(table, sesoi=0.003, old_p_value=0.0025)
    assert informed.old_e == calibrated(0.0025) == 10.0
    assert column(informed, "e_plus") == pytest.approx([10 * e for e in column(fresh, "e_plus")])
    assert same(fresh, informed, ("effect", "ci_low", "ci_high", "e_minus", "e_up", "e_lo", "e_general"))
    assert "Earlier work entered once as e = 10." in str(informed)


def test_a_declared_scale_is_said_and_used():
    table = table_of(6)
    wide = follow(table, sesoi=0.003, scale=0.009)
    assert wide.last.e_plus == pytest.approx(float(as_e_values(purged_log_e(effects_of(table), scale=0.009))[-1]))
    assert "Mixture scale 0.009, as declared." in str(wide)
    assert "Mixture scale" not in str(follow(table, sesoi=0.003))


@pytest.mark.parametrize(("moved", "why"), [(-3.0, "against its declared sign"), (0.001, "did not move the CPI")])
def test_levers_that_did_not_move_the_cpi_add_nothing_and_are_named(moved, why):
    table = table_of(6, seed=2).assign(var_cpi=0.01, cov=0.0)
    odd = table.assign(effect_cpi=table["effect_cpi"].where(table.index != 2, moved))
    found = follow(odd, sesoi=0.003, overlaps={"E3": ["E2", "E5"]})
    assert column(found, "counted") == [1, 2, 2, 3, 4, 5]
    assert found.steps[2].e_minus == found.steps[1].e_minus
    assert same(follow(odd.drop(index=2), sesoi=0.003), type(found)(**{
        name: found.steps[:2] + found.steps[3:] if name == "steps" else getattr(found, name)
        for name in found.__dataclass_fields__
    }))  # fmt: skip
    assert why in " ".join(str(found).split())
    full = odd.assign(link="a -> b", lever=table["experiment"], sesoi=0.003, expected_sign=1)
    assert judge_links(full)["e_value"][0] == pytest.approx(found.last.e_plus, rel=1e-9)


def test_where_nothing_counts_yet_nothing_is_claimed():
    found = follow(table_of(3, lever_sign=-1), sesoi=0.003, old_p_value=0.01)
    assert column(found, "counted") == [0, 0, 0]
    assert set(column(found, "e_plus")) == {5.0}
    assert set(column(found, "p_value")) == {0.2}
    assert set(column(found, "e_minus")) == {1.0}
    assert len(found.left_out) == 3
    assert "After 0 experiments" in str(found)
    assert found.plot().axes


# -- what it will not take -------------------------------------------------------------------------------------------


def with_cell(name, value):
    table = table_of(4)
    table[name] = table[name].astype(object) if name in table else ""
    table.loc[2, name] = value
    return table


@pytest.mark.parametrize(
    ("table", "terms", "message"),
    [
        (with_cell("cov", math.nan), {}, "'E3'.*cov missing"),
        (with_cell("var_kpi", None), {}, "'E3'.*var_kpi missing"),
        (with_cell("cov", 0.9), {}, "covariance"),
        (with_cell("var_cpi", -0.1), {}, "variance is negative"),
        (with_cell("var_kpi", 0.0).assign(cov=0.0), {}, "'E3'.*no variance"),
        (with_cell("effect_kpi", "much"), {}, "effect_kpi"),
        (with_cell("experiment", "E1"), {}, "appears 2 times"),
        (with_cell("blocked", "50/47 split"), {}, "'E3'.*50/47 split"),
        (with_cell("holdout", "yes"), {}, "'E3'.*holdout"),
        (with_cell("projected", "2027-03-31"), {}, "'E3'.*projected"),
        (with_cell("overlaps", "E9"), {}, "'E9'"),
        (table_of(4), {"overlaps": {"E9": ["E1"]}}, "unknown experiment 'E9'"),
        (table_of(4), {"overlaps": {"E1": "E7"}}, "unknown experiment 'E7'"),
        (with_cell("looked_at", "2026-01-01"), {}, "looked_at is empty in 3 of 4 rows"),
        (table_of(4).drop(columns="cov"), {}, "'cov' is missing"),
        (table_of(4, link=["a -> b", "a -> b", "a -> c", "a -> b"]), {}, "2 links"),
        (table_of(4, sesoi=0.004), {}, "sesoi 0.004, the call 0.003"),
        (table_of(4, expected_sign=-1), {}, "expected_sign -1, the call 1"),
        (table_of(4).head(0), {}, "no"),
        ([], {}, "no experiment"),
        ([(0.1, 0.2)], {}, "experiment 1 is a tuple"),
        (3, {}, "not a table"),
        (table_of(4), {"sesoi": 0.0}, "sesoi is 0"),
        (table_of(4), {"sesoi": math.inf}, "sesoi is inf"),
        (table_of(4), {"expected_sign": 0}, "expected_sign is 0"),
        (table_of(4), {"scale": 0.001}, "at least the SESOI"),
        (table_of(4), {"scale": math.nan}, "at least the SESOI"),
        (table_of(4), {"sesoi": "much"}, "sesoi is much"),
        (table_of(4), {"scale": "wide"}, "scale wide"),
        (table_of(4), {"overlaps": [("E1", "E2")]}, "overlaps is a list"),
        (table_of(4), {"old_p_value": "small"}, "not above 0"),
        (table_of(4), {"old_p_value": True}, "not above 0"),
        (table_of(4), {"overlaps": {"E1": None}}, "overlaps of 'E1' is a NoneType"),
        (table_of(4), {"sesoi": True}, "sesoi is True"),
        (table_of(4), {"sesoi": None}, "sesoi is None"),
        (table_of(4), {"expected_sign": True}, "expected_sign is True"),
        (table_of(4), {"expected_sign": None}, "expected_sign is None"),
        (table_of(4), {"expected_sign": "+"}, "expected_sign is"),
        (table_of(4), {"scale": True}, "scale True"),
        (table_of(4), {"confidence_level": None}, "level None is not between 0 and 1"),
        (table_of(4), {"confidence_level": True}, "level True is not between 0 and 1"),
        (table_of(4), {"confidence_level": "95%"}, "between 0 and 1"),
        (table_of(4), {"old_p_value": 0.0}, "not above 0"),
        (table_of(4), {"confidence_level": 95}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(table, terms, message):
    with pytest.raises(CpiError, match=f"(?s){message}"):
        follow(table, **({"sesoi": 0.003} | terms))


@pytest.mark.parametrize("reason", ["exploratory", "left_out", "blocked", "projected"])
def test_trials_that_do_not_count_are_refused(reason):
    pair = pairs_of(table_of(1))[0]
    with pytest.raises(DataError, match=r"cannot count: .*because"):
        follow([Trialed(experiment="E", lever="a", pair=pair, **{reason: "because"})], sesoi=0.003)


def test_a_trial_counts_once():
    trial = Trialed(experiment="E", lever="a", pair=pairs_of(table_of(1))[0])
    with pytest.raises(DataError, match="'E': it appears 2 times"):
        follow([trial, trial], sesoi=0.003)


def test_kinds_of_refusal_are_those_of_data_and_of_terms():
    with pytest.raises(DataError):
        follow(with_cell("cov", math.nan), sesoi=0.003)
    with pytest.raises(EstimationError):
        follow(table_of(4), sesoi=-1)


# -- what is said ----------------------------------------------------------------------------------------------------


def test_the_sentence_promises_what_the_e_value_keeps():
    strong = follow(table_of(8, seed=3, theta=0.004), sesoi=0.003)
    e = strong.last.e_plus
    assert 20 < e < 1e6
    assert strong.sentence == (
        f"After 8 experiments the evidence for the expected sign is e = {e_text(e)}: had there been no effect, at most "
        f"one sequence in {e_text(e)} would ever have looked like this."
    )
    assert 1 / float(e_text(e).replace(",", "")) >= 1 / e  # rounded down, never up
    none = follow(table_of(1, theta=0.0), sesoi=0.003)
    assert none.sentence.startswith("After 1 experiment there is no evidence for the expected sign to speak of (e ")


def test_harm_immateriality_and_generality_are_said_where_they_are_shown():
    harm = str(follow(table_of(8, theta=-0.02), sesoi=0.003))
    assert "Evidence for the opposite sign: e" in harm
    none = str(follow(table_of(24, theta=0.0, kpi_sd=0.003), sesoi=0.003))
    assert "Evidence for an effect below the smallest worth acting on: e" in none
    assert "For levers in general the evidence is e" in " ".join(none.split())
    assert "levers in general need 20 experiments" in harm


def test_experiments_that_disagree_are_said_to():
    agreeing = follow(table_of(8, seed=3), sesoi=0.003)
    assert agreeing.last.q_p_value > 0.1
    assert "differ by more than chance" not in str(agreeing)
    apart = follow(table_of(8).assign(effect_kpi=[0.3, 0.3, -0.5, -0.5] * 2), sesoi=0.003)
    assert "differ by more than chance explains (p < 0.001)" in " ".join(str(apart).split())
    assert math.isnan(apart.steps[0].q_p_value)


def test_a_missing_planned_move_is_said_with_what_it_costs():
    table = table_of(6)
    words = "No planned move was given: 1 step is taken; sets are wider than need be."
    assert words in str(follow(table.drop(columns="planned_move"), sesoi=0.003))
    assert words in str(follow(pairs_of(table), sesoi=0.003))
    some = follow(table.assign(planned_move=[3, None, 3, None, 3, 3]), sesoi=0.003)
    assert "No planned move was given for 2 of 6 looks: 1 step" in str(some)
    assert "planned move was given" not in str(follow(table, sesoi=0.003))


def test_strong_evidence_beside_a_set_with_zero_is_explained():
    words = "The evidence weighs experiments by how far the CPI moved, the set by the planned moves"
    table = table_of(8, seed=3, theta=0.01)
    beside = follow(table.assign(planned_move=0.1), sesoi=0.003)
    assert beside.last.e_plus > 20
    assert beside.last.ci_low < 0 < beside.last.ci_high
    assert words in " ".join(str(beside).split())
    clear = follow(table, sesoi=0.003)
    assert clear.last.ci_low > 0
    assert words not in " ".join(str(clear).split())


def test_looks_without_new_evidence_are_named_and_are_no_rows():
    table = table_of(6, seed=2).assign(var_cpi=0.01, cov=0.0)
    odd = table.assign(effect_cpi=table["effect_cpi"].where(table.index != 2, -3.0))
    found = follow(odd, sesoi=0.003, overlaps={"E5": ["E4"]})
    shown = found._shown()
    assert [row["after"] for row in shown] == ["E1", "E2", "E5", "E6"]
    assert len(found.to_frame()) == 6
    said = " ".join(str(found).split())
    assert "After 5 experiments" in said
    assert "E3: the lever moved the CPI" in said or "E3: E3 moved the CPI" in said
    assert "E4: shares customers with E5, and counts with it." in said
    assert "looks with new evidence" in [text.get_text() for text in found.plot().axes[0].texts]


@pytest.mark.parametrize("names", [[f"experiment_with_a_very_long_name_{k}" for k in range(6)],
                                   [f"{'long ' * 8}{k}{' long' * 8}" for k in range(6)]])  # fmt: skip
def test_long_names_stay_distinct(names):
    labels = [row["after"] for row in follow(table_of(6, experiment=names), sesoi=0.003)._shown()]
    assert len(set(labels)) == 6
    assert max(map(len, str(follow(table_of(6, experiment=names), sesoi=0.003)).splitlines())) <= 80


def test_experiments_of_one_quarter_are_told_by_their_names():
    found = follow(table_of(4, looked_at=["2025Q4", "2025Q4", "2026Q1", "2026Q1"]), sesoi=0.003)
    assert [row["after"] for row in found._shown()] == ["E1", "E2", "E3", "E4"]


def test_columns_of_e_values_are_explained_below_the_table():
    words = "e expected: evidence for the expected sign (20 is strong); opposite: for the other sign; below:"
    few, many = follow(table_of(4), sesoi=0.003), follow(table_of(21), sesoi=0.003)
    assert words in " ".join(str(few).split("\n\n")[-1].split())
    assert words in few._repr_html_()
    assert words in few._repr_markdown_()
    assert "general: for levers in general" not in " ".join(str(few).split())
    assert "general: for levers in general" in " ".join(str(many).split())
    assert "e expected:" not in str(follow(table_of(1), sesoi=0.003))


def test_an_unbounded_sequence_is_called_so():
    weak = follow(table_of(3).assign(effect_cpi=0.5), sesoi=0.003)
    assert "confidence sequence is unbounded" in " ".join(str(weak).split())
    assert "any value" in str(weak)


@pytest.mark.parametrize("count", [1, 4, 24])
@pytest.mark.parametrize("theta", [-0.03, 0.0, 0.004, 0.05])
def test_what_is_shown_fits_the_terminal_and_json(count, theta):
    found = follow(table_of(count, theta=theta, looked_at=range(count)), sesoi=0.003, scale=0.01, old_p_value=0.2)
    assert max(map(len, str(found).splitlines())) <= 80
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["sesoi"] == 0.003
    frame = found.to_frame()
    assert len(frame) == count
    assert {"effect", "ci_low", "ci_high", "e_plus", "e_general", "p_value"} <= set(frame.columns)
    assert found._repr_html_().count("<tr>") == min(count, 20) + 1


@pytest.mark.parametrize(
    ("e", "text"),
    [(0.0, "< 0.1"), (0.95, "0.9"), (1.0, "1.0"), (19.99, "19"), (1234.5, "1,234"), (1e300, "> 1,000,000")],
)
def test_e_values_are_rounded_down(e, text):
    assert e_text(e) == text


def test_the_intersection_narrows_and_ends_where_levers_contradict_each_other():
    table = table_of(10, seed=8)
    found = follow(table, sesoi=0.003)
    ends = np.array(found.intersection)
    assert np.all(np.diff(ends[:, 0]) >= 0)
    assert np.all(np.diff(ends[:, 1]) <= 0)
    assert ends[-1, 0] == max(column(found, "ci_low"))
    apart = follow(table.head(5).assign(effect_kpi=[0.3, 0.3, -0.5, -0.5, -0.5]), sesoi=0.003)
    assert np.isnan(apart.intersection[-1]).all()


def test_the_plot_shows_every_experiment():
    found = follow(table_of(6), sesoi=0.003, old_p_value=0.01)
    figure = found.plot()
    line = next(line for axes in figure.axes for line in axes.lines if line.get_label() == "expected sign")
    assert line.get_ydata() == pytest.approx(np.log10([5.0, *column(found, "e_plus")]))
