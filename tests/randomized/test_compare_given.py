"""What `compare` and plans are given by mistake, labels of every kind, and numbers that would mislead."""

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cpi_experiments
from cpi_experiments.display import points
from cpi_experiments.errors import CpiError, DataError, DesignError, kind_of, nearest
from cpi_experiments.randomized.arms import arms_of
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.effects.comparison import Comparison
from cpi_experiments.randomized.effects.outcomes import Mean, Ratio
from cpi_experiments.randomized.effects.row_outcomes import Quantile, Rank
from cpi_experiments.randomized.experiment import Experiment
from cpi_experiments.randomized.links.link_effect import link_effect
from cpi_experiments.randomized.planning.design import design
from cpi_experiments.randomized.planning.planned_outcomes import PlannedMean
from cpi_experiments.randomized.planning.simulated_power import simulate_power


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 600
    return pd.DataFrame(
        {
            "arm": rng.choice(["a", "b", "c"], n),
            "y": rng.normal(5, 1, n),
            "visits": rng.poisson(3, n) + 1,
            "flag": rng.random(n) < 0.5,
            "whole": rng.choice([1, 2, 10], n),
            "lists": [["x"]] * n,
            "region": rng.choice(["north", "south"], n),
        }
    )


def ask(table: Any, **call: Any) -> Comparison:
    return compare(table, **({"arm": "arm", "control": "a", "outcomes": "y"} | call))


# -- what is given by mistake ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ({"outcomes": 5}, "5 is no outcome"),
        ({"outcomes": None}, "None is no outcome"),
        ({"outcomes": {"y": 1}}, "is no outcome"),
        ({"arm": ["arm"]}, "is not a column name"),
        ({"arm": "lists"}, "holds values of type list"),
        ({"strata": "lists"}, "holds values of type list"),
        ({"by": "lists"}, "holds values of type list"),
        ({"by": 3}, "3 is not a column name"),
        ({"covariates": 3}, "3 is not a column name"),
        ({"covariates": [3]}, "3 is not a column name"),
        ({"strata": {"region": 1}}, "is not a column name"),
        ({"cluster": 3}, "3 is not a column name"),
        ({"unit": ["arm"]}, "is not a column name"),
        ({"cluster": 3, "outcomes": Rank("y")}, "3 is not a column name"),
        ({"confidence_level": "95%"}, "confidence level '95%' is not between 0 and 1"),
        ({"confidence_level": None}, "confidence level None is not between 0 and 1"),
        ({"pool": ["b"]}, "has no name"),
        ({"pool": {"any": 3}}, "holds 3, no arms"),
        ({"allocation": [1, 1, 1]}, "names no arms"),
        ({"allocation": {"a": "1", "b": 1, "c": 1}}, "holds a share that is not above zero"),
        ({"allocation": {"a": math.inf, "b": 1, "c": 1}}, "holds a share that is not above zero"),
        ({"seed": "x"}, "seed 'x' is not a whole number from 0 on"),
        ({"seed": -1}, "seed -1 is not a whole number from 0 on"),
        ({"seed": 1.5}, "seed 1.5 is not a whole number"),
        ({"reps": "x"}, "reps 'x' is not a whole number"),
        ({"margin": 1, "margin_scale": 3}, "margin scale 3 is not known"),
        ({"margin": {3: 1}}, "margin names 3"),
    ],
)
def test_a_wrong_kind_is_one_message(table: pd.DataFrame, call: dict[str, Any], found: str) -> None:
    with pytest.raises(CpiError) as caught:
        ask(table, **call)
    assert found in str(caught.value)
    assert caught.value.advice


