"""Large panels are regressed from sums: the same estimate, the same sentences, the same refusals as from rows."""

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import CpiError
from cpi_experiments.observational import association as door
from cpi_experiments.observational import panel_sums
from cpi_experiments.observational.association import association
from cpi_experiments.observational.past_rows import Roles

GIVEN = {"cpi": "hours", "kpi": "won", "unit": "broker", "time": "month"}


def months(seed=1, *, units=60, periods=12, share=0.8):
    rng = np.random.default_rng(seed)
    unit, time = (codes.ravel() for codes in np.indices((units, periods)))
    effect = rng.normal(size=units)[unit] + rng.normal(size=periods)[time]
    hours = 20 + effect + rng.normal(size=len(unit))
    frame = pd.DataFrame(
        {
            "broker": [f"b{i:03}" for i in unit],
            "month": [f"2026-{t + 1:02}" for t in time],
            "hours": hours,
            "won": 50 - 0.5 * hours + 3 * effect + rng.normal(size=len(unit)),
            "prior": rng.normal(size=len(unit)),
            "region": rng.choice(["north", "south"], size=len(unit)),
        }
    )
    return frame[rng.random(len(frame)) < share].reset_index(drop=True)


FRAME = months()
HOLES = FRAME.assign(
    won=FRAME["won"].where(FRAME.index % 9 > 0),
    hours=FRAME["hours"].where(FRAME.index % 11 > 0),
    prior=FRAME["prior"].where(FRAME.index % 3 > 0),
)


@pytest.fixture
def no_rows(monkeypatch):
    """Let every frame be large, and no row be read."""

    def refuse(*_):
        raise AssertionError("rows were read")

    monkeypatch.setattr(panel_sums, "SMALL_FRAME", 0)
    monkeypatch.setattr(door, "past_rows", refuse)


@pytest.mark.parametrize("frame", [FRAME, HOLES, pd.concat([FRAME, FRAME.iloc[[0]].assign(broker="once")])])
@pytest.mark.parametrize("controls", [(), ("prior",)])
def test_sums_tell_the_same_story_as_rows(frame, controls, no_rows, tmp_path):
    sums = association(frame, **GIVEN, controls=controls)
    frame.to_parquet(tmp_path / "past.parquet")
    file = association(tmp_path / "past.parquet", **GIVEN, controls=controls)
    roles = Roles(**GIVEN, controls=controls, cluster="broker")
    with pytest.MonkeyPatch.context() as patch:
        patch.undo()
        patch.setattr(panel_sums, "SMALL_FRAME", 10**9)
        from cpi_experiments.observational.past_rows import past_rows

        patch.setattr(door, "past_rows", past_rows)
        rows = association(frame, **GIVEN, controls=controls)
    assert str(sums) == str(rows) == str(file)
    assert (sums.dropped, sums.n_obs, sums.df, sums.method) == (rows.dropped, rows.n_obs, rows.df, rows.method)
    for name in ("value", "std_error", "ci_low", "ci_high", "p_value"):
        assert getattr(sums, name) == pytest.approx(getattr(rows, name), rel=1e-10)
        assert getattr(file, name) == pytest.approx(getattr(rows, name), rel=1e-10)
    assert roles.effects == ("broker", "month")


def test_small_frames_are_regressed_as_arrays():
    assert panel_sums.slope_from_sums(FRAME, Roles(**GIVEN, cluster="broker")) is None


@pytest.mark.parametrize(
    "roles",
    [
        {"cpi": "hours", "kpi": "won", "unit": "broker", "cluster": "broker"},
        {"cpi": "hours", "kpi": "won", "time": "month", "cluster": "broker"},
        {**GIVEN, "cluster": "region"},
        {**GIVEN, "cluster": "broker", "weights": "prior"},
        {**GIVEN, "cluster": "broker", "controls": ("region",)},
    ],
)
def test_other_effects_clusters_weights_and_text_go_by_rows(roles, monkeypatch):
    monkeypatch.setattr(panel_sums, "SMALL_FRAME", 0)
    assert panel_sums.slope_from_sums(FRAME, Roles(**roles)) is None


YEARS = FRAME.assign(year=1995 + FRAME["month"].str[-2:].astype(int), firm=FRAME["broker"].str[1:].astype(int))
LATE = ((FRAME["broker"] == "b003") & (FRAME["month"] > "2026-06")) * 1.0


@pytest.mark.parametrize(
    ("frame", "given", "words"),
    [
        (FRAME.assign(y=2 * FRAME["hours"]), {"controls": ["y"]}, "y is an exact combination of hours"),
        (pd.concat([FRAME, FRAME.iloc[:7]]), {}, "7 pairs of 'broker' and 'month'"),
        (FRAME.assign(month="2026-01"), {}, "'month' has one value only (2026-01)"),
        (FRAME.assign(month=FRAME["month"].str[5:] + "x"), {}, "not a period, such as '01x'"),
        (FRAME.assign(broker=FRAME["broker"].where(FRAME.index > 4)), {}, "5 of 572 rows have no 'broker'"),
        (FRAME, {"unit": "month", "time": "broker"}, "they look swapped"),
        (YEARS, {"unit": "year", "time": "firm"}, "they look swapped"),
        (FRAME.assign(won=np.nan), {}, "none of 572 rows can be used (without won"),
        (FRAME.assign(won=3 - FRAME["hours"]), {}, "the same thing is measured twice"),
        (FRAME.assign(hours=LATE, won=FRAME.index % 2 * 1.0), {}, "slope of hours rests on about 1."),
        (FRAME.assign(hours=np.where(FRAME.index == 5, np.inf, 1.0)), {}, "1 infinite value"),
        (FRAME, {"controls": ["pryor"]}, "Did you mean 'prior'?"),
    ],
)
def test_refusals_are_the_same_from_sums(frame, given, words, monkeypatch):
    monkeypatch.setattr(panel_sums, "SMALL_FRAME", 0)
    with pytest.raises(CpiError) as caught:
        association(frame, **(GIVEN | given))
    assert words in str(caught.value)


def test_few_units_are_left_to_the_jackknife(monkeypatch):
    monkeypatch.setattr(panel_sums, "SMALL_FRAME", 0)
    few = association(FRAME[FRAME["broker"] < "b012"], **GIVEN)
    assert "by leaving out one broker at a time (12 clusters, CR3" in few.method


def test_numbered_units_are_not_taken_for_periods(no_rows):
    estimate = association(YEARS.assign(month=YEARS["year"] - 1990), **(GIVEN | {"unit": "firm"}))
    assert estimate.n_clusters == 60
