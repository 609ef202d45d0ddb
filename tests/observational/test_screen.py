"""The screen: every cell counts, what passes is estimated again by cluster, and nothing is called proof."""

import json

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import CpiError
from cpi_experiments.measure.moments import cells as gather_cells
from cpi_experiments.measure.moments import scores as gather_scores
from cpi_experiments.observational import screen as module
from cpi_experiments.observational.association import association
from cpi_experiments.observational.screen import screen

CPIS, KPIS = ["hours", "errors", "calls"], ["won", "revenue"]


def past(seed=1, *, people=150, per=8, effect=0.5, lasting=0.0):
    """Rows of people; hours move won; CPIs and KPIs of a person last."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), per)
    own = rng.normal(size=(people, 5))[person]
    x = np.sqrt(lasting) * own + np.sqrt(1 - lasting) * rng.normal(size=(len(person), 5))
    frame = pd.DataFrame(x, columns=[*CPIS, *KPIS])
    frame["prior"] = rng.normal(size=len(person))
    frame["won"] += frame["prior"] - effect * frame["hours"]
    frame["segment"] = np.array(["b2b", "b2c"])[person % 2]
    frame["person"] = person
    return frame


def cell(found, cpi, kpi, **labels):
    frame = found.to_frame()
    chosen = (frame["cpi"] == cpi) & (frame["kpi"] == kpi)
    for name, label in labels.items():
        chosen &= frame[name] == label
    return frame[chosen].iloc[0]


@pytest.mark.parametrize("controls", [[], ["prior"]])
def test_cells_are_the_regressions_of_statsmodels(controls):
    import statsmodels.api as sm

    frame = past()
    frame.loc[::7, "hours"] = np.nan
    found = screen(frame, cpis=CPIS, kpis=KPIS, controls=controls, by="segment")
    assert found.family == len(found.to_frame()) == 12
    for cpi, kpi, segment in (("hours", "won", "b2b"), ("calls", "revenue", "b2c")):
        used = frame[frame["segment"] == segment][[*controls, cpi, kpi]].dropna()
        fit = sm.OLS(used[kpi], sm.add_constant(used[[*controls, cpi]])).fit()
        got = cell(found, cpi, kpi, segment=segment)
        assert got["n"] == len(used)
        assert [got["slope"], got["std_error"], got["p_value"]] == pytest.approx(
            [fit.params[cpi], fit.bse[cpi], fit.pvalues[cpi]], rel=1e-9
        )


def test_the_planted_link_is_found_with_its_direction():
    found = screen(past(), cpis=CPIS, kpis=KPIS, by="segment")
    frame = found.to_frame()
    assert set(frame[frame["passes"]]["cpi"] + frame[frame["passes"]]["kpi"]) == {"hourswon"}
    assert cell(found, "hours", "won", segment="b2b")["direction"] == "falls"
    assert found.passing == 2
    assert frame["q_value"].is_monotonic_increasing


@pytest.mark.parametrize("by", [(), "segment"])
@pytest.mark.parametrize("controls", [[], ["prior"]])
def test_what_passes_has_the_clustered_errors_of_association(by, controls, monkeypatch):
    monkeypatch.setattr(gather_scores, "_BLOCK", 1)
    frame = past(lasting=0.5)
    frame.loc[::9, "won"] = np.nan
    frame.loc[::11, "prior"] = np.nan
    found = screen(frame, cpis=CPIS, kpis=KPIS, controls=controls, by=by, cluster="person")
    labels = {"segment": "b2b"} if by else {}
    got = cell(found, "hours", "won", **labels)
    part = frame[frame["segment"] == "b2b"] if by else frame
    same = association(part, cpi="hours", kpi="won", controls=controls, cluster="person")
    assert got["clusters"] == same.n_clusters
    assert [got["slope"], got["std_error"], got["p_value"]] == pytest.approx(
        [same.value, same.std_error, same.p_value], rel=1e-8, abs=1e-30
    )
    assert got["passes"]


def test_cells_that_pass_only_because_rows_repeat_people_pass_no_more():
    plain, clustered = 0, 0
    for seed in range(12):
        frame = past(seed, effect=0.0, lasting=1.0, people=60)
        plain += screen(frame, cpis=CPIS, kpis=KPIS).passing
        clustered += screen(frame, cpis=CPIS, kpis=KPIS, cluster="person").passing
    assert plain > 20
    assert clustered <= 6


def test_few_clusters_do_not_pass_and_say_where_to_look():
    frame = past(people=30)
    found = screen(frame, cpis=CPIS, kpis=KPIS, cluster="person")
    got = cell(found, "hours", "won")
    assert (got["passes"], got["clusters"], got["note"]) == (False, 30, "too few clusters carry it: see association()")
    assert np.isnan(got["p_value"])
    assert (found.passing, found.unanswered) == (0, 1)
    assert "1 cells gave no p-value" in str(found)


def test_a_slope_that_few_clusters_carry_does_not_pass():
    frame = past()
    frame["hours"] = np.where(frame["person"] < 3, frame["hours"] * 100, 0)
    frame["won"] = -frame["hours"] / 100 + frame["prior"] / 10
    found = screen(frame, cpis=["hours"], kpis=["won"], cluster="person")
    assert found.passing == 0
    assert "too few clusters" in cell(found, "hours", "won")["note"]


def test_only_the_strongest_get_clustered_errors_and_the_others_cannot_pass(monkeypatch):
    monkeypatch.setattr(module, "MOST_SURVIVORS", 1)
    found = screen(past(), cpis=CPIS, kpis=KPIS, by="segment", cluster="person")
    assert found.passing == 1
    assert max(found.cells["note"].tolist()) == "stood out, but only the 1 strongest get clustered errors"


def test_nothing_that_passes_needs_no_second_look():
    found = screen(past(effect=0.0), cpis=CPIS, kpis=["revenue"], cluster="person", fdr=1e-6)
    assert found.passing == 0
    assert not found.cells["clusters"].any()


def test_cells_without_an_answer_stay_in_the_family():
    frame = past().assign(errors=4.0)
    found = screen(frame, cpis=CPIS, kpis=KPIS)
    without = screen(frame, cpis=["hours", "calls"], kpis=KPIS)
    assert (found.family, found.unanswered) == (6, 2)
    assert cell(found, "errors", "won")["note"] == "the CPI does not vary"
    assert cell(found, "hours", "revenue")["q_value"] >= cell(without, "hours", "revenue")["q_value"]


def test_it_says_how_many_were_looked_at_and_that_nothing_is_proven():
    found = screen(past(), cpis=CPIS, kpis=KPIS, by="segment", controls=["prior"], cluster="person", procedure="BY")
    words = " ".join(str(found).split())
    assert "2 of 12 cells (3 CPIs x 2 KPIs x 2 segments by segment) pass at a false discovery rate of 10%" in words
    assert "(Benjamini-Yekutieli over all cells, errors clustered by person), prior held constant." in words
    assert "Every cell has 600 rows." in words
    assert "A screen nominates links and proves none: only an experiment can confirm them." in words
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (content["family"], content["procedure"], len(content["cells"])) == (12, "BY", 12)


def test_rows_of_cells_that_differ_are_said():
    frame = past()
    frame.loc[:99, "hours"] = np.nan
    assert "the rows that have its own CPI and KPI and all controls: 1,100 to 1,200." in " ".join(
        str(screen(frame, cpis=CPIS, kpis=KPIS)).split()
    )


def test_engines_without_batches_give_the_same_screen(monkeypatch, tmp_path):
    frame = past()
    frame.loc[::7, "hours"] = np.nan
    frame["segment"] = frame["segment"].where(frame.index % 4 > 0, None)
    given = {"cpis": CPIS, "kpis": KPIS, "controls": ["prior"], "by": ["segment"], "cluster": "person"}
    batches = screen(frame, **given)
    monkeypatch.setattr(gather_cells, "can_stream", lambda _: False)
    frame.to_parquet(tmp_path / "past.parquet")
    sql = screen(tmp_path / "past.parquet", **given)
    assert (sql.passing, sql.family) == (batches.passing, 18)
    for name in ("slope", "std_error", "q_value"):
        assert sql.cells[name] == pytest.approx(batches.cells[name], rel=1e-8)
    assert sql.cells["segment"].tolist() == batches.cells["segment"].tolist()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cpis": []}, "cpis are [], not a list of columns"),
        ({"kpis": "won"}, "kpis are 'won', not a list of columns"),
        ({"controls": ["hours"]}, "column 'hours' is given as cpi and as control"),
        ({"by": ["won"]}, "column 'won' is given as kpi and as segment"),
        ({"by": "slope"}, "a segment cannot be called 'slope'"),
        ({"fdr": 10}, "false discovery rate 10 is not between 0 and 1"),
        ({"procedure": "HB"}, "procedure 'HB' is not known"),
        ({"cpis": ["hour"]}, "Did you mean 'hours'?"),
        ({"cpis": ["segment"], "by": ()}, "column 'segment' is text"),
        ({"cluster": "holes"}, "600 of 1,200 rows have no 'holes'"),
        ({"cluster": "texts"}, "600 of 1,200 rows have no 'texts'"),
    ],
)
def test_bad_input_is_refused_with_what_was_found(given, words):
    frame = past()
    frame["holes"] = frame["person"].where(frame.index % 2 > 0)
    frame["texts"] = frame["person"].astype(str).where(frame.index % 2 > 0, None)
    with pytest.raises(CpiError) as caught:
        screen(frame, **({"cpis": CPIS, "kpis": KPIS, "by": "segment"} | given))
    assert words in str(caught.value)


def test_dates_and_numbers_are_segments_too():
    frame = past()
    frame["week"] = pd.to_datetime("2026-01-05") + pd.to_timedelta(7 * (frame["person"] % 2), unit="D")
    frame["half"] = frame["person"] % 2 / 2
    found = screen(frame, cpis=CPIS, kpis=KPIS, by=["week", "half"], cluster="person")
    assert found.family == 12
    assert found.passing == 2
