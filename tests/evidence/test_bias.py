"""Regressions held against experiments: the sentence, the table, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import DataError
from cpi_experiments.estimate import EffectPair, Estimand, Estimate, Link
from cpi_experiments.evidence.bias.measured import regression_bias
from cpi_experiments.evidence.bias.table import bias_table
from cpi_experiments.evidence.verdict import Design, Evidence
from cpi_experiments.figures.canvas import to_svg
from cpi_experiments.hypotheses.hypothesis import Hypothesis
from cpi_experiments.stats.judging.calibrated_bias import pool


def table(links=14, bias=0.8, spread=0.3, seed=4, **columns):
    rng = np.random.default_rng(seed)
    truth = rng.normal(1.0, 0.6, size=links)
    frame = pd.DataFrame(
        {
            "link": [f"cpi_{i} -> kpi" for i in range(links)],
            "effect_past": truth + bias + spread * rng.normal(size=links),
            "se_past": 0.05,
            "effect_trial": truth + 0.2 * rng.normal(size=links),
            "se_trial": 0.2,
            "sesoi": 1.0,
        }
    )
    return frame.assign(**columns)


def test_the_first_line_says_by_how_much_regressions_overstate():
    found = regression_bias(table())
    text = str(found)
    assert " ".join(text.split()).startswith("Over 14 links with both, our regressions overstate effects by 0.")
    assert " times the smallest effect worth acting on (95% 0." in " ".join(text.split())
    assert "SESOI" not in text
    assert "times the experiment's number" in " ".join(text.split())
    assert "verdicts use experiments" in " ".join(text.split())
    assert all(len(line) <= 80 for line in text.splitlines())
    assert found.ratio == pytest.approx(table()["effect_past"].mean() / table()["effect_trial"].mean())


def test_regressions_that_understate_are_told_so():
    text = " ".join(str(regression_bias(table(bias=-0.8))).split())
    assert "understate effects by 0." in text
    assert "(95% 0." in text


def test_a_bias_that_may_be_chance_is_not_claimed():
    text = " ".join(str(regression_bias(table(bias=0.02, spread=0.5, links=12))).split())
    assert "differ from experiments by" in text
    assert "which may be chance" in text
    assert "state effects" not in text


def test_experiments_near_zero_have_no_ratio():
    frame = table(effect_trial=np.tile([0.1, -0.1], 7))
    found = regression_bias(frame)
    assert math.isnan(found.ratio)
    assert "times the experiment" not in str(found)


def test_forecasts_are_the_pooled_numbers_and_labelled():
    frame = table()
    found = regression_bias(frame)
    expected = pool(*(frame[name].to_numpy() for name in ("effect_past", "se_past", "effect_trial", "se_trial")))
    rows = found.to_frame()
    assert rows["forecast"].to_numpy() == pytest.approx(expected.value)
    assert rows["forecast_low"].to_numpy() == pytest.approx(expected.low)
    assert rows["forecast_high"].to_numpy() == pytest.approx(expected.high)
    assert set(rows["basis"]) == {"regression, corrected, and experiment: forecast only"}
    assert rows["gap_sesoi"].to_numpy() == pytest.approx((frame["effect_past"] - frame["effect_trial"]).to_numpy())


def test_nine_links_with_both_give_no_forecast_and_say_why():
    frame = table(links=12)
    frame.loc[:2, ["effect_trial", "se_trial"]] = np.nan
    found = regression_bias(frame)
    assert not found.may_pool
    assert "9 links have both and a correction needs 10" in " ".join(str(found).split())
    rows = found.to_frame()
    assert rows["forecast"].isna().all()
    assert set(rows["basis"]) == {"no forecast: 9 links with both, 10 are needed"}


def test_links_with_one_of_the_two_are_told_apart():
    frame = table()
    frame.loc[0, ["effect_trial", "se_trial"]] = np.nan
    frame.loc[1, ["effect_past", "se_past"]] = np.nan
    frame.loc[2, ["effect_past", "se_past", "effect_trial", "se_trial"]] = np.nan
    found = regression_bias(frame)
    assert found.bias.links == 11
    assert [gap.basis for gap in found.links[:4]] == [
        "regression, corrected: forecast only",
        "experiment alone",
        "neither estimate",
        "regression, corrected, and experiment: forecast only",
    ]
    assert found.links[1].forecast == pytest.approx(frame["effect_trial"][1])
    assert math.isnan(found.links[2].forecast)
    assert "experiment alone" in str(found.links[1])


def test_units_and_signs_do_not_matter():
    """A KPI that is better low and one in other units give the same bias, and their forecasts in their own sign."""
    frame = table()
    rng = np.random.default_rng(1)
    scale, sign = np.geomspace(0.01, 100, len(frame)), rng.choice([-1.0, 1.0], size=len(frame))
    other = frame.assign(
        effect_past=frame["effect_past"] * scale * sign,
        effect_trial=frame["effect_trial"] * scale * sign,
        se_past=frame["se_past"] * scale,
        se_trial=frame["se_trial"] * scale,
        sesoi=scale,
        expected_sign=sign,
    )
    one, two = regression_bias(frame), regression_bias(other)
    assert two.bias.mean == pytest.approx(one.bias.mean)
    assert two.ratio == pytest.approx(one.ratio)
    for gap, turned, s, way in zip(one.links, two.links, scale, sign, strict=True):
        assert turned.forecast == pytest.approx(gap.forecast * s * way)
        ends = sorted((gap.forecast_low * s * way, gap.forecast_high * s * way))
        assert [turned.forecast_low, turned.forecast_high] == pytest.approx(ends)
        assert turned.gap == pytest.approx(gap.gap)


def test_without_sesoi_the_table_has_its_own_unit():
    found = regression_bias(table().drop(columns="sesoi"))
    assert not found.in_sesoi
    assert "SESOI" not in str(found)
    assert "gap" in found.to_frame().columns


def test_numbers_of_a_link_have_as_many_decimals_as_its_sesoi_earns():
    frame = table(
        sesoi=[1.0] * 13 + [0.004], effect_past=[2.0961] * 13 + [0.0123456], effect_trial=[1.0] * 13 + [0.0056943]
    )
    rows = regression_bias(frame.assign(se_trial=[0.2] * 13 + [0.001], se_past=[0.05] * 13 + [0.0002]))._shown()
    assert [rows[0][name] for name in ("past", "trial", "gap_sesoi")] == ["2.10", "1.00", "1.10"]
    assert [rows[13][name] for name in ("past", "trial", "gap_sesoi")] == ["0.01235", "0.00569", "1.66"]


def test_without_sesoi_intervals_decide_the_decimals():
    wide = (
        table(links=3, seed=1).drop(columns="sesoi").assign(effect_past=[2.0, 2.4, 3.1], effect_trial=[1.0, 1.6, 1.3])
    )
    text = " ".join(str(regression_bias(wide)).split())
    found = regression_bias(wide).bias
    assert f"by {found.mean:+.1f} on average (95% {found.low:+.1f} to {found.high:+.1f})" in text or (
        f"by {found.mean:.1f} (95% {found.low:.1f} to {found.high:.1f})" in text
    )


def test_one_link_has_a_gap_and_no_distribution():
    found = regression_bias(table(links=1))
    assert str(found).startswith("On the one link with both, our regression differs by ")
    assert "standard deviation" not in str(found)
    assert "1 link has both and a correction needs 10" in " ".join(str(found).split())
    assert found.links[0].basis == "no forecast: 1 link with both, 10 are needed"


@pytest.mark.parametrize("links", [1, 14])
def test_the_picture_has_a_point_for_every_link_with_both(links):
    frame = table(links=links)
    if links > 1:
        frame.loc[0, ["effect_trial", "se_trial"]] = np.nan
    figure = regression_bias(frame).plot()
    points = next(line for line in figure.axes[1].lines if line.get_marker() == "D")
    assert len(points.get_xdata()) == max(links - 1, 1)
    assert to_svg(figure).startswith("<svg")


def test_a_file_gives_what_its_table_gives(tmp_path):
    path = tmp_path / "both.csv"
    table().to_csv(path, index=False)
    assert regression_bias(str(path)) == regression_bias(table())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"se_past": 0.0}, "se_past is not above zero for 14 of 14 links, first 'cpi_0 -> kpi'"),
        ({"se_trial": np.nan}, "effect_trial and se_trial are not both there for 14"),
        ({"sesoi": [0.0, *[1.0] * 13]}, "sesoi is not a size above zero for 1 of 14"),
        ({"sesoi": [np.nan, *[1.0] * 13]}, "sesoi is not a size above zero for 1 of 14"),
        ({"expected_sign": [1] * 13 + [2]}, "expected_sign is not .1 or -1 for 1 of 14 links, first 'cpi_13 -> kpi'"),
        ({"link": ["a -> b"] * 14}, "link 'a -> b' appears 14 times"),
        ({"link": [None, *[f"c{i} -> b" for i in range(13)]]}, "1 row has no link"),
        ({"effect_past": np.nan, "se_past": np.nan}, "none of 14 links has a regression and an experiment"),
    ],
)
def test_impossible_tables_are_refused(change, message):
    with pytest.raises(DataError, match=message) as caught:
        regression_bias(table(**change))
    assert caught.value.advice


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="se_trial"):
        regression_bias(table().drop(columns="se_trial"))


# -- from recorded evidence -------------------------------------------------------------------------------------------

LINK = Link.parse("quote_hours -> win_rate")
CLAIM = Hypothesis(link=LINK, expected_sign=1, sesoi=0.004)


def estimate(value, error, estimand=Estimand.ASSOCIATION):
    return Estimate(
        cause="quote_hours", outcome="win_rate", estimand=estimand, value=value, std_error=error,
        ci_low=value - 2 * error, ci_high=value + 2 * error, p_value=0.01, unit="win_rate per 1 hour", n_obs=100,
        method="test",
    )  # fmt: skip


def past(value=0.02, error=0.001, **changes):
    return Evidence(link=LINK, design=Design.OBSERVATIONAL, estimate=estimate(value, error), **changes)


def trial(name="t1", effect=0.03, cpi=3.0, **changes):
    pair = EffectPair(effect_cpi=cpi, effect_kpi=effect, var_cpi=0.01, var_kpi=1e-4, cov=0.0)
    told = {"lever": name, "planned_move": 3.0, "pair": pair, **changes}
    return Evidence(
        link=LINK, design=Design.RANDOMIZED, estimate=estimate(effect / cpi, 0.003, Estimand.LATE), experiment=name,
        **told,
    )  # fmt: skip


def test_recorded_evidence_becomes_one_row_a_link():
    row = bias_table([past(0.05), past(), trial()], [CLAIM]).iloc[0]
    assert row["link"] == str(LINK)
    assert (row["effect_past"], row["se_past"]) == (0.02, 0.001)  # the newest
    assert row["effect_trial"] == pytest.approx(0.01)
    assert row["se_trial"] == pytest.approx(0.01 / 3, rel=0.01)
    assert (row["sesoi"], row["expected_sign"]) == (0.004, 1)


def test_several_experiments_are_combined_and_a_negative_claim_keeps_its_sign():
    against = Hypothesis(link=LINK, expected_sign=-1, sesoi=0.004)
    rows = [past(-0.02), trial("t1", -0.030), trial("t2", -0.036)]
    row = bias_table(rows, [against]).iloc[0]
    assert row["effect_trial"] == pytest.approx(-0.011, abs=1e-4)
    assert row["se_trial"] == pytest.approx(0.01 / 3 / math.sqrt(2), rel=0.02)
    assert row["expected_sign"] == -1


@pytest.mark.parametrize(
    "evidence",
    [
        [],
        [trial(blocked="sample ratio")],
        [trial(exploratory="not registered")],
        [trial(cpi=0.01, effect=0.0)],  # an inert lever says nothing about the link
        [trial(pair=None)],
        [trial(pair=EffectPair(effect_cpi=3, effect_kpi=0.03, var_cpi=0.01, var_kpi=1e-4, cov=math.nan))],
    ],
)
def test_evidence_that_does_not_count_leaves_the_cell_empty(evidence):
    row = bias_table([past(), *evidence], [CLAIM]).iloc[0]
    assert math.isnan(row["effect_trial"])
    assert math.isnan(row["se_trial"])
    assert row["effect_past"] == 0.02


def test_past_data_that_are_blocked_vague_or_quasi_experiments_are_no_regressions():
    quasi = Evidence(link=LINK, design=Design.QUASI, estimate=estimate(0.02, 0.001))
    for evidence in ([quasi], [past(blocked="no variation")], [past(error=math.inf)], [past(value=math.nan)], []):
        assert math.isnan(bias_table([*evidence, trial()], [CLAIM]).iloc[0]["effect_past"])


def test_experiments_that_share_customers_count_once():
    alone = bias_table([trial("t1")], [CLAIM]).iloc[0]["se_trial"]
    both = bias_table([trial("t1"), trial("t2", overlaps=("t1",))], [CLAIM]).iloc[0]["se_trial"]
    assert both == pytest.approx(alone)


def test_evidence_of_other_links_is_left_out_and_the_table_goes_through_the_door():
    other = Hypothesis(link=Link.parse("a -> b"), expected_sign=1, sesoi=1.0)
    rows = bias_table([past(), trial()], [other, CLAIM])
    assert rows["effect_past"].isna().tolist() == [True, False]
    assert regression_bias(rows).bias.links == 1
    assert regression_bias(rows).links[1].gap == pytest.approx(2.5)