@pytest.mark.parametrize(
    "make",
    [
        lambda: Mean(3),  # type: ignore[arg-type] - the mistake
        lambda: Ratio("y", None),  # type: ignore[arg-type] - the mistake
        lambda: Rank(None),  # type: ignore[arg-type] - the mistake
        lambda: Quantile(None),  # type: ignore[arg-type] - the mistake
        lambda: Quantile("y", "0.5"),  # type: ignore[arg-type] - the mistake
        lambda: Quantile("y", True),  # noqa: FBT003 - the mistake
    ],
)
def test_an_outcome_of_a_wrong_kind_is_refused_at_once(make: Any) -> None:
    with pytest.raises(DesignError, match="does not exist"):
        make()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"seed": "x"}, "seed 'x'"),
        ({"seed": -1}, "seed -1"),
        ({"reps": 1.5}, "reps 1.5"),
        ({"increment": "1"}, "increment is '1'"),
        ({"alpha": "5%"}, "alpha is '5%'"),
        ({"effect": "0.1"}, "effect is '0.1'"),
        ({"effect": [0.1, None]}, "effect is None"),
        ({"n": "200"}, "n is '200'"),
        ({"arm_share": None}, "arm_share is None"),
        ({"fdr": "x"}, "fdr is 'x'"),
        ({"links": None}, "links is None"),
    ],
)
def test_simulations_refuse_what_is_no_number(table: pd.DataFrame, change: dict[str, Any], found: str) -> None:
    with pytest.raises(DesignError) as caught:
        simulate_power(table, **({"outcome": "y", "effect": 0.1, "n": 200, "reps": 100} | change))
    assert found in str(caught.value)


def test_a_plan_refuses_weights_without_arms() -> None:
    with pytest.raises(DesignError, match="names no arms"):
        design(PlannedMean(sd=1), effect=0.1, allocation=[1, 1])  # type: ignore[arg-type] - the mistake
    with pytest.raises(DesignError, match="1 customer is too few"):
        design(PlannedMean(sd=1), n=1)


def test_the_nearest_word_is_found_for_anything() -> None:
    assert nearest(None, ["target", 3]) == "Known: 3, target."
    assert nearest("tagret", ("target",)) == "Did you mean 'target'?"


def test_the_package_lists_public_names_only() -> None:
    listed = [name for name in dir(cpi_experiments) if not name.startswith("__")]
    assert listed == sorted(cpi_experiments.__all__)


# -- labels of arms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("control", [False, np.False_, "False", "false"])
@pytest.mark.parametrize("kind", ["bool", "boolean", "object", "csv", "parquet"])
@pytest.mark.parametrize("outcome", ["y", Rank("y")])
def test_boolean_arms_keep_their_labels(
    table: pd.DataFrame, control: Any, kind: str, outcome: Any, tmp_path: Any
) -> None:
    data: Any = table[["flag", "y"]]
    if kind in ("csv", "parquet"):
        path = tmp_path / f"t.{kind}"
        data.to_csv(path, index=False) if kind == "csv" else data.to_parquet(path)
        data = str(path)
    else:
        data = data.assign(flag=data["flag"].astype(kind))
    effect = compare(data, arm="flag", control=control, outcomes=outcome, allocation={False: 1, True: 1}).effects[0]
    assert (effect.control, effect.arm) == (False, True)
    assert isinstance(effect.control, bool)
    assert "True" in str(effect.estimate)
    if isinstance(outcome, str):
        means = table.groupby("flag")["y"].mean()
        assert effect.estimate.value == pytest.approx(means[True] - means[False])


def test_true_is_not_one_and_one_is_one(table: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="control True is not an arm"):
        ask(table, arm="whole", control=True)
    for control in (1, 1.0, "1"):
        found = ask(table, arm="whole", control=control)
        assert [(each.control, each.arm) for each in found.effects] == [(1, 2), (1, 10)]
    with pytest.raises(DataError, match="control 'False' is not an arm"):
        ask(table, control="False")


def test_arms_are_ordered_numbers_first() -> None:
    values = np.array(["b", 10, 2, "a", None, 2], dtype=object)
    codes, labels = arms_of(values, arm="arm", control="a", allocation=None)
    assert labels == ("a", 2, 10, "b")
    assert codes.tolist() == [3, 2, 1, 0, -1, 1]


