"""`link_effect` with several treatments: instruments that share a control, and arms that disagree."""

import math
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import EstimationError
from cpi_experiments.randomized.links.arms_link import ArmsLink
from cpi_experiments.randomized.links.link import LinkEffects
from cpi_experiments.randomized.links.link_effect import link_effect
from cpi_experiments.stats.instruments.several_instruments import joint_critical


def build(seed: int = 1, *, bypass: float = 0.0, moved: float = 1.0, n: int = 900) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    arm = rng.choice(["today", "fast", "sms", "call"], n, p=[0.4, 0.2, 0.2, 0.2])
    place, before = rng.integers(0, 40, n), rng.normal(size=n)
    hours = rng.gamma(4, 2, n) + before - moved * (3 * (arm == "fast") + 2 * (arm == "sms") + (arm == "call"))
    spend = 20 - 0.5 * hours + before + 2 * rng.normal(size=n) + bypass * (arm == "call")
    return pd.DataFrame(
        {
            "arm": arm,
            "hours": hours,
            "spend": spend,
            "won": (rng.random(n) < 0.7 - 0.03 * hours).astype(int),
            "before": before,
            "region": rng.integers(0, 3, n),
            "team": place,
            "team_of_arm": place + 100 * np.unique(arm, return_inverse=True)[1],
            "fixed": 1.0,
        }
    )


def run(frame: Any, **call: Any) -> ArmsLink:
    weights = {"today": 2, "fast": 1, "sms": 1, "call": 1}
    return link_effect(
        frame,
        **{
            "allocation": weights,
            "cpi": "hours",
            "kpi": "spend",
            "arm": "arm",
            "control": "today",
            "increment": -1,
            **call,
        },
    )


def inside(pieces: tuple, t: float) -> bool:
    return any(low <= t <= high for low, high in pieces)


@pytest.fixture
def frame() -> pd.DataFrame:
    return build()


def test_two_stage_is_two_stage_least_squares_with_dummies(frame: pd.DataFrame) -> None:
    iv = pytest.importorskip("linearmodels.iv")
    z = pd.get_dummies(frame["arm"], dtype=float).drop(columns="today")
    one = pd.Series(1.0, index=frame.index, name="one")
    fit = iv.IV2SLS(frame["spend"], one, -frame["hours"].rename("faster"), z).fit(cov_type="robust")
    link = run(frame)
    assert link.two_stage == pytest.approx(fit.params.iloc[-1], rel=1e-9)
    assert link.two_stage_error == pytest.approx(fit.std_errors.iloc[-1], rel=0.03)
    assert link.agreement.statistic == pytest.approx(fit.wooldridge_overid.stat, rel=0.1)  # a score test there
    exog = pd.DataFrame({"one": 1.0, "before": frame["before"]})
    fit = iv.IV2SLS(frame["spend"], exog, -frame["hours"].rename("faster"), z).fit(cov_type="robust", debiased=True)
    link = run(frame, adjustment="regression", covariates="before")
    assert link.two_stage == pytest.approx(fit.params.iloc[-1], rel=1e-9)
    assert link.two_stage_error == pytest.approx(fit.std_errors.iloc[-1], rel=0.02)


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"covariates": ["before"]},
        {"covariates": ["before", "fixed"], "strata": "region"},
        {"cluster": "team_of_arm"},
        {"cluster": "team", "covariates": "before"},
        {"adjustment": "regression", "covariates": "before", "strata": "region"},
        {"adjustment": "regression", "cluster": "team_of_arm"},
    ],
)
def test_arms_agree_with_the_joint_effects_and_the_set_with_the_test(frame: pd.DataFrame, call: dict) -> None:
    link = run(frame, **call)
    k, joint = 3, link.joint
    critical = joint_critical(k, joint.df)
    for t in np.linspace(-1, 2, 61):
        if abs(joint.statistic(t) - critical) > 1e-6:
            assert inside(link.ar_set, t) == (joint.statistic(t) <= critical)
    assert inside(link.ar_set, link.estimate.value)
    assert joint.statistic(link.estimate.value) == pytest.approx(link.agreement.statistic, rel=1e-8)
    assert inside(link.ar_set, 0.0) == (link.estimate.p_value >= 0.05)
    assert inside(link.ar_set, 0.5)
    exact = not {"covariates", "strata"} & set(call) or "adjustment" in call
    for j, arm in enumerate(link.arms):
        tolerance = {"rel": 1e-9} if exact else {"rel": 0.15}  # alone, an arm is adjusted with its own rows only
        assert joint.first[j] == pytest.approx(-arm.first_stage.value, **tolerance)
        assert joint.omega[j, j] == pytest.approx(arm.pair.var_cpi, **tolerance)
        assert joint.omega[k + j, k + j] == pytest.approx(arm.pair.var_kpi, **tolerance)
        assert joint.omega[j, k + j] == pytest.approx(arm.pair.cov, **tolerance)
    assert link.estimate.n_obs == len(frame)
    assert link.estimate.n_clusters == {"team": 40, "team_of_arm": frame["team_of_arm"].nunique()}.get(
        call.get("cluster", ""), 0
    )
    assert ("randomised by" in str(link)) == (call.get("cluster") == "team_of_arm")


