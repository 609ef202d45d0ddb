"""A registered experiment on measured customers: the link from a UnitFrame, and what has to hold first."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.catalog.load import load_catalog
from cpi_experiments.errors import DataError
from cpi_experiments.estimate import Link
from cpi_experiments.hypotheses.hypothesis import Hypothesis
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.units import UnitFrame, measure_units
from cpi_experiments.randomized.encouragement import check_integrity, encouragement, itt, trial_moments
from cpi_experiments.randomized.experiment import Experiment
from cpi_experiments.randomized.links.link_effect import link_effect

CATALOG = """\
cpis:
  - id: quote_hours
    label: Fast Quote
    outcome: "I get a price while I am still looking"
    benefit: functional
    function: sales
    discovery: {method: contextual_inquiry, when: 2026-03}
    unit: hour
    better: lower
    increment: 1 hour
    measure: {table: quotes, entity: customer_id, at: quoted_at, value: hours}
kpis:
  - id: win_rate
    label: Win rate
    unit: fraction
    better: higher
    measure: {table: quotes, entity: customer_id, at: quoted_at, value: won}
"""
CLAIM = Hypothesis(link=Link.parse("quote_hours -> win_rate"), expected_sign=1, sesoi=0.01)


def plan(**changes: object) -> Experiment:
    values = {
        "id": "e1", "lever": "auto_quote", "control": "manual", "allocation": {"manual": 1, "auto": 1},
        "hypotheses": ("quote_hours -> win_rate",), "randomize": "customer_id", "start": "2026-01-01",
        "end": "2026-03-31",
    }  # fmt: skip
    return Experiment(**{**values, **changes})  # type: ignore[arg-type] # checked by the test's own keys


def tables_of(arms: np.ndarray, *, extra: pd.DataFrame | None = None, lost: int = 0) -> dict[str, pd.DataFrame]:
    """Customers of three arms at most; two quotes each, none for the first ``lost`` ones of arm auto."""
    rng = np.random.default_rng(3)
    n = len(arms)
    day = pd.Timestamp("2026-01-05")
    assigned = pd.DataFrame({"experiment": "e1", "customer_id": np.arange(n), "arm": arms, "assigned_at": day})
    who = np.repeat(np.arange(n), 2)
    hours = rng.gamma(4, 2, 2 * n) - 3 * (arms[who] == "auto") + rng.normal(size=n)[who]
    quotes = pd.DataFrame(
        {
            "customer_id": who,
            "quoted_at": day + pd.to_timedelta(rng.integers(1, 20, 2 * n), unit="D"),
            "hours": hours,
            "won": (rng.random(2 * n) < 0.6 - 0.03 * hours).astype(int),
        }
    )
    silent = np.flatnonzero(arms == "auto")[:lost]
    customers = pd.DataFrame({"customer_id": np.arange(n), "size": rng.normal(size=n)})
    return {
        "assignments": pd.concat([assigned, extra]) if extra is not None else assigned,
        "quotes": quotes[~quotes["customer_id"].isin(silent)],
        "customers": customers,
    }


@pytest.fixture
def measure(tmp_path: Path) -> Callable[..., UnitFrame]:
    (tmp_path / "catalog.yaml").write_text(CATALOG, encoding="utf-8")
    catalog = load_catalog(tmp_path / "catalog.yaml")

    def measured(frames: dict[str, pd.DataFrame], *, covariates: tuple[str, ...] = ()) -> UnitFrame:
        with Tables(frames) as tables:
            return measure_units(
                tables, catalog, experiment="e1", cpis=["quote_hours"], kpis=["win_rate"], covariates=covariates
            )

    measured.catalog = catalog  # type: ignore[attr-defined] # carried along for the CPI
    return measured


@pytest.fixture
def arms() -> np.ndarray:
    return np.array(["manual", "auto"])[np.random.default_rng(2).permutation(400) % 2]


@pytest.mark.parametrize("covariates", [(), ("size",)])
def test_the_link_is_that_of_the_plain_door_in_the_catalogs_increment(measure, arms, covariates) -> None:
    data = measure(tables_of(arms), covariates=covariates)
    cpi = measure.catalog.cpis["quote_hours"]
    found = encouragement(data, plan(covariates=covariates), CLAIM, cpi=cpi)
    expected = link_effect(
        data.frame, cpi="quote_hours", kpi="win_rate", arm="arm", control="manual", increment=-1,
        covariates=list(covariates),
    )  # fmt: skip
    assert found.pair == expected.pair
    assert found.ar_set == expected.ar_set
    assert found.estimate.value == expected.estimate.value
    assert found.step == cpi.step
    assert found.pair.effect_cpi > 0
    effect = itt(data, plan(covariates=covariates), "win_rate")
    assert effect.value == pytest.approx(found.reduced_form.value, rel=1e-12)
    assert effect.estimand.value == "ITT"


def test_the_sample_ratio_is_that_of_the_plan(measure, arms) -> None:
    data = measure(tables_of(arms))
    good, bad = (check_integrity(data, plan(allocation={"manual": w, "auto": 1}))[0] for w in (1, 2))
    assert (good.passed, good.blocks) == (True, False)
    assert (bad.passed, bad.blocks) == (False, True)
    assert encouragement(data, plan(), CLAIM, cpi=measure.catalog.cpis["quote_hours"]).integrity == good


@pytest.mark.parametrize(("both", "blocks"), [(3, False), (20, True)])
def test_customers_in_several_arms_are_reported_from_the_measurement(measure, arms, both, blocks) -> None:  # C03
    frames = tables_of(arms)
    again = frames["assignments"].head(both).assign(arm=np.where(arms[:both] == "auto", "manual", "auto"))
    data = measure(tables_of(arms, extra=again))
    several = check_integrity(data, plan())[1]
    assert (several.passed, several.blocks) == (False, blocks)
    assert several.statistic == both
    assert f"{both} of 400 units" in several.advice


def test_missing_outcomes_are_compared_between_arms(measure, arms) -> None:
    even = check_integrity(measure(tables_of(arms)), plan(), outcomes=("quote_hours", "win_rate"))
    assert [d.name for d in even[2:]] == ["missing quote_hours", "missing win_rate"]
    assert all(d.passed for d in even)
    odd = check_integrity(measure(tables_of(arms, lost=25)), plan(), outcomes=("win_rate",))[2]
    assert (odd.passed, odd.blocks) == (False, True)
    assert "No win_rate: manual 0.0%, auto 12.5%" in odd.advice
    some = check_integrity(measure(tables_of(arms, lost=8)), plan(), outcomes=("win_rate",))[2]
    assert (some.passed, some.blocks) == (False, False)
    assert math.isfinite(some.p_value)


def test_three_arms_are_refused_not_reduced_to_the_first(measure) -> None:
    three = np.array(["manual", "auto", "semi"])[np.arange(300) % 3]
    data = measure(tables_of(three))
    experiment = plan(allocation={"manual": 1, "auto": 1, "semi": 1})
    with pytest.raises(DataError, match="2 treatment arms: 'auto', 'semi'"):
        encouragement(data, experiment, CLAIM, cpi=measure.catalog.cpis["quote_hours"])
    with pytest.raises(DataError, match="has 2 treatments"):
        itt(data, experiment, "win_rate")
    assert len(check_integrity(data, experiment, outcomes=("win_rate",))) == 3


def test_an_arm_outside_the_plan_is_refused(measure, arms) -> None:  # C06
    arms[0] = "autoo"
    with pytest.raises(DataError, match="arm 'autoo' is not in the allocation"):
        check_integrity(measure(tables_of(arms)), plan())


def test_an_outcome_that_was_not_measured_is_missing(measure, arms) -> None:
    with pytest.raises(DataError, match="column 'revenue' is missing"):
        itt(measure(tables_of(arms)), plan(), "revenue")


@pytest.mark.parametrize("covariates", [(), ("size",)])
def test_moments_taken_once_answer_for_links_effects_and_integrity(measure, arms, covariates) -> None:
    data, experiment = measure(tables_of(arms, lost=8), covariates=covariates), plan(covariates=covariates)
    moments = trial_moments(data, experiment)
    assert len(moments) < 8
    assert set(moments.columns) == {"quote_hours", "win_rate", *covariates}
    cpi = measure.catalog.cpis["quote_hours"]
    link, again = (encouragement(data, experiment, CLAIM, cpi=cpi, moments=each) for each in (None, moments))
    assert again.estimate.value == pytest.approx(link.estimate.value, rel=1e-12)
    assert again.estimate.dropped == link.estimate.dropped
    assert again.pair.cov == pytest.approx(link.pair.cov, rel=1e-10)
    assert again.integrity == link.integrity
    for outcome in ("quote_hours", "win_rate"):
        effect, same = (itt(data, experiment, outcome, moments=each) for each in (None, moments))
        assert same.p_value == pytest.approx(effect.p_value, rel=1e-10)
        assert same.dropped == effect.dropped
    both = [check_integrity(data, experiment, outcomes=("win_rate",), moments=each) for each in (None, moments)]
    assert repr(both[0]) == repr(both[1])  # not a number is not itself
    few = trial_moments(data, experiment, columns=["win_rate"])
    assert few.columns == ("win_rate", *covariates)


@pytest.mark.parametrize("covariates", [(), ("size",)])
def test_large_trials_are_read_in_blocks_to_the_same_numbers(measure, arms, covariates, monkeypatch) -> None:
    data, experiment = measure(tables_of(arms, lost=8), covariates=covariates), plan(covariates=covariates)
    cpi = measure.catalog.cpis["quote_hours"]
    whole = encouragement(data, experiment, CLAIM, cpi=cpi)
    checks = check_integrity(data, experiment, outcomes=("win_rate",))
    for module in ("trial_moments", "encouragement"):
        monkeypatch.setattr(f"cpi_experiments.randomized.{module}.SMALL", 37)
    found, again = (encouragement(data, experiment, CLAIM, cpi=cpi) for _ in range(2))
    assert found.estimate.value == pytest.approx(whole.estimate.value, rel=1e-12)
    assert found.pair.cov == pytest.approx(whole.pair.cov, rel=1e-10)
    assert found.estimate.digest == again.estimate.digest
    assert repr(check_integrity(data, experiment, outcomes=("win_rate",))) == repr(checks)
    assert itt(data, experiment, "win_rate").n_obs == itt(data, plan(), "win_rate").n_obs
    with pytest.raises(DataError, match="column 'revenue' is missing"):
        itt(data, experiment, "revenue")


def test_arms_too_unequal_for_rare_answers_block_the_evidence(measure) -> None:
    arms = np.where(np.arange(1200) % 12 == 0, "auto", "manual")
    frames = tables_of(arms)
    frames["quotes"]["won"] = (np.random.default_rng(5).random(len(frames["quotes"])) < 0.02).astype(int)
    data = measure(frames)
    found = encouragement(
        data, plan(allocation={"manual": 11, "auto": 1}), CLAIM, cpi=measure.catalog.cpis["quote_hours"]
    )
    check = next(each for each in found.estimate.diagnostics if each.name in ("events per arm", "tails"))
    assert check.blocks
    assert not check.passed


def test_equal_arms_are_large_enough_for_common_answers(measure) -> None:
    data = measure(tables_of(np.array(["auto", "manual"] * 300)))
    found = encouragement(data, plan(), CLAIM, cpi=measure.catalog.cpis["quote_hours"])
    assert not any(each.blocks for each in found.estimate.diagnostics)
