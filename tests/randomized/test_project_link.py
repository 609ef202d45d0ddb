"""The door `project_link`: a KPI that is not known yet, what it assumes, what is checked, and what is refused."""

import math
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from cpi_experiments.errors import CpiError, DataError, DesignError, EstimationError
from cpi_experiments.estimate import EffectPair, Status
from cpi_experiments.evidence.judge import judge_links
from cpi_experiments.measure.moments.gather import gather
from cpi_experiments.randomized.links.link_effect import link_effect
from cpi_experiments.randomized.links.project_link import project_link
from cpi_experiments.randomized.links.projected_link import ProjectedLink
from cpi_experiments.stats.surrogate_index import surrogate_model
from cpi_experiments.wording.results import banned_words

CALL: dict[str, Any] = {
    "cpi": "hours", "kpi": "renewal", "surrogates": ["visits", "score"], "arm": "arm", "control": "manual",
    "increment": -1, "matures": "2027-03-31",
}  # fmt: skip
#: Renewal per visit and per point of the score.
SLOPES = np.array([0.03, 0.05])


def early(rng: np.random.Generator, hours: np.ndarray, before: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "visits": rng.poisson(np.clip(6 - 0.25 * hours + before, 0.1, None)),
        "score": 7 - 0.1 * hours + rng.normal(size=len(hours)),
    }


def renewal(rng: np.random.Generator, frame: pd.DataFrame, direct: float = 0.0) -> np.ndarray:
    chance = 0.1 + frame[["visits", "score"]].to_numpy() @ SLOPES + 0.02 * frame["before"] + direct
    return (rng.random(len(frame)) < chance).astype(int)


def past(seed: int = 1, n: int = 3000) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    before = rng.normal(size=n)
    frame = pd.DataFrame({"before": before, **early(rng, rng.gamma(4, 2, n), before)})
    month = np.sort(rng.integers(1, 13, n))
    return frame.assign(
        renewal=renewal(rng, frame), month=month, customer=np.arange(n), team=[f"team {i}" for i in np.arange(n) % 60]
    )