def test_every_arm_alone_is_the_link_of_its_rows(frame: pd.DataFrame) -> None:
    link = run(frame, covariates="before", strata="region")
    for arm in link.arms:
        rows = frame[frame["arm"].isin(["today", arm.first_stage.cause])]
        alone = run(rows, covariates="before", strata="region", allocation={"today": 2, arm.first_stage.cause: 1})
        assert arm.ar_set == alone.ar_set
        assert arm.pair == alone.pair


def test_one_adjustment_of_all_arms_by_brute_force(frame: pd.DataFrame) -> None:
    design = np.stack([np.ones(len(frame)), frame["before"]], axis=1)
    both = frame[["hours", "spend"]].to_numpy()
    both = both - design @ np.linalg.lstsq(design, both, rcond=None)[0]
    own = {arm: both[frame["arm"] == arm] for arm in ("today", "call", "fast", "sms")}
    joint = run(frame, covariates="before", increment=1).joint
    shared = np.cov(own["today"].T) / len(own["today"])
    for j, arm in enumerate(["call", "fast", "sms"]):
        effect = own[arm].mean(axis=0) - own["today"].mean(axis=0)
        assert (joint.first[j], joint.reduced[j]) == pytest.approx(effect, rel=1e-9)
        block = joint.omega[np.ix_([j, 3 + j], [j, 3 + j])]
        assert block == pytest.approx(shared + np.cov(own[arm].T) / len(own[arm]), rel=1e-9)
        other = (j + 1) % 3
        assert joint.omega[np.ix_([j, 3 + j], [other, 3 + other])] == pytest.approx(shared, rel=1e-9)


def test_an_arm_with_another_way_empties_the_set_and_is_said_in_words() -> None:
    link = run(build(bypass=3.0))
    assert link.ar_set == ()
    assert link.estimate.status.value == "failed"
    assert math.isnan(link.estimate.value)
    assert math.isnan(link.estimate.ci_low)
    assert link.estimate.p_value < 0.05  # that some arm moved the KPI is still told
    assert not link.agreement.passed
    assert not link.agreement.blocks
    assert "the arms disagree more than chance, so at least one arm reaches the KPI by another way" in link.sentence
    assert "Read the arms one by one" in " ".join(str(link).split())
    assert link.plot().get_size_inches().tolist() == [7.5, 4.2]


def test_weak_arms_leave_the_size_open() -> None:
    link = run(build(moved=0.0))
    assert link.estimate.status.value == "weak"
    assert any(math.isinf(end) for piece in link.ar_set for end in piece)
    assert "We cannot tell" in link.sentence
    assert not {d.name: d for d in link.estimate.diagnostics}["first stage"].passed
    assert len(link.plot(sesoi=0.2).axes) == 2


