"""Every fault that a trial can have is found by its own check, named, and blocks only if no verdict survives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.display import WIDTH
from cpi_experiments.errors import CpiError, DataError, DesignError, EstimationError
from cpi_experiments.randomized.effects.outcomes import Mean, Ratio
from cpi_experiments.randomized.effects.row_outcomes import Quantile
from cpi_experiments.randomized.integrity.check_trial import Integrity, check_trial
from cpi_experiments.randomized.integrity.missing import missing_in_trial
from cpi_experiments.randomized.integrity.rules import blocking_rules
from cpi_experiments.randomized.integrity.sample_ratio_cells import sample_ratio_by_day
from cpi_experiments.randomized.integrity.trial_units import Roles, read_units
from cpi_experiments.randomized.trial import read_trial

if TYPE_CHECKING:
    from pathlib import Path

N = 6_000


def trial(seed: int = 1, n: int = N, arms: tuple[str, ...] = ("manual", "auto")) -> pd.DataFrame:
    """One row a customer, nothing wrong, fourteen days from 5 October 2026."""
    rng = np.random.default_rng(seed)
    before = rng.gamma(2, 10, n)
    return pd.DataFrame(
        {
            "customer": np.arange(n) + 1,
            "arm": rng.permutation(np.resize(np.array(arms, dtype=object), n)),
            "device": rng.choice(np.array(["web", "ios", "android"], dtype=object), n),
            "day": np.datetime64("2026-10-05") + rng.integers(0, 14, n).astype("timedelta64[D]"),
            "age": rng.normal(45, 12, n),
            "tenure": rng.exponential(3, n),
            "spent_before": before,
            "spent": 0.7 * before + rng.gamma(2, 5, n),
            "won": (rng.random(n) < 0.2).astype(float),
            "visits": rng.poisson(4, n) + 1.0,
            "home": rng.integers(0, 2_500, n),
            "pricing": rng.choice(np.array(["old", "new"], dtype=object), n),
            "exposed": 1,
        }
    )


ALL = {
    "arm": "arm",
    "control": "manual",
    "unit": "customer",
    "outcomes": ["won", Ratio("spent", "visits"), Mean("spent", cap="p99")],
    "covariates": ["age", "tenure"],
    "pre": ["spent_before"],
    "day": "day",
    "segments": ["device"],
    "exposed": "exposed",
    "neighbours": "home",
    "other": {"pricing test": "pricing"},
    "planned_days": 14,
}


def check(frame: pd.DataFrame, **changes: object) -> Integrity:
    return check_trial(frame, **{"arm": "arm", "control": "manual", "unit": "customer", **changes})


def failing(found: Integrity) -> list[str]:
    return [d.name for d in found.diagnostics if not d.passed]


@pytest.mark.parametrize("arms", [("manual", "auto"), ("manual", "auto", "bot")])
def test_a_sound_trial_passes_every_check(arms: tuple[str, ...]) -> None:
    found = check_trial(trial(arms=arms), **ALL)
    assert failing(found) == []
    assert found.passed
    assert not found.blocks
    assert len(found.diagnostics) == 30
    assert str(found).startswith("All 30 checks passed (manual ")
    assert sum(size for _, size in found.sizes) == N
    assert all(d.null and not d.advice for d in found.diagnostics)


# -- assignment ------------------------------------------------------------------------------------------------------


def test_c04_a_lost_segment_is_named_in_words() -> None:  # C04
    frame = trial(n=20_000)
    rng = np.random.default_rng(2)
    lost = (frame["arm"] == "auto") & (frame["device"] == "ios") & (rng.random(len(frame)) < 0.3)
    found = check(frame[~lost], segments="device", day="day")
    assert found.blocks
    assert found["sample ratio"].blocks
    assert found["sample ratio by device"].blocks
    assert found["sample ratio over time"].blocks
    assert "device = ios" in found["sample ratio"].advice
    sizes = dict(found.sizes)
    assert f"auto lacks {sizes['manual'] - sizes['auto']:,} units" in found["sample ratio"].advice
    assert "In device = ios came" in found["sample ratio by device"].advice
    assert "block the verdict: sample ratio, sample ratio by device" in found._title()


def test_c04_the_day_on_which_the_drop_begins_is_named() -> None:  # C04
    frame = trial(n=20_000)
    rng = np.random.default_rng(3)
    late = frame["day"] >= pd.Timestamp("2026-10-14")
    lost = (frame["arm"] == "auto") & late & (rng.random(len(frame)) < 0.25)
    found = check(frame[~lost], day="day")
    assert "The drop begins on 14 Oct." in found["sample ratio"].advice
    assert not found["sample ratio by day"].passed
    assert "chi-squared" in found["sample ratio by day"].advice
    assert "From 14 Oct on, auto has fewer rows" in found["rows over time"].advice


def test_c05_a_split_that_chance_explains_is_no_alarm() -> None:  # C05
    n = 10_000
    frame = pd.DataFrame({"arm": ["manual"] * (n // 2 + 30) + ["auto"] * (n // 2 - 30), "customer": np.arange(n)})
    assert check(frame).passed


def test_intended_allocation_is_what_counts() -> None:
    frame = trial(n=9_000, arms=("manual", "manual", "auto"))
    assert check(frame).blocks
    assert check(frame, allocation={"manual": 2, "auto": 1}).passed


@pytest.mark.parametrize(("share", "blocks"), [(0.002, False), (0.05, True)])
def test_c03_units_in_several_arms_are_left_out_and_block_above_one_percent(
    share: float, *, blocks: bool
) -> None:  # C03
    frame = trial()
    twice = frame.head(int(share * N)).assign(arm=lambda f: np.where(f["arm"] == "auto", "manual", "auto"))
    found = check(pd.concat([frame, twice], ignore_index=True))
    assert not found["units in several arms"].passed
    assert found["units in several arms"].blocks is blocks
    assert sum(size for _, size in found.sizes) == N - len(twice)


def test_covariates_that_differ_are_named() -> None:
    frame = trial()
    frame["tenure"] += 0.4 * (frame["arm"] == "auto")
    found = check(frame, covariates=["age", "tenure"])["covariate balance"]
    assert not found.passed
    assert not found.blocks
    assert "most in tenure: +0.1" in found.advice


def test_c23_constant_covariates_are_named_and_left_out() -> None:  # C23
    found = check(trial().assign(country=1, old=2.0), covariates=["country", "age"], pre="old")
    assert "country" in found["constant covariates"].advice
    assert "constant" in found["before the trial: old"].advice
    assert found["covariate balance"].passed
    assert failing(check(trial().assign(country=1), covariates="country")) == ["constant covariates"]


def test_a_covariate_given_twice_is_one_covariate() -> None:
    frame = trial()
    once = check(frame, covariates=["age"])["covariate balance"].p_value
    assert check(frame.assign(twin=2 * frame["age"]), covariates=["age", "twin"])[
        "covariate balance"
    ].p_value == pytest.approx(once, rel=1e-6)


def test_a_pre_period_difference_points_to_the_assignment() -> None:
    frame = trial()
    frame["spent_before"] += 1.5 * (frame["arm"] == "auto")
    found = check(frame, pre="spent_before")["before the trial: spent_before"]
    assert not found.passed
    assert "carry-over" in found.advice


# -- exposure --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", [False, True])
def test_c14_contamination_says_shares_and_never_as_treated(*, flag: bool) -> None:  # C14
    frame = trial()
    rng = np.random.default_rng(5)
    got = np.where((frame["arm"] == "manual") & (rng.random(N) < 0.2), "auto", frame["arm"])
    got = np.where((frame["arm"] == "auto") & (rng.random(N) < 0.05), "manual", got)
    frame["got"] = (got == "auto").astype(float) if flag else got
    found = check(frame, received="got")
    assert failing(found) == ["contamination", "crossover"]
    assert not found.blocks
    advice = found["contamination"].advice
    assert "19." in advice or "20." in advice
    assert "of manual received a treatment" in advice
    assert "Never compare as treated." in advice
    assert found["crossover"].statistic == pytest.approx(0.05, abs=0.01)


def test_what_was_received_may_be_as_assigned_or_unknown() -> None:
    frame = trial()
    assert check(frame.assign(got=frame["arm"]), received="got").passed
    unknown = check(
        frame.assign(got=np.array([None] * (N - 1) + [frame["arm"].iloc[-1]], dtype=object)), received="got"
    )
    assert "Nothing is known" in next(d.advice for d in unknown.diagnostics if not d.passed)
    with pytest.raises(DataError, match="'else', which is no arm"):
        check(frame.assign(got="else"), received="got")


def test_exposure_that_depends_on_the_arm_is_no_population_to_compare() -> None:
    frame = trial()
    frame["exposed"] = np.random.default_rng(6).random(N) < np.where(frame["arm"] == "auto", 0.9, 0.8)
    found = check(frame, exposed="exposed")["never exposed"]
    assert not found.passed
    assert "Arms differ" in found.advice
    frame["exposed"] = np.random.default_rng(6).random(N) < 0.8
    assert "diluted" in check(frame, exposed="exposed")["never exposed"].advice
    with pytest.raises(DataError, match="holds 2"):
        check(frame.assign(exposed=2), exposed="exposed")


def log_of(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[["customer", "arm"]].copy()


@pytest.mark.parametrize("strangers", [0, 30])
def test_c22_exposures_of_units_never_assigned_are_counted(strangers: int) -> None:  # C22
    frame = trial()
    extra = pd.DataFrame({"customer": np.arange(strangers) + 10 * N, "arm": "auto"})
    found = check(frame, exposures=pd.concat([log_of(frame), extra]))
    assert found["exposed but never assigned"].passed is (strangers == 0)
    assert not found.blocks
    assert strangers == 0 or f"{strangers} of {N + strangers:,}" in found["exposed but never assigned"].advice


def test_c22_exposures_of_units_never_assigned_are_refused_above_one_percent() -> None:  # C22
    frame = trial()
    extra = pd.DataFrame({"customer": np.arange(200) + 10 * N, "arm": "auto"})
    with pytest.raises(DataError, match=f"200 of {N + 200:,} exposed units .* were never assigned"):
        check(frame, exposures=pd.concat([log_of(frame), extra]))


def test_c03_multiple_exposure_and_wrong_arms_are_told_apart() -> None:  # C03
    frame = trial()
    log = log_of(frame)
    log.loc[:99, "arm"] = np.where(log.loc[:99, "arm"] == "auto", "manual", "auto")
    both = log.iloc[200:212].assign(arm=lambda f: np.where(f["arm"] == "auto", "manual", "auto"))
    found = check(frame, exposures=pd.concat([log.iloc[:-6], both]))
    assert found["exposed to several arms"].statistic == 12
    assert not found["exposed to several arms"].blocks
    assert found["saw another arm"].statistic == 100
    assert found["never exposed"].passed  # six of 6,000


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (pd.DataFrame({"customer": ["1", "2"], "arm": ["auto", "auto"]}), "text in one table and a number"),
        (pd.DataFrame({"customer": [1, 2], "arm": ["auto", "robot"]}), "'robot', which is no arm"),
    ],
)
def test_logs_that_cannot_match_are_refused(log: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check(trial(), exposures=log)


def test_units_in_several_arms_are_not_strangers_to_the_log() -> None:
    frame = trial()
    twice = frame.head(6).assign(arm=lambda f: np.where(f["arm"] == "auto", "manual", "auto"))
    found = check(pd.concat([frame, twice]), exposures=log_of(frame))
    assert found["exposed but never assigned"].passed


# -- outcomes --------------------------------------------------------------------------------------------------------


def lose(frame: pd.DataFrame, shares: dict[str, float], column: str = "won") -> pd.DataFrame:
    rng = np.random.default_rng(8)
    return frame.assign(
        **{column: frame[column].where(rng.random(len(frame)) >= frame["arm"].map(shares).astype(float))}
    )


@pytest.mark.parametrize(
    ("shares", "passed", "blocks"),
    [
        ({"manual": 0.1, "auto": 0.1}, True, False),
        ({"manual": 0.1, "auto": 0.16}, False, True),
        ({"manual": 0.3, "auto": 0.3}, False, False),
        ({"manual": 0.0005, "auto": 0.0005}, True, False),
        ({"manual": 0.0, "auto": 0.009}, False, True),
        ({"manual": 0.0, "auto": 1.0}, False, True),
    ],
)
def test_missing_outcomes_by_arm(shares: dict, *, passed: bool, blocks: bool) -> None:
    found = check(lose(trial(), shares), outcomes="won")["missing won"]
    assert (found.passed, found.blocks) == (passed, blocks)
    assert bool(found.advice) != passed


def whale(factor: float, *, arm: str = "auto", effect: float = 0.0) -> pd.DataFrame:
    frame = trial()
    frame["spent"] += effect * (frame["arm"] == "auto")
    at = frame.index[frame["arm"] == arm][0]
    frame.loc[at, "spent"] = factor * frame["spent"].sum()
    return frame


def test_c21_one_customer_with_most_of_the_revenue() -> None:  # C21
    found = check(whale(1.5, effect=-3.0), outcomes="spent")["influence on spent"]
    assert found.statistic == pytest.approx(0.6, abs=0.01)
    assert found.blocks
    assert "without it the effect changes sign" in found.advice
    assert "winsorise" in found.advice
    kept = check(whale(0.15, effect=3.0), outcomes="spent")["influence on spent"]
    assert (kept.passed, kept.blocks) == (False, False)
    assert check(whale(1.5, effect=-3.0), outcomes=Mean("spent", cap="p99")).passed


def test_c21_influence_on_a_ratio_and_from_the_control() -> None:  # C21
    found = check(whale(1.5, arm="manual", effect=3.0), outcomes=Ratio("spent", "visits"))
    assert found["influence on spent / visits"].blocks
    assert "One unit of manual" in found["influence on spent / visits"].advice
    empty = check(trial().assign(spent=0.0), outcomes="spent")
    assert empty["influence on spent"].passed


def test_of_a_quantile_its_column_is_checked() -> None:
    found = check(trial(), outcomes=Quantile("spent", 0.9))
    assert [d.name for d in found.diagnostics if "spent" in d.name] == [
        "variance spent",
        "missing spent",
        "influence on spent",
    ]


# -- enough to take a variance from ----------------------------------------------------------------------------------


@pytest.mark.parametrize("apart", [0.0, 1.0])
@pytest.mark.parametrize("outcome", ["won", Ratio("won", "visits")])
def test_c10_c11_constant_outcomes_block_before_any_result(apart: float, outcome: str | Ratio) -> None:  # C10, C11
    frame = trial(n=400)
    level = 1 + apart * (frame["arm"] == "auto")
    frame["won"] = level if outcome == "won" else level * frame["visits"]
    name = "won" if outcome == "won" else "won / visits"
    found = check(frame, outcomes=outcome)
    assert found[f"variance {name}"].blocks
    assert f"{name} is constant in manual, auto: no variance" in found[f"variance {name}"].advice
    assert failing(found) == [f"variance {name}"]


def test_an_outcome_that_varies_in_one_arm_has_a_variance() -> None:
    frame = trial(n=400, arms=("manual", "auto", "bot"))
    frame["won"] = frame["won"].where(frame["arm"] == "auto", 0.0)
    found = check(frame, outcomes="won")["variance won"]
    assert "constant in manual, bot:" in found.advice
    assert check(frame[frame["arm"] != "bot"], outcomes="won")["variance won"].passed


def test_a_ratio_over_nothing_blocks() -> None:
    found = check(trial(n=400).assign(visits=0.0), outcomes=Ratio("spent", "visits"))["variance spent / visits"]
    assert found.blocks
    assert "denominator's mean in an arm is 0" in found.advice


@pytest.mark.parametrize(
    ("clusters", "passed", "blocks", "told"),
    [
        (1, False, True, "auto has 1 cluster: a variance cannot be estimated"),
        (4, False, True, "auto has 4 clusters: the formula's variance cannot be trusted"),
        (5, False, False, "intervals are rough"),
        (9, False, False, "intervals are rough"),
        (10, True, False, ""),
    ],
)
def test_c15_c16_few_clusters_are_seen_before_any_result(  # C15, C16
    *, clusters: int, passed: bool, blocks: bool, told: str
) -> None:
    frame = trial(n=2_000)
    team = np.arange(2_000) % (20 + clusters)
    frame = frame.assign(team=team, arm=np.where(team < 20, "manual", "auto"))
    allocation = {"manual": 20, "auto": clusters}
    found = check(frame, cluster="team", outcomes="won", allocation=allocation)["clusters per arm"]
    assert (found.passed, found.blocks, found.statistic) == (passed, blocks, clusters)
    assert told in found.advice
    assert "clusters per arm" not in [d.name for d in check(frame, outcomes="won", allocation=allocation).diagnostics]


def test_missing_outcomes_are_told_alike_from_moments_and_from_units() -> None:
    for seed in range(5):
        frame = lose(trial(seed=seed, arms=("manual", "auto", "bot")), {"manual": 0.02, "auto": 0.02 * seed})
        named = {"numbers": ["won"], "arm": "arm", "control": "manual"}
        for rows in (frame, frame.iloc[:90]):
            one, two = check(rows, outcomes="won")["missing won"], missing_in_trial(read_trial(rows, **named), "won")
            assert repr(one) == repr(two)
    with pytest.raises(DesignError, match="not missing one by one"):
        missing_in_trial(read_trial(clustered(), cluster="team", **named), "won")


# -- time ------------------------------------------------------------------------------------------------------------


def test_c25_three_days_are_shorter_than_a_week() -> None:  # C25
    frame = trial()
    frame["day"] = np.resize(np.arange(3), N)
    found = check(frame, day="day", planned_days=14)
    assert found["weekly cycle"].advice.startswith("Runs 3 days")
    assert found["planned days"].advice.startswith("3 of 14 planned days")
    assert not found.blocks


def test_a_weekday_without_rows_is_named() -> None:
    frame = trial()
    found = check(frame[frame["day"].dt.day_of_week != 6], day="day")
    assert found["weekly cycle"].advice == "No rows from any Sunday."


def daily(effects: np.ndarray, n: int = 900, seed: int = 3) -> pd.DataFrame:
    """One row a customer and day; customers start on any of the first five days."""
    rng = np.random.default_rng(seed)
    start, arm = rng.integers(0, 5, n), rng.permutation(np.resize([0, 1], n))
    own = rng.normal(size=n)
    rows = []
    for day in range(len(effects) + 4):
        here = np.flatnonzero((start <= day) & (day < start + len(effects)))
        value = own[here] + np.sin(day) + rng.normal(size=len(here)) + arm[here] * effects[day - start[here]]
        rows.append(
            pd.DataFrame({"customer": here, "arm": np.where(arm[here], "auto", "manual"), "day": day, "use": value})
        )
    return pd.concat(rows, ignore_index=True)


@pytest.mark.parametrize(
    ("effects", "word"),
    [(np.geomspace(2, 0.1, 10), "novelty"), (np.linspace(0, 1.5, 10), "learning"), (np.full(10, 0.8), "")],
)
def test_effects_that_fade_or_grow_are_told_from_steady_ones(effects: np.ndarray, word: str) -> None:
    found = check(daily(effects), outcomes="use", day="day")["effect over time: use"]
    assert found.passed is (not word)
    assert word in found.advice
    assert not found.blocks


def test_rows_that_stop_in_one_arm_are_dated() -> None:
    frame = daily(np.full(12, 0.5))
    rng = np.random.default_rng(4)
    lost = (frame["arm"] == "auto") & (frame["day"] >= 8) & (rng.random(len(frame)) < 0.3)
    found = check(frame[~lost], day="day")
    assert found["sample ratio"].passed
    assert not found["rows over time"].passed
    assert "From day 8 on, auto has fewer rows" in found["rows over time"].advice


def test_too_little_time_is_said() -> None:
    frame = trial(n=60)
    frame["day"] = "2026-10-05"
    one = check(frame, day="day", outcomes="won")
    assert one["rows over time"].advice.startswith("Needs at least two days")
    assert one["effect over time: won"].advice.startswith("Needs at least 4 days")
    frame["day"] = np.resize(np.arange(8), 60)
    assert check(frame, day="day")["rows over time"].advice.startswith("Needs 30 units")
    assert "nothing to test" in check(frame.assign(won=1.0), day="day", outcomes="won")["effect over time: won"].advice


@pytest.mark.parametrize(
    ("days", "message"),
    [
        (["2026-10-14", "someday"] * (N // 2), "'someday', which is no date"),
        ([None] * N, "holds no day at all"),
        (np.linspace(0, 1, N), "not whole numbers"),
        (np.arange(N), "spans 5,999 days"),
    ],
)
def test_days_that_are_none_are_refused(days: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check(trial().assign(day=days), day="day")


# -- others ----------------------------------------------------------------------------------------------------------


def test_interference_within_homes_is_seen() -> None:
    frame = trial(n=8_000)
    treated = (frame["arm"] == "auto").astype(float)
    by_home = treated.groupby(frame["home"])
    frame["use"] = by_home.transform("mean") + np.random.default_rng(1).normal(size=len(frame))
    found = check(frame, outcomes="use", neighbours="home")["interference in home: use"]
    assert not found.passed
    assert "spills over" in found.advice


def test_interference_that_cannot_be_tested_says_so() -> None:
    frame = trial()
    few = check(frame.assign(home=np.resize([0, 1], N)), outcomes="won", neighbours="home")
    assert few["interference in home: won"].advice.startswith("2 groups")
    same = check(frame.assign(won=1.0), outcomes="won", neighbours="home")
    assert "hardly varies" in same["interference in home: won"].advice


def test_c24_an_experiment_on_the_same_units_that_changes_the_effect() -> None:  # C24
    frame = trial()
    both = (frame["arm"] == "auto") & (frame["pricing"] == "new")
    frame["spent"] += 6.0 * both
    found = check(frame, outcomes="spent", other={"pricing test": "pricing"})
    assert found["drawn apart from pricing test"].passed
    advice = found["interaction with pricing test: spent"].advice
    assert "in old" in advice
    assert "in new" in advice


def test_c24_shared_seeds_are_seen_in_the_arms() -> None:  # C24
    frame = trial()
    frame["pricing"] = np.where((frame["arm"] == "auto") | (frame.index % 10 == 0), "new", None)
    found = check(frame, outcomes="spent", other={"pricing test": "pricing"})
    assert "shared seed" in found["drawn apart from pricing test"].advice
    assert "Fewer than two arms" in found["interaction with pricing test: spent"].advice


# -- clusters --------------------------------------------------------------------------------------------------------


def clustered() -> pd.DataFrame:
    frame = trial(seed=11, n=4_000)
    team = np.arange(4_000) % 80
    frame["team"] = team
    frame["arm"] = np.where(team % 2, "auto", "manual")
    frame["region"] = np.array(["north", "south"])[team // 40]
    return frame


def test_clusters_are_what_is_counted_and_compared() -> None:
    found = check_trial(clustered(), **{**ALL, "cluster": "team", "segments": ["region"], "planned_days": None})
    assert "clusters were split as planned" in found["sample ratio"].null
    assert not found.blocks
    assert failing(found) == []


def test_missing_outcomes_of_clusters_are_compared_by_clusters() -> None:
    frame = clustered()
    rng = np.random.default_rng(3)
    lost = rng.random(80)[frame["team"]] * 0.6 > rng.random(len(frame))
    assert (
        check(frame.assign(won=frame["won"].mask(lost)), outcomes="won", cluster="team")["missing won"].p_value > 0.01
    )
    both = check(lose(frame, {"manual": 0.1, "auto": 0.2}), outcomes="won", cluster="team")["missing won"]
    assert both.blocks
    assert check(frame, outcomes="won", cluster="team")["missing won"].passed


def test_segments_within_clusters_are_compared_by_shares() -> None:
    frame = clustered()
    other = {"pricing test": "pricing"}
    assert check(frame, segments="device", cluster="team", other=other).passed
    rng = np.random.default_rng(1)
    auto = frame["arm"] == "auto"
    frame["device"] = frame["device"].where(~auto | (rng.random(len(frame)) < 0.8), "ios")
    frame["pricing"] = frame["pricing"].where(~auto | (rng.random(len(frame)) < 0.8), None)
    found = check(frame, segments="device", cluster="team", other=other)
    assert failing(found) == ["sample ratio by device", "drawn apart from pricing test"]
    assert "by cluster" in found["sample ratio by device"].advice
    assert "group them" in check(frame, segments="age", cluster="team")["sample ratio by age"].advice
    few = frame[frame["team"] < 3]
    assert "Too few clusters" in check(few, segments="device", cluster="team")["sample ratio by device"].advice


def test_clusters_in_both_arms_leave_units_to_be_counted() -> None:
    found = check(trial(), cluster="home")
    assert found["sample ratio"].null.startswith("units were split")


# -- words and refusals ----------------------------------------------------------------------------------------------


def test_the_result_reads_in_eighty_columns_and_as_html() -> None:
    frame = trial(n=20_000)
    frame = frame[~((frame["arm"] == "auto") & (frame["device"] == "ios") & (frame["age"] > 45))]
    found = check(frame, segments="device", covariates="age", exposed="exposed")
    text = str(found)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.splitlines()[0].startswith("3 of 5 checks need a look; 2 block the verdict: sample ratio,")
    table_of = text.split("\n\n")[1]
    assert table_of.index("BLOCKS") < table_of.index("look") < table_of.index("ok")
    html = found._repr_html_()
    assert "what holds if nothing is wrong" in html
    assert "device = ios" in html.lower()
    table = found.to_frame()
    assert list(table.columns) == ["check", "state", "null", "statistic", "p_value", "advice"]
    assert list(table["state"][:3]) == ["BLOCKS", "BLOCKS", "look"]
    with pytest.raises(DataError, match="no check is called 'luck'"):
        found["luck"]


def test_names_from_outside_are_only_names() -> None:
    frame = trial().rename(columns={"device": '<b>"; DROP TABLE x', "won": "a ~ b"})
    found = check(frame, segments='<b>"; DROP TABLE x', outcomes="a ~ b")
    assert "<b>" not in found._repr_html_()
    assert found.passed


def test_files_are_read_like_frames(tmp_path: Path) -> None:
    frame = trial(n=500)
    frame.to_csv(tmp_path / "trial.csv", index=False)
    asked = {**ALL, "neighbours": None}
    one, two = check_trial(frame, **asked), check_trial(str(tmp_path / "trial.csv"), **asked)
    assert [d.name for d in one.diagnostics] == [d.name for d in two.diagnostics]
    np.testing.assert_allclose(
        [d.p_value for d in one.diagnostics], [d.p_value for d in two.diagnostics], rtol=1e-9, equal_nan=True
    )


def test_missing_segments_are_a_segment_and_too_many_are_none() -> None:
    frame = trial(n=4_000)
    frame["device"] = frame["device"].where(~((frame["arm"] == "auto") & (frame["device"] == "ios")), None)
    assert "In device = ios came" in check(frame, segments="device")["sample ratio by device"].advice
    assert "group them" in check(frame, segments="age")["sample ratio by age"].advice


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"covariates": "won", "outcomes": "won"}, DesignError, "an outcome and measured before"),
        ({"segments": "arm"}, DesignError, "is the arm and has no other part"),
        ({"unit": None, "exposures": trial(n=10)}, DesignError, "no unit"),
        ({"planned_days": 14}, DesignError, "needs the column of the day"),
        ({"planned_days": 0, "day": "day"}, DesignError, "one day or more"),
        ({"unit": "nobody"}, DataError, "nobody"),
        ({"unit": "empty"}, DataError, "holds no unit at all"),
        ({"allocation": {"manual": 1, "auto": 1, "bot": 1}}, DataError, "arm 'bot' of the allocation has no rows"),
        ({"allocation": {"manual": 1, "auto": 0}}, DesignError, "not above zero"),
        ({"allocation": {"manual": 1}}, DataError, "not in the allocation"),  # C06
        ({"control": "nothing"}, DataError, "is not an arm"),
        ({"unit": "device"}, DataError, "more than one row"),
        ({"outcomes": Ratio("won", "zero")}, EstimationError, "needs it above zero"),
    ],
)
def test_questions_that_make_no_sense_are_refused(changes: dict, kind: type[CpiError], message: str) -> None:
    frame = trial(n=600).assign(zero=0.0, empty=None)
    if changes.get("unit") == "device":
        frame["device"] = frame["arm"] + frame["device"]
    with pytest.raises(kind, match=message):
        check(frame, **{"day": "day", **changes} if isinstance(changes.get("outcomes"), Ratio) else changes)


@pytest.mark.parametrize("n", [0, 1])
def test_c02_an_arm_with_hardly_anybody_is_refused(n: int) -> None:  # C02
    frame = pd.DataFrame({"customer": np.arange(40), "arm": ["manual"] * (40 - n) + ["auto"] * n})
    with pytest.raises(DataError, match="arm 'auto' has 1 unit" if n else "at least two arms"):  # C01
        check(frame)


def test_too_few_values_make_no_test_and_say_so() -> None:
    frame = trial(n=600)
    few = check(frame.assign(old=frame["age"].where(frame.index < 2)), pre="old", covariates="old")
    assert "Too few units" in few["before the trial: old"].advice
    assert "Too few units" in few["covariate balance"].advice
    many = check(
        frame.head(8).assign(**{f"x{k}": frame["age"] ** k for k in range(2, 9)}),
        covariates=[f"x{k}" for k in range(2, 9)],
    )
    assert not many.blocks
    apart = check(frame.assign(old=1.0 * (frame["arm"] == "auto")), covariates="old")
    assert "Too few units" in apart["covariate balance"].advice


def test_one_cluster_in_an_arm_leaves_nothing_to_compare() -> None:
    frame = clustered()
    few = frame[frame["team"] < 3]
    found = check(few, cluster="team", day="day", outcomes="won", covariates="age")
    assert "Needs 30 units" in found["rows over time"].advice
    assert "Too few units" in found["covariate balance"].advice
    assert found["missing won"].passed
    lost = check(few.assign(won=few["won"].where(few.index % 5 > 0)), cluster="team", outcomes="won")
    assert lost["missing won"].p_value == 1.0


def test_holes_anywhere_give_an_answer_or_a_reason() -> None:
    """150 small trials with missing arms, units, days, outcomes: a result, or an error that says what to mend."""
    rng = np.random.default_rng(0)
    answered = 0
    for seed in range(150):
        n = int(rng.integers(4, 300))
        frame = trial(seed=seed, n=n, arms=("manual", "auto", "bot")[: int(rng.integers(2, 4))])
        frame["team"] = rng.integers(0, rng.integers(1, 20), n)
        for column in frame.columns[rng.random(len(frame.columns)) < 0.25]:
            frame[column] = frame[column].astype(object).where(rng.random(n) >= rng.choice([0.05, 0.5, 0.97]), None)
        asked = {name: part for name, part in ALL.items() if name in ("arm", "control") or rng.random() < 0.7}
        asked.pop("planned_days", None)
        if rng.random() < 0.4:
            asked["cluster"] = "team"
        try:
            found = check_trial(frame, **asked)
        except CpiError as reason:
            assert reason.advice  # noqa: PT017 - either ending is right
            continue
        answered += 1
        assert found.blocks or all(not d.blocks for d in found.diagnostics)
        assert max(map(len, str(found).splitlines())) <= WIDTH
    assert answered > 75


def test_days_of_nobody_are_no_days() -> None:
    frame = trial(n=60)
    frame["arm"] = frame["arm"].where(frame.index > 5, None)
    frame["day"] = frame["day"].where(frame.index <= 5)
    with pytest.raises(DataError, match="holds no day at all"):
        check(frame, day="day")


def test_days_have_to_be_named_for_daily_counts() -> None:
    roles = Roles(arm="arm", control="manual", unit=None, cluster=None, day=None, allocation=None)
    with pytest.raises(DataError, match="the day is not named"):
        sample_ratio_by_day(read_units(trial(n=60), roles, numbers=[], keys=[]))


def test_rules_are_one_table() -> None:
    text = str(blocking_rules())
    assert "p < 0.0005" in text
    assert len(blocking_rules().to_frame()) == 14


def test_the_cut_of_rows_is_that_of_units_whatever_rows_are_left_out() -> None:
    frame = trial(n=400)
    extra = frame.head(40).assign(spent=1e6)
    twice = pd.concat([extra.assign(arm="manual"), extra.assign(arm="auto")]).assign(customer=1_001)
    nobody = extra.assign(arm=None, customer=np.arange(40) + 2_000)
    roles = Roles(arm="arm", control="manual", unit="customer", cluster=None, day="day", allocation=None)
    units = read_units(pd.concat([frame, twice, nobody]), roles, numbers=["spent", "visits"], keys=[])
    for outcome in (Mean("spent", cap="p90"), Ratio("spent", "visits", cap="p90")):
        values = units.row_outcome(outcome)[units.row_unit >= 0]
        assert values[np.argsort(units.row_unit[units.row_unit >= 0])] == pytest.approx(units.values(outcome))