# -- numbers that would mislead --------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Mean("y"), Quantile("y", 0.5), Ratio("y", "visits")])
@pytest.mark.parametrize("inference", ["formula", "bootstrap"])
def test_a_share_of_what_may_be_zero_is_left_blank(outcome: Any, inference: Any) -> None:
    rng = np.random.default_rng(8)
    y = rng.normal(0.02, 1, (2, 400))
    y[0] += 0.02 - y[0].mean()
    frame = pd.DataFrame({"arm": np.repeat(["a", "b"], 400), "y": y.ravel(), "visits": 1.0})
    frame["visits"] += rng.random(800)
    call = {"outcomes": outcome, "inference": inference, "reps": 199}
    found = ask(frame, **call).effects[0]
    assert math.isnan(found.rel_effect)
    assert math.isnan(found.rel_ci_low)
    assert math.isnan(found.rel_ci_high)
    assert math.isfinite(found.estimate.p_value)
    assert "%" not in str(ask(frame, **call)).split("\n")[3]
    frame["y"] += 1
    assert ask(frame, **call).effects[0].rel_effect == pytest.approx(found.estimate.value, abs=0.15)


def test_two_standard_errors_decide_on_the_relative_effect() -> None:
    wave = np.tile([-1.0, 1.0], 200)
    error = math.sqrt(wave.var(ddof=1) / 400)
    shown = []
    for base in (1.99 * error, 2.01 * error):
        frame = pd.DataFrame({"arm": np.repeat(["a", "b"], 400), "y": np.concatenate([wave + base, wave + 1])})
        shown.append(math.isfinite(ask(frame).effects[0].rel_effect))
    assert shown == [False, True]


@pytest.mark.parametrize("kind", ["int64", "uint64", "Int64", "object"])
@pytest.mark.parametrize("outcome", ["y", Rank("y"), Quantile("y")])
def test_whole_numbers_beyond_doubles_are_refused(kind: str, outcome: Any) -> None:
    values: Any = pd.Series([2**60 + at % 5 for at in range(100)]).astype(kind)
    if kind in ("Int64", "object"):
        values = values.where(np.arange(100) != 3, pd.NA if kind == "Int64" else None)
    frame = pd.DataFrame({"arm": ["a", "b"] * 50, "y": values})
    with pytest.raises(DataError, match=r"holds whole numbers beyond 2\*\*53") as caught:
        ask(frame, outcomes=outcome)
    assert "ids" in caught.value.advice
    frame["y"] = np.where(np.arange(100) % 3 == 0, 2**53, 2**53 - 1)
    assert ask(frame).effects[0].estimate.n_obs == 100


def test_values_too_small_for_squares_are_not_called_constant() -> None:
    frame = pd.DataFrame({"arm": ["a", "b"] * 50, "y": np.random.default_rng(2).random(100) * 1e-300})
    with pytest.raises(DataError, match="squares of such numbers are lost"):
        ask(frame)
    frame["y"] = 0.0
    assert "constant" in str(ask(frame))


def test_units_without_a_segment_are_counted(table: pd.DataFrame) -> None:
    table.loc[table.index[:50], "region"] = None
    found = ask(table, by="region")
    lost = {each.arm: each.dropped for each in found.differences}
    for arm in ("b", "c"):
        rows = int((table["arm"].iloc[:50].isin(["a", arm])).sum())
        assert lost[arm] == (("without region", rows),)
        assert f"{rows} without region" in str(found)
    used = sum(each.estimate.n_obs for each in found.differences[0].effects)
    assert used + lost["b"][0][1] == found["y", "b"].estimate.n_obs
    assert all(each.dropped == () for each in ask(table.dropna(), by="region").differences)


# -- what stands first -----------------------------------------------------------------------------------------------


def test_a_blocked_sample_ratio_is_the_headline(table: pd.DataFrame) -> None:
    found = ask(table[(table["arm"] != "c") & ((table["arm"] == "a") | (table.index % 3 == 0))])
    assert found.blocked
    assert str(found).startswith("Blocked: the sample ratio is not as planned (p < 0.001)")
    assert any(text.get_text().startswith("Blocked") for axes in found.plot().axes for text in axes.texts)
    assert not ask(table).blocked
    assert "Blocked" not in str(ask(table))


@pytest.mark.parametrize(
    ("level", "text"), [(0.95, "95% CI"), (0.975, "97.5% CI"), (0.9999999, "99.99999% CI"), (0.9, "90% CI")]
)
def test_levels_are_written_as_given(table: pd.DataFrame, level: float, text: str) -> None:
    table = table[table["arm"] != "c"]
    assert str(ask(table, confidence_level=level)).count(text) == 2