def trial_of(seed: int = 2, n: int = 2000, direct: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    auto = rng.permutation(n) < n // 2
    before = rng.normal(size=n)
    hours = rng.gamma(4, 2, n) - 3 * auto
    frame = pd.DataFrame({"before": before, "hours": hours, **early(rng, hours, before)})
    team = np.arange(n) % 40
    return frame.assign(
        arm=np.where(auto, "auto", "manual"),
        team_arm=np.where(team % 2 == 1, "auto", "manual"),
        team=[f"own {c}" for c in team],
        region=np.array(["north", "south"])[rng.integers(0, 2, n)],
        customer=np.arange(n) + 10_000,
        later=renewal(rng, frame, direct=direct * auto),
    )


@pytest.fixture(scope="module")
def history() -> pd.DataFrame:
    return past()


@pytest.fixture(scope="module")
def trial() -> pd.DataFrame:
    return trial_of()


def run(history: Any, trial: Any, **call: Any) -> ProjectedLink:
    return project_link(history, trial, **{**CALL, **call})


def noted(link: ProjectedLink, name: str) -> list[str]:
    return [d.advice for d in link.estimate.diagnostics if d.name == name and not d.passed]


# -- the numbers -----------------------------------------------------------------------------------------------------


def test_the_five_numbers_are_those_of_the_predicted_column(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    """Predicting the KPI row by row and asking link_effect gives the same, but for the error of the prediction."""
    link = run(history, trial)
    model = surrogate_model(
        history["renewal"].to_numpy(float), history[["visits", "score"]].to_numpy(float)
    )  # fmt: skip
    scored = trial.assign(predicted=trial[["visits", "score"]].to_numpy() @ model.slopes)
    plain = link_effect(scored, cpi="hours", kpi="predicted", arm="arm", control="manual", increment=-1)
    for name in ("effect_cpi", "effect_kpi", "var_cpi", "cov"):
        assert getattr(link.pair, name) == pytest.approx(getattr(plain.pair, name), rel=1e-9)
    assert link.var_trial == pytest.approx(plain.pair.var_kpi, rel=1e-9)
    moved = np.array([e.value for e in link.effects])
    assert link.var_model == pytest.approx(moved @ model.covariance @ moved, rel=1e-9)
    assert link.pair.var_kpi == pytest.approx(link.var_trial + link.var_model, rel=1e-12)
    assert link.estimate.value == pytest.approx(plain.estimate.value, rel=1e-9)
    assert link.estimate.ci_low < plain.estimate.ci_low < plain.estimate.ci_high < link.estimate.ci_high


@pytest.mark.parametrize(
    "call",
    [
        {"covariates": "before"},
        {"strata": "region"},
        {"arm": "team_arm", "cluster": "team"},
        {"arm": "team_arm", "cluster": "team", "covariates": "before"},
    ],
)
def test_trial_options_are_those_of_a_measured_link(
    history: pd.DataFrame, trial: pd.DataFrame, call: dict[str, Any]
) -> None:
    link = run(history.drop(columns="team"), trial, **call)
    given = [history["renewal"].to_numpy(float), history[["visits", "score"]].to_numpy(float)]
    covariates = history[["before"]].to_numpy() if "covariates" in call else None
    model = surrogate_model(*given, covariates=covariates)
    scored = trial.assign(predicted=trial[["visits", "score"]].to_numpy() @ model.slopes)
    plain = link_effect(
        scored, **{"cpi": "hours", "kpi": "predicted", "arm": "arm", "control": "manual", "increment": -1, **call}
    )
    assert link.pair.effect_cpi == pytest.approx(plain.pair.effect_cpi, rel=1e-9)
    assert link.pair.effect_kpi == pytest.approx(plain.pair.effect_kpi, rel=1e-7)
    assert link.var_trial == pytest.approx(plain.pair.var_kpi, rel=1e-7)
    assert link.pair.cov == pytest.approx(plain.pair.cov, rel=1e-6)
    assert link.unit == plain.unit


def test_the_set_contains_the_truth_and_the_sentence_says_it_is_provisional(
    history: pd.DataFrame, trial: pd.DataFrame
) -> None:
    link = run(history, trial)
    low, high = link.ar_set[0]
    assert low <= 0.25 * 0.03 + 0.1 * 0.05 <= high
    assert link.sentence.startswith("Projected: each hour faster would add 1.")
    assert link.sentence.endswith("; provisional until 2027-03-31, when the KPI itself is known.")
    assert not banned_words(link.sentence)
    assert link.grade == "C"
    assert link.estimate.method.startswith("Wald ratio with Anderson-Rubin set; projected by visits, score")


def test_churn_goes_down_in_words(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    link = run(history.assign(renewal=1 - history["renewal"]), trial)
    assert link.sentence.startswith("Projected: each hour faster would take 1.")
    assert "from renewal" in link.sentence


def test_increment_rescales_exactly_and_relabelled_arms_flip_nothing(
    history: pd.DataFrame, trial: pd.DataFrame
) -> None:
    link, two, other = run(history, trial), run(history, trial, increment=-2), run(history, trial, control="auto")
    assert two.estimate.value == pytest.approx(2 * link.estimate.value, rel=1e-12)
    assert other.estimate.value == pytest.approx(link.estimate.value, rel=1e-9)
    assert other.pair.effect_kpi == pytest.approx(-link.pair.effect_kpi, rel=1e-9)
    assert other.ar_set[0] == pytest.approx(link.ar_set[0], rel=1e-9)


def test_row_order_of_either_table_never_matters(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    link = run(history, trial, time="month")
    mixed = run(history.sample(frac=1, random_state=1), trial.sample(frac=1, random_state=2), time="month")
    assert mixed.estimate.value == pytest.approx(link.estimate.value, rel=1e-9)
    assert mixed.late.slope == pytest.approx(link.late.slope, rel=1e-9)


def test_files_are_read_as_frames_are(history: pd.DataFrame, trial: pd.DataFrame, tmp_path: Path) -> None:
    history.to_parquet(tmp_path / "history.parquet")
    trial.to_parquet(tmp_path / "trial.parquet")
    link = run(str(tmp_path / "history.parquet"), tmp_path / "trial.parquet", matures=date(2027, 3, 31))
    assert link.estimate.value == pytest.approx(run(history, trial).estimate.value, rel=1e-12)
    assert link.matures == "2027-03-31"


def test_missing_rows_are_counted_by_table(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    link = run(
        history.assign(visits=history["visits"].where(history.index > 9)),
        trial.assign(score=trial["score"].where(trial.index > 4)),
    )
    assert dict(link.estimate.dropped) == {"without score": 5, "of the history without visits": 10}
    assert (link.model.n_obs, link.estimate.n_obs) == (2990, 1995)


def test_related_rows_of_the_history_are_clustered(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    named = run(history, trial, history_cluster="team")
    found = run(history, trial, arm="team_arm", cluster="team")
    assert named.model.n_clusters == found.model.n_clusters == 60
    assert named.model.variance == "CR1"
    assert run(history, trial).model.variance == "HC1"


# -- what is checked -------------------------------------------------------------------------------------------------


def test_the_cpi_alone_is_allowed_and_said(trial: pd.DataFrame) -> None:
    rng = np.random.default_rng(7)
    hours = rng.gamma(4, 2, 2000)
    before = pd.DataFrame({"hours": hours, "renewal": 50 - 0.8 * hours + rng.normal(size=2000)})
    link = run(before, trial, surrogates="hours")
    assert link.estimate.value == pytest.approx(-np.polyfit(hours, before["renewal"], 1)[0], rel=1e-9)
    assert "nothing that the trial found can contradict it" in noted(link, "surrogates")[0]
    assert link.grade == "D"
    assert len(link.effects) == 1
    both = run(before.assign(score=rng.normal(size=2000)), trial, surrogates=["hours", "score"])
    assert both.grade == "C"
    assert not noted(both, "surrogates")


def test_a_later_history_that_differs_is_told(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    assert not noted(run(history, trial, time="month"), "stability")
    late = history["month"] > 9
    rng = np.random.default_rng(3)
    changed = history.assign(renewal=np.where(late, rng.integers(0, 2, len(history)), history["renewal"]))
    link = run(changed, trial, time="month")
    assert "is not sure. Use a later history" in noted(link, "stability")[0]
    assert link.late.ci_high < 1
    assert "later history" in str(link)
    assert run(history, trial).late is None


def test_customers_whom_the_history_never_saw_are_told(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    link = run(history, trial.assign(visits=trial["visits"] + 20 * (trial.index % 5 == 0)))
    assert link.outside == pytest.approx(0.2, abs=0.01)
    assert "the history never saw" in noted(link, "support")[0]
    assert not noted(run(history, trial), "support")


def test_the_same_customers_in_both_tables_are_told(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    same = trial.assign(customer=np.arange(len(trial)))
    assert "2,000 of the trial's 2,000 customers" in noted(run(history, same, unit="customer"), "same customers")[0]
    assert not noted(run(history, trial, unit="customer"), "same customers")
    assert not noted(run(history.drop(columns="customer"), same, unit="customer"), "same customers")


def test_a_kpi_that_is_known_for_some_is_not_used_and_said(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    part = trial.assign(renewal=trial["later"].where(trial.index < 300))
    link = run(history, part)
    assert "known already for 300 of 2,000" in noted(link, "KPI known in part")[0]
    assert link.estimate.value == run(history, trial).estimate.value
    empty = trial.assign(renewal=np.nan)
    assert not noted(run(history, empty), "KPI known in part")


def test_an_unfair_lot_blocks_the_projection(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    lopsided = trial[(trial["arm"] == "manual") | (trial.index % 3 == 0)]
    link = run(history, lopsided)
    assert link.integrity.blocks
    assert link.grade == ""
    assert "BLOCKED" in str(link)


def test_a_lever_that_moves_nothing_leaves_the_size_open(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    link = run(history, trial.assign(hours=np.random.default_rng(0).gamma(4, 2, len(trial))))
    assert link.estimate.status is Status.WEAK
    assert "we cannot tell how much each hour faster would change renewal" in link.sentence
    assert "provisional until" in link.sentence


def test_a_cpi_that_is_constant_leaves_nothing_to_say(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    link = run(history, trial.assign(hours=5.0))
    assert link.estimate.status is Status.FAILED
    assert math.isnan(link.pair.var_kpi)
    assert "cannot be estimated" in link.sentence
    assert link.grade == ""
    assert "not available" in str(link)


def test_a_cpi_that_the_arm_sets_is_known_without_error(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    link = run(history, trial.assign(hours=np.where(trial["arm"] == "auto", 2.0, 5.0)))
    assert link.pair.effect_cpi == 3.0
    assert link.pair.var_cpi == link.pair.cov == 0.0
    assert link.estimate.value == pytest.approx(link.pair.effect_kpi / 3)


# -- earlier projections ---------------------------------------------------------------------------------------------


def earlier(history: pd.DataFrame, seed: int, direct: float = 0.0) -> tuple[ProjectedLink, Any]:
    """A projection of an earlier experiment, and what was measured in the end."""
    frame = trial_of(seed, direct=direct)
    named = {name: CALL[name] for name in ("cpi", "arm", "control", "increment")}
    return run(history, frame), link_effect(frame.assign(renewal=frame["later"]), kpi="renewal", **named)


def test_projections_that_came_true_widen_little(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    pairs = [earlier(history, seed) for seed in range(10, 16)]
    link, alone = run(history, trial, matured=pairs), run(history, trial)
    assert not noted(link, "earlier projections")
    assert link.estimate.value == alone.estimate.value
    assert 1 <= link.pair.var_kpi / alone.pair.var_kpi < 1.5
    assert len(link.came_true) == 6
    assert str(link).count("came true?") == 6


def test_projections_that_missed_widen_and_are_told(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    pairs = [earlier(history, seed, direct=0.15) for seed in range(10, 14)]
    link, alone = run(history, trial, matured=pairs), run(history, trial)
    assert "4 earlier projections missed what was measured" in noted(link, "earlier projections")[0]
    assert math.sqrt(link.var_gap) == pytest.approx(0.15, rel=0.4)
    assert link.pair.df < 10 < alone.pair.df
    assert link.estimate.ci_high - link.estimate.ci_low > 2 * (alone.estimate.ci_high - alone.estimate.ci_low)
    assert "what earlier projections were off by" in " ".join(str(link).split())


def test_the_gap_counts_only_what_the_two_do_not_share(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    projected, measured = earlier(history, 10)
    (seen,) = run(history, trial, matured=[(projected, measured.pair)]).came_true
    assert seen.std_error**2 == pytest.approx(measured.pair.var_kpi - projected.var_trial + projected.var_model)
    assert (seen.projected, seen.measured) == (projected.reduced_form.value, measured.pair.effect_kpi)


def test_gaps_of_true_projections_are_as_large_as_their_errors_say() -> None:
    """Over 80 matured experiments the gaps in units of their errors have variance one."""
    z = []
    for seed in range(80):
        projected, measured = earlier(past(seed, n=1000), seed + 500)
        variance = measured.pair.var_kpi - projected.var_trial + projected.var_model
        z.append((measured.pair.effect_kpi - projected.reduced_form.value) / math.sqrt(variance))
    assert abs(np.mean(z)) < 4 / math.sqrt(80)
    assert 0.5 < np.var(z) < 1.7


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("turned round", "matured holds LinkEffect and ProjectedLink"),
        ("no estimate", "matured holds ProjectedLink and float"),
        ("other KPI", "of 'churn', not of 'renewal'"),
        ("failed", "has no variance"),
    ],
)
def test_matured_pairs_that_do_not_fit_are_refused(
    history: pd.DataFrame, trial: pd.DataFrame, case: str, told: str
) -> None:
    projected, measured = earlier(history, 10)
    frame = trial_of(10).rename(columns={"later": "churn"})
    named = {name: CALL[name] for name in ("cpi", "arm", "control", "increment")}
    pairs = {
        "turned round": (measured, projected),
        "no estimate": (projected, 3.0),
        "other KPI": (projected, link_effect(frame, kpi="churn", **named)),
        "failed": (projected, EffectPair(effect_cpi=1, effect_kpi=1, var_cpi=1, var_kpi=math.nan, cov=math.nan)),
    }
    with pytest.raises(DataError, match=told):
        run(history, trial, matured=[pairs[case]])


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "call", "kind", "told"),
    [
        (lambda h, t: (h, t.assign(renewal=t["later"])), {}, DesignError, "known for all 2,000 customers of the trial"),
        (lambda h, t: (h.drop(columns="renewal"), t), {}, DataError, "history.*column 'renewal' is missing"),
        (lambda h, t: (h.drop(columns="visits"), t), {}, DataError, "history.*column 'visits' is missing"),
        (lambda h, t: (h, t.drop(columns="visits")), {}, DataError, "trial.*column 'visits' is missing"),
        (lambda h, t: (h, t), {"surrogates": []}, DataError, "no surrogate is named"),
        (lambda h, t: (h, t), {"surrogates": "renewal"}, DataError, "is the KPI and a surrogate"),
        (lambda h, t: (h, t), {"cpi": "renewal"}, DataError, "is the KPI and the CPI"),
        (lambda h, t: (h, t), {"covariates": "visits"}, DataError, "both an outcome and a covariate"),
        (lambda h, t: (h.assign(score=1.0), t), {}, DataError, "history: column 'score' is constant"),
        (lambda h, t: (h, t.assign(score=1.0)), {}, DataError, "trial: column 'score' is constant"),
        (lambda h, t: (h.assign(score=np.nan), t), {}, DataError, "no complete row"),
        (lambda h, t: (h, t.assign(score=np.nan)), {}, DataError, "trial: column 'score' is missing in every row"),
        (lambda h, t: (h.assign(renewal=0), t), {}, DataError, "history: column 'renewal' is constant"),
        (lambda h, t: (h.head(150), t), {}, EstimationError, "150 complete rows of history for 3 parameters"),
        (lambda h, t: (h.assign(copy=h["visits"]), t.assign(copy=t["visits"])), {"surrogates": ["visits", "copy"]},
         EstimationError, "exact combination"),
        (lambda h, t: (gather(h, ["renewal"], by=["team"]), t), {}, DataError, "moments hold no rows"),
        (lambda h, t: (h, gather(t, ["hours"], by=["arm"])), {}, DataError, "moments hold no rows"),
        (lambda h, t: (h, t), {"matures": "next spring"}, DesignError, "is not a date"),
        (lambda h, t: (h, t), {"matures": 2027}, DesignError, "is not a date"),
        (lambda h, t: (h, t), {"increment": 0}, DesignError, "is not a step"),
        (lambda h, t: (h, t), {"confidence_level": 95}, DesignError, "not between 0 and 1"),
        (lambda h, t: (h, t), {"history_cluster": "nobody"}, DataError, "column 'nobody' is missing"),
        (lambda h, t: (h, t.assign(arm=np.where(t.index % 3 == 0, "third", t["arm"]))), {}, DataError,
         "2 treatment arms"),
    ],
)  # fmt: skip
def test_what_cannot_be_projected_is_refused(
    history: pd.DataFrame,
    trial: pd.DataFrame,
    change: Callable[..., tuple[Any, Any]],
    call: dict[str, Any],
    kind: type[CpiError],
    told: str,
) -> None:
    with pytest.raises(kind, match=told):
        run(*change(history, trial), **call)


# -- how it shows itself ---------------------------------------------------------------------------------------------


def test_it_prints_within_80_columns_and_says_what_it_takes_for_granted(
    history: pd.DataFrame, trial: pd.DataFrame
) -> None:
    text = str(run(history, trial, time="month", covariates="before", matured=[earlier(history, 10)]))
    assert max(map(len, text.splitlines())) <= 80
    told = " ".join(text.split())
    for part in (
        "surrogacy: the lever reaches renewal only through visits and score",
        "comparability: the weight of visits and score in this trial is that of the history",
        "of its variance is the history's",
        "rows predicted from earlier ones",
        "C at most, until renewal itself is known",
        "of the trial's customers",
    ):
        assert part in told


def test_its_row_is_what_the_judge_reads(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    link = run(history, trial)
    row = link.to_frame().iloc[0]
    for name in ("effect_cpi", "effect_kpi", "var_cpi", "var_kpi", "cov"):
        assert row[name] == getattr(link.pair, name)
    assert (row["projected"], row["grade"]) == ("2027-03-31", "C")
    named = {"link": "hours -> renewal", "experiment": "E1", "lever": "auto", "sesoi": 0.002, "expected_sign": 1}
    table = pd.DataFrame(
        [{**named, **row[["effect_cpi", "effect_kpi", "var_cpi", "var_kpi", "cov", "df", "projected"]]}]
    )
    judged = judge_links(table).iloc[0]
    assert (judged["verdict"], judged["cause"], judged["grade"]) == ("inconclusive", "provisional", "C")
    assert judged["p_value"] == 1.0
    measured = judge_links(table.drop(columns="projected")).iloc[0]
    assert (measured["verdict"], measured["grade"]) == ("confirmed", "B")  # which is what the date prevents
    assert link.to_dict()["model"]["slopes"] == pytest.approx(link.model.slopes.tolist())
    assert "Projected" in link._repr_html_()


def test_it_is_drawn_as_projected(history: pd.DataFrame, trial: pd.DataFrame) -> None:
    figure = run(history, trial).plot(sesoi=0.01)
    texts = " ".join(each.get_text() for each in figure.findobj(Text))
    assert "Projected" in " ".join(texts.split())
