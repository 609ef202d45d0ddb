"""An audit says what would undo a link: a direct path, somebody moved the other way, another outcome that moved."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.randomized.links.audit_link import audit_link
from cpi_experiments.stats.instruments.fieller import fieller_set
from cpi_experiments.stats.student import quantile

CALL = {"cpi": "hours", "kpi": "won", "arm": "arm", "control": "manual", "increment": -1}


def trial(n: int = 2000, *, seed: int = 1, share: float = 0.5, harm: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    auto = np.arange(n) % 100 < 100 * share
    hours = rng.gamma(4, 2, n)
    hours = hours - np.where(harm & (hours > 8), -3.0, 3.0) * auto
    won = (rng.random(n) < np.clip(0.5 - 0.03 * hours, 0, 1)).astype(int)
    return pd.DataFrame(
        {
            "arm": np.where(auto, "auto", "manual"),
            "hours": hours,
            "won": won,
            "called": (rng.random(n) < np.where(auto, 0.7, 0.2)).astype(int),
            "shoe": rng.normal(size=n),
            "mood": rng.normal(size=n) + 0.5 * auto,
            "agent": rng.integers(0, 40, n) * 2 + auto,
        }
    )


def test_direct_paths_widen_the_set_until_the_breakdown_takes_its_sign():
    found = audit_link(trial(), **CALL, direct_shares=(0, 0.2, 0.4, 0.8, 1))
    pair = found.link.pair
    critical = quantile(0.975, pair.df)
    numbers = {"var_x": pair.var_cpi, "var_y": pair.var_kpi, "cov": pair.cov, "critical": critical}
    np.testing.assert_allclose(
        found.direct[0].confidence_set, fieller_set(pair.effect_cpi, pair.effect_kpi, **numbers), rtol=1e-9
    )
    assert [path.keeps_sign for path in found.direct] == [path.share < found.link.breakdown for path in found.direct]
    widths = [path.confidence_set[0][1] - path.confidence_set[0][0] for path in found.direct]
    assert widths == sorted(widths)


def test_a_yes_no_cpi_says_who_did_as_assigned():
    frame = trial()
    found = audit_link(frame, **{**CALL, "cpi": "called", "increment": 1})
    by_arm = frame.groupby("arm")["called"].mean()
    assert found.weights is None
    assert found.compliance is not None
    assert found.compliance.always == pytest.approx(by_arm["manual"])
    assert found.compliance.never == pytest.approx(1 - by_arm["auto"])
    assert found.compliance.moved == pytest.approx(found.link.first_stage.value)
    assert "who had called because of the assignment" in str(found).replace("\n    ", " ")


def test_a_lever_that_lowers_a_yes_no_cpi_speaks_of_those_who_did_not_have_it():
    frame = trial()
    found = audit_link(frame.assign(called=1 - frame["called"]), **{**CALL, "cpi": "called"})
    plain = audit_link(frame, **{**CALL, "cpi": "called", "increment": 1})
    assert found.compliance is not None
    assert plain.compliance is not None
    assert found.compliance.moved == pytest.approx(-plain.compliance.moved)
    assert (found.compliance.always, found.compliance.never) == pytest.approx(
        (plain.compliance.never, plain.compliance.always)
    )
    told = " ".join(str(found).split())
    assert f"{100 * plain.compliance.moved:.1f}% who did not have called because of the assignment" in told


def lopsided(*, seed: int = 5) -> pd.DataFrame:
    """Arms of unlike shares in two strata that differ in the CPI: only within strata does a comparison say anything."""
    rng = np.random.default_rng(seed)
    south = rng.random(4000) < 0.5
    auto = rng.random(4000) < np.where(south, 0.6, 0.4)
    visits = rng.poisson(np.where(south, 6, 2) + 0.5 * auto)
    frame = pd.DataFrame({"region": np.where(south, "south", "north"), "arm": np.where(auto, "auto", "manual")})
    return frame.assign(
        visits=visits,
        called=rng.random(4000) < np.where(south, 0.7, 0.1) + 0.1 * auto,
        won=visits + rng.normal(size=4000),
        shop=np.arange(4000),
    )


STRATA = {"kpi": "won", "arm": "arm", "control": "manual", "strata": "region"}


def test_strata_and_audit_speak_of_one_first_stage():
    frame = lopsided()
    yes_no, graded = (audit_link(frame, cpi=cpi, **STRATA) for cpi in ("called", "visits"))
    assert yes_no.compliance is not None
    assert graded.weights is not None
    assert yes_no.compliance.moved == pytest.approx(yes_no.link.first_stage.value)
    assert graded.weights.gained.sum() == pytest.approx(graded.link.first_stage.value)
    assert graded.weights.gained.sum() != pytest.approx(
        frame.groupby("arm")["visits"].mean().diff().iloc[1] * -1, abs=0.1
    )
    assert graded.doubts == ()


def test_arms_are_permuted_within_strata():
    asked = audit_link(lopsided(), cpi="visits", **STRATA, resample="always", reps=499)
    (low, high), (plain_low, plain_high) = asked.permuted_set[0], asked.link.ar_set[0]
    assert (low, high) == (pytest.approx(plain_low, abs=0.05), pytest.approx(plain_high, abs=0.05))


def test_units_in_several_arms_are_left_out_of_every_part_of_an_audit():
    frame = trial(600).assign(unit=np.arange(600))
    twice = frame.iloc[:60].assign(arm=np.where(frame["arm"].iloc[:60] == "auto", "manual", "auto"), hours=500.0)
    call = {**CALL, "negative_controls": "mood", "unit": "unit", "resample": "always", "reps": 99}
    found = audit_link(pd.concat([frame, twice], ignore_index=True), **call)
    expected = audit_link(frame.iloc[60:], **call)
    assert found.weights is not None
    assert expected.weights is not None
    np.testing.assert_allclose(found.weights.gained, expected.weights.gained)
    np.testing.assert_allclose(found.permuted_set, expected.permuted_set)
    assert found.link.first_stage.value == pytest.approx(expected.link.first_stage.value)
    assert found.negative_controls[0].value == pytest.approx(expected.negative_controls[0].value)


def test_an_audit_says_what_covariates_did_not_adjust():
    frame = trial()
    with_it, without = audit_link(frame, **CALL, covariates=["shoe"]), audit_link(frame, **CALL)
    assert "without covariates" in str(with_it)
    assert "without covariates" not in str(without)
    assert with_it.weights is not None
    assert without.weights is not None
    np.testing.assert_array_equal(with_it.weights.gained, without.weights.gained)


def test_a_graded_cpi_says_where_it_was_moved():
    found = audit_link(trial(), **CALL)
    assert found.compliance is None
    assert found.weights is not None
    assert found.weights.weight.sum() == pytest.approx(1)
    assert found.weights.gained.sum() == pytest.approx(found.link.first_stage.value)
    assert "step of the CPI" in str(found)


def test_customers_moved_the_other_way_are_a_doubt():
    assert audit_link(trial(), **CALL).doubts == ()
    (doubt,) = audit_link(trial(8000, harm=True), **{**CALL, "kpi": "shoe"}).doubts
    assert "the other way" in doubt


def test_a_negative_control_that_moves_is_a_doubt():
    found = audit_link(trial(), **CALL, negative_controls=["shoe", "mood"])
    assert [estimate.outcome for estimate in found.negative_controls] == ["shoe", "mood"]
    (doubt,) = found.doubts
    assert doubt.startswith("mood, which only another way could move, moved")
    assert "DOUBT: mood" in str(found)


def test_rare_events_in_unequal_arms_are_permuted():
    frame = trial(3000, share=0.1, seed=3)
    frame["won"] = (np.random.default_rng(3).random(3000) < 0.02).astype(int)
    found = audit_link(frame, **CALL, reps=499)
    assert found.why_permuted.startswith("not 100 or more of the rarer answer")
    assert 0 < found.permuted_p <= 1
    assert found.permuted_set
    assert "by permutation" in str(found)


def test_permutation_can_be_asked_for_and_forbidden():
    frame = trial(400)
    assert audit_link(frame, **CALL).why_permuted == ""
    asked = audit_link(frame, **CALL, resample="always", reps=999)
    assert asked.why_permuted == "asked for"
    assert asked.permuted_p == pytest.approx(asked.link.estimate.p_value, abs=0.03)
    (low, high), (plain_low, plain_high) = asked.permuted_set[0], asked.link.ar_set[0]
    assert (low, high) == (pytest.approx(plain_low, abs=0.01), pytest.approx(plain_high, abs=0.01))
    assert asked.to_dict() == audit_link(frame, **CALL, resample="always", reps=999).to_dict()
    rare = frame.assign(won=np.arange(400) < 3)
    assert audit_link(rare, **CALL, resample="never").why_permuted == ""
    assert audit_link(rare, **CALL, reps=99).why_permuted.startswith("not 10 or more of the rarer answer")


def test_clusters_are_permuted_whole():
    found = audit_link(trial(), **CALL, cluster="agent", resample="always", reps=199)
    assert found.link.estimate.n_clusters == 80
    assert not math.isnan(found.permuted_p)


def test_the_frame_names_every_check():
    found = audit_link(trial(400), **CALL, negative_controls="shoe", resample="always", reps=99)
    assert set(found.to_frame()["check"]) == {"direct path", "negative control", "permutation", "weight"}
    assert found._repr_html_().startswith("<p>Each hour")
    assert max(map(len, str(found).splitlines())) <= 80


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"direct_shares": (1.2,)}, DesignError, "1.2 of a direct path"),
        ({"resample": "maybe"}, DesignError, "'maybe' is not known"),
        ({"negative_controls": "won"}, DataError, "is the link itself"),
    ],
)
def test_what_cannot_be_audited_is_refused(change, error, told):
    with pytest.raises(error, match=told):
        audit_link(trial(200), **CALL, **change)


def test_several_treatments_are_refused():
    frame = trial(300)
    frame.loc[frame.index % 3 == 0, "arm"] = "other"
    with pytest.raises(DataError, match="one treatment"):
        audit_link(frame, **CALL)