def test_a_name_with_line_breaks_keeps_the_table_in_shape(table: pd.DataFrame) -> None:
    name = "y\r\nof\tcustomers\nnow"
    shown = str(ask(table.rename(columns={"y": name}), outcomes=name))
    plain = str(ask(table.rename(columns={"y": "y of customers now"}), outcomes="y of customers now"))
    assert shown == plain


def test_relative_simulations_speak_in_percent(table: pd.DataFrame) -> None:
    found = simulate_power(table, outcome="y", effect=0.2, effect_scale="relative", n=[100, 200], reps=100)
    assert "an effect of +20% on y" in str(found)
    texts = [text.get_text() for axes in found.plot().axes for text in axes.texts]
    assert any(text.startswith("effect +20%") for text in texts)
    absolute = simulate_power(table, outcome="y", effect=0.2, n=100, reps=100)
    assert "an effect of +0.2 on y" in str(absolute)


def test_an_experiment_reads_as_a_sentence() -> None:
    plan = Experiment(
        id="quotes", lever="auto_quote", control="manual", allocation={"manual": 1, "auto": 3},
        hypotheses=("quote_hours -> won",), randomize="opportunity_id", start="2026-01-01", end="2026-03-01",
        planned_n=8000,
    )  # fmt: skip
    shown = str(plan)
    assert max(map(len, shown.splitlines())) <= 80
    for text in ("manual 25%, auto 75%", "8,000 units planned", "quote_hours -> won"):
        assert text in " ".join(shown.split())


# -- pictures --------------------------------------------------------------------------------------------------------


def test_a_picture_gives_effects_that_have_no_percentage(table: pd.DataFrame) -> None:
    figure = ask(table[table["arm"] != "c"], outcomes=["y", Rank("y")]).plot()
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "no estimate" not in texts
    assert sum(text.endswith("] abs.") for text in texts) == 1


@pytest.mark.parametrize(("scale", "margin_scale"), list(itertools.product(("absolute", "relative"), repeat=2)))
def test_margins_are_drawn_where_they_are_tested(table: pd.DataFrame, scale: Any, margin_scale: Any) -> None:
    found = ask(
        table[table["arm"] != "c"], margin=0.1, equivalence=0.2, margin_scale=margin_scale, better="lower",
    )  # fmt: skip
    figure = found.plot(scale=scale)
    at = sorted(line.get_xdata()[0] for axes in figure.axes for line in axes.lines if line.get_label() == "margin")
    base = found.effects[0].control_mean
    unit = 1 if scale == margin_scale else base if scale == "absolute" else 1 / base
    assert at == pytest.approx([-0.2 * unit, 0.1 * unit, 0.2 * unit])
    assert any("dashes: margins" in text.get_text() for axes in figure.axes for text in axes.texts)


# -- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pull", "sides"), [(0.0, "open"), (0.05, "open"), (1.0, "one")])
def test_only_a_set_of_one_sign_says_how_much_may_bypass(pull: float, sides: str) -> None:
    told = sides == "one"
    rng = np.random.default_rng(4)
    treated = np.arange(2000) % 2
    cpi = pull * treated + rng.normal(size=2000)
    frame = pd.DataFrame({"arm": np.where(treated == 1, "b", "a"), "cpi": cpi, "kpi": 0.5 * cpi + 0.2 * treated})
    found = link_effect(frame, arm="arm", control="a", cpi="cpi", kpi="kpi")
    assert ("of the lift may bypass" in str(found)) is told
    assert ("sign is in doubt even if nothing bypasses" in str(found)) is not told
    low, high = found.estimate.ci_low, found.estimate.ci_high
    assert (low > 0 and math.isfinite(high)) is told


@pytest.mark.parametrize("increment", ["1", None, True, 0, math.nan, {"y": "1"}])
def test_an_increment_is_a_number(table: pd.DataFrame, increment: Any) -> None:
    with pytest.raises(DesignError, match="is not a step"):
        link_effect(table, arm="arm", control="a", cpi="y", kpi="visits", increment=increment)


def test_one_point_is_singular() -> None:
    assert [points(text) for text in ("+1", "-1", "1", "+1.0", "+2")] == [
        "+1 point", "-1 point", "1 point", "+1.0 points", "+2 points",
    ]  # fmt: skip
    assert [kind_of(value) for value in (1, np.zeros(1), "x")] == ["an int", "an ndarray", "a str"]