def test_more_than_one_effect_can_fit() -> None:
    """Two arms whose moments leave two bounded pieces: they are said as pieces, not as one interval."""
    rng, n = np.random.default_rng(2), 300
    means = [(0.0, 0.0), (0.7, -1.6), (-1.3, -1.6)]
    variances = [[[1.499, -0.065], [-0.065, 0.01]], [[0.12, -0.159], [-0.159, 1.407]], [[0.53, 0.085], [0.085, 0.017]]]
    parts = []
    for arm, mean, variance in zip("abc", means, variances, strict=True):
        z = rng.normal(size=(n, 2))
        z = (z - z.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T
        rows = mean + z @ np.linalg.cholesky(n * np.array(variance)).T
        parts.append(pd.DataFrame({"arm": arm, "x": rows[:, 0], "y": rows[:, 1]}))
    link = link_effect(pd.concat(parts, ignore_index=True), cpi="x", kpi="y", arm="arm", control="a")
    assert len(link.ar_set) == 2
    assert np.array(link.ar_set) == pytest.approx(np.array([[-5.664, -0.717], [0.335, 10.41]]), rel=0.2)
    assert "More than one effect" in link.sentence
    assert link.estimate.status.value == "weak"
    assert {d.name: d.passed for d in link.estimate.diagnostics}["first stage"]


def test_a_constant_kpi_or_cpi_has_no_link(frame: pd.DataFrame) -> None:
    for call in ({"kpi": "fixed"}, {"cpi": "fixed"}, {"kpi": "fixed", "adjustment": "regression"}):
        link = run(frame, **call)
        assert link.estimate.status.value == "failed"
        assert link.ar_set == ()
        assert math.isnan(link.estimate.p_value)
        assert "cannot be estimated" in link.sentence
        with pytest.raises(EstimationError, match="no estimate to draw"):
            link.plot()
    assert "the link is not testable by this experiment" in " ".join(str(run(frame, cpi="fixed")).split())


def test_rows_are_complete_in_every_arm_and_counted_once(frame: pd.DataFrame) -> None:
    frame["hours"] = frame["hours"].mask(frame.index < 7)
    frame["arm"] = frame["arm"].mask(frame.index == 20)
    for adjustment in ("cuped", "regression"):
        link = run(frame, adjustment=adjustment)
        assert dict(link.estimate.dropped) == {"without arm": 1, "without hours": 7}
        assert link.estimate.n_obs == len(frame) - 8
        assert "8 rows: 1 without arm, 7 without hours" in str(link)


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"kpi": "won"},
        {"kpi": "won", "cluster": "team_of_arm"},
        {"allocation": dict.fromkeys(["today", "fast", "sms", "call"], 1)},
    ],
)
def test_text_fits_a_terminal_and_tables_hold_every_arm(frame: pd.DataFrame, call: dict) -> None:
    link = run(frame, also_moved="before", **call)
    assert max(map(len, str(link).splitlines())) <= 80
    assert " ".join(str(link).split()).startswith(link.sentence)
    assert link.sentence in link._repr_html_()
    assert link.to_frame()["arm"].tolist() == ["all", "call", "fast", "sms"]
    assert ("points" in link.sentence) == ("kpi" in call)
    assert "J " in str(link)
    assert link.estimate.diagnostics[-1].name == "bundle"
    assert ("BLOCKED" in str(link)) == ("allocation" in call)


def test_lists_hold_links_of_all_arms(frame: pd.DataFrame) -> None:
    links = run(frame, kpi=["won", "spend"])
    assert isinstance(links, LinkEffects)
    assert links["spend"].ar_set == run(frame).ar_set
    assert len(links.to_frame()) == 8
    assert "Each hour faster" in str(links)


def test_data_of_every_kind_give_the_same(frame: pd.DataFrame, tmp_path: Any) -> None:
    expected = run(frame, covariates="before", strata="region")
    duckdb.from_df(frame).write_parquet(str(tmp_path / "t.parquet"))
    found = run(tmp_path / "t.parquet", covariates="before", strata="region")
    assert np.array(found.ar_set) == pytest.approx(np.array(expected.ar_set), rel=1e-9)
    assert found.agreement.statistic == pytest.approx(expected.agreement.statistic, rel=1e-8)
    found = run(tmp_path / "t.parquet", adjustment="regression", covariates="before")
    assert found.two_stage == pytest.approx(
        run(frame, adjustment="regression", covariates="before").two_stage, rel=1e-9
    )


def test_a_sharp_cpi_is_a_known_move_of_every_arm(frame: pd.DataFrame) -> None:
    frame["hours"] = frame["arm"].map({"today": 3.0, "fast": 0.0, "sms": 1.0, "call": 2.0})
    link = run(frame)
    assert math.isinf(link.f_effective)
    assert math.isfinite(link.estimate.ci_low)
    assert inside(link.ar_set, link.estimate.value)
    assert len(link.plot().axes) == 2
