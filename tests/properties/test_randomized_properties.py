"""Laws of the randomised room that hold for any data."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cpi_experiments.display import plain
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.links.link import LinkEffect
from cpi_experiments.randomized.links.link_effect import link_effect
from cpi_experiments.stats.moments import add_moments, moments_of
from cpi_experiments.stats.planning.power import minimum_detectable_effect, power, sample_size

laws = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
METHODS = ({}, {"covariates": ["x"]}, {"strata": "s"}, {"cluster": "g"}, {"covariates": ["x"], "cluster": "g"})


@st.composite
def trials(draw: st.DrawFn) -> pd.DataFrame:
    """12 to 60 units; half-integer outcomes so that sums are exact, four clusters an arm at least."""
    seed, n = draw(st.integers(0, 2**32 - 1)), draw(st.integers(12, 60))
    rng = np.random.default_rng(seed)
    g = rng.permutation(np.arange(n) % 12)
    arm = np.where(g % 2 == 1, "b", "a")
    scale = draw(st.sampled_from([0.5, 1.0, 8.0]))
    cpi = rng.integers(-20, 20, n) / 2 + draw(st.sampled_from([0.0, 1.0, 6.0])) * (arm == "b")
    kpi = draw(st.sampled_from([-1.0, 0.0, 0.5])) * cpi + rng.integers(-20, 20, n) * scale
    s = np.empty(n, dtype=int)
    for each in ("a", "b"):
        rows = np.flatnonzero(arm == each)
        s[rows] = np.arange(len(rows)) % 2
    frame = pd.DataFrame({"arm": arm, "cpi": cpi, "kpi": kpi, "x": rng.integers(-9, 9, n) + 0.25 * kpi, "s": s, "g": g})
    assume(frame.groupby(["arm", "s"])["cpi"].size().min() > 1 and frame.groupby("arm")["g"].nunique().min() > 1)
    assume(frame.groupby("arm")[["cpi", "kpi"]].std().min().min() > 0)
    return frame


def run(frame: pd.DataFrame, **call: object) -> pd.Series:
    values = {"arm": "arm", "control": "a", "outcomes": "kpi"}
    return compare(frame, **{**values, **call}).to_frame().iloc[0]  # type: ignore[arg-type] # a mapping of names


def link(frame: pd.DataFrame, **call: object) -> LinkEffect:
    values = {"cpi": "cpi", "kpi": "kpi", "arm": "arm", "control": "a"}
    return link_effect(frame, **{**values, **call})  # type: ignore[arg-type, return-value] # one KPI


def close(found: object, expected: object) -> bool:
    return np.allclose(np.array(found), np.array(expected), rtol=1e-7, atol=1e-9, equal_nan=True)


def ends(pieces: tuple) -> list[float]:
    return [end for piece in pieces for end in piece]


@laws
@given(frame=trials(), method=st.sampled_from(METHODS), seed=st.integers(0, 1000))
def test_row_order_never_matters(frame: pd.DataFrame, method: dict, seed: int) -> None:
    shuffled = frame.sample(frac=1, random_state=seed)
    numbers = ["effect", "std_error", "ci_low", "ci_high", "p_value", "control_mean", "n_control"]
    assert close(run(shuffled, **method)[numbers].astype(float), run(frame, **method)[numbers].astype(float))
    one, two = link(frame, **method), link(shuffled, **method)
    assert one.estimate.status == two.estimate.status
    assert close(one.pair.effect_cpi, two.pair.effect_cpi)


@laws
@given(frame=trials(), method=st.sampled_from(METHODS))
def test_relabelled_arms_flip_the_sign_and_nothing_else(frame: pd.DataFrame, method: dict) -> None:
    row, flipped = run(frame, **method), run(frame, control="b", **method)
    assert close(
        flipped[["effect", "ci_low", "ci_high"]].astype(float), -row[["effect", "ci_high", "ci_low"]].astype(float)
    )
    assert close(flipped[["std_error", "p_value"]].astype(float), row[["std_error", "p_value"]].astype(float))
    one, two = link(frame, **method), link(frame, control="b", **method)
    assert close(one.estimate.value, two.estimate.value)
    assert len(one.ar_set) == len(two.ar_set)
    swapped = frame.assign(arm=frame["arm"].map({"a": "z", "b": "q"}))
    assert close(run(swapped, control="z", **method)["effect"], row["effect"])


@laws
@given(frame=trials(), method=st.sampled_from(METHODS), power_of_two=st.integers(-20, 20))
def test_units_rescale_exactly(frame: pd.DataFrame, method: dict, power_of_two: int) -> None:
    unit = 2.0**power_of_two
    row, scaled = run(frame, **method), run(frame.assign(kpi=frame["kpi"] * unit), **method)
    for name in ("effect", "std_error", "ci_low", "ci_high", "control_mean"):
        assert scaled[name] == row[name] * unit
    assert scaled["p_value"] == row["p_value"]
    one, two = link(frame, **method), link(frame.assign(cpi=frame["cpi"] * unit), increment=unit, **method)
    assert close(one.estimate.value, two.estimate.value)
    assert one.pair.effect_cpi == two.pair.effect_cpi
    assert one.f_effective == two.f_effective


@laws
@given(frame=trials(), method=st.sampled_from(METHODS), step=st.sampled_from([0.25, 1.0, 3.0]))
def test_the_increment_scales_the_effect_and_its_sign_flips_it(frame: pd.DataFrame, method: dict, step: float) -> None:
    one, up, down = (link(frame, increment=i, **method) for i in (1.0, step, -step))
    assert close(up.estimate.value, one.estimate.value * step)
    assert close(down.estimate.value, -up.estimate.value)
    assert close(sorted(ends(down.ar_set)), sorted(-end for end in ends(up.ar_set)))
    assert up.estimate.p_value == down.estimate.p_value == one.estimate.p_value
    assert up.breakdown == down.breakdown
    assert plain(up.first_stage) == plain(down.first_stage)


@laws
@given(frame=trials(), method=st.sampled_from(METHODS), level=st.sampled_from([0.5, 0.8, 0.95]))
def test_the_set_excludes_zero_exactly_when_the_kpi_test_rejects(
    frame: pd.DataFrame, method: dict, level: float
) -> None:
    found = link(frame, confidence_level=level, **method)
    assume(found.estimate.status.value != "failed")
    assume(abs(found.estimate.p_value - (1 - level)) > 1e-9)
    zero = any(low <= 0 <= high for low, high in found.ar_set)
    assert zero == (found.estimate.p_value > 1 - level)
    assert (found.breakdown > 0) == (not zero)


@laws
@given(frame=trials(), method=st.sampled_from(METHODS))
def test_the_set_holds_the_point_and_agrees_with_the_status(frame: pd.DataFrame, method: dict) -> None:
    found = link(frame, **method)
    assume(found.estimate.status.value != "failed" and found.first_stage.value != 0)
    low, high = found.estimate.ci_low, found.estimate.ci_high
    assert low <= found.estimate.value <= high
    assert (found.estimate.status.value == "ok") == (math.isfinite(low) and math.isfinite(high))


@laws
@given(frame=trials(), method=st.sampled_from(METHODS))
def test_other_columns_and_other_outcomes_change_nothing(frame: pd.DataFrame, method: dict) -> None:
    row = run(frame, **method)
    more = frame.assign(kpi_again=frame["kpi"], noise=1.0)[["noise", "kpi_again", *reversed(frame.columns)]]
    table = compare(more, arm="arm", control="a", outcomes=["kpi_again", "cpi", "kpi"], **method).to_frame()
    for name in ("effect", "std_error", "p_value"):
        assert table[name].iloc[2] == table[name].iloc[0] == row[name]


@laws
@given(frame=trials(), method=st.sampled_from(METHODS), parts=st.integers(1, 4), seed=st.integers(0, 1000))
def test_moments_of_any_split_say_what_rows_say(frame: pd.DataFrame, method: dict, parts: int, seed: int) -> None:
    keys = {name: frame[name].to_numpy() for name in ("arm", "s", "g")}
    columns = {name: frame[name].to_numpy(float) for name in ("cpi", "kpi", "x")}
    part = np.random.default_rng(seed).integers(0, parts, len(frame))
    split = add_moments(
        [
            moments_of({k: v[part == at] for k, v in columns.items()}, {k: v[part == at] for k, v in keys.items()})
            for at in np.unique(part)
        ]
    )
    numbers = ["effect", "std_error", "ci_low", "ci_high", "p_value", "control_mean", "n_control"]
    assert close(run(split, **method)[numbers].astype(float), run(frame, **method)[numbers].astype(float))
    one, two = link(frame, **method), link(split, **method)
    assert one.estimate.status == two.estimate.status
    assert close(plain(one.pair)["var_kpi"], plain(two.pair)["var_kpi"])
    assert one.shares == two.shares


@laws
@given(frame=trials(), shift=st.integers(-1000, 1000))
def test_a_constant_added_to_everyone_moves_no_effect(frame: pd.DataFrame, shift: int) -> None:
    row, moved = run(frame), run(frame.assign(kpi=frame["kpi"] + shift))
    assert close(
        moved[["effect", "std_error", "p_value"]].astype(float), row[["effect", "std_error", "p_value"]].astype(float)
    )


designs = {
    "std_dev": st.floats(1e-3, 1e3),
    "ratio": st.floats(0.1, 10),
    "alpha": st.sampled_from([0.001, 0.05, 0.2]),
    "alternative": st.sampled_from(["two-sided", "greater", "less"]),
}


@laws
@given(n=st.integers(8, 10**7), target=st.floats(0.3, 0.99), options=st.fixed_dictionaries(designs))
def test_power_and_effect_are_inverses(n: int, target: float, options: dict) -> None:
    effect = minimum_detectable_effect(n, target, **options)
    assert effect > 0
    signed = -effect if options["alternative"] == "less" else effect
    assert power(signed, n, **options) == pytest.approx(target, rel=1e-8)


@laws
@given(steps=st.floats(0.01, 2), target=st.floats(0.3, 0.99), options=st.fixed_dictionaries(designs))
def test_sample_size_is_the_smallest_that_reaches_the_power(steps: float, target: float, options: dict) -> None:
    effect = steps * options["std_dev"] * (-1 if options["alternative"] == "less" else 1)
    n = sample_size(effect, target, **options)
    assert power(effect, n, **options) >= target - 1e-7
    fewest = math.ceil(2 * (1 + max(options["ratio"], 1 / options["ratio"])) - 1e-6)
    assert n >= fewest
    assert n == fewest or power(effect, n - 1, **options) < target + 1e-7
    found = minimum_detectable_effect(n, target, **options)
    assert found <= abs(effect) * (1 + 1e-6)
