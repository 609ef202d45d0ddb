"""An effect put into data that had none: exactly as large as asked for, and never an impossible value."""

import numpy as np
import pytest

from cpi_experiments.errors import DesignError
from cpi_experiments.stats.resampling.injected_effects import kind_of, with_effect

RNG = np.random.default_rng(4)
COLUMNS = {
    "yes_no": (RNG.random(5_000) < 0.3).astype(float),
    "count": RNG.poisson(2.0, 5_000).astype(float),
    "mean": RNG.lognormal(3, 1, 5_000),
}


def injected(kind, effect, *, relative=False, told="auto"):
    return with_effect(COLUMNS[kind], effect, relative=relative, kind=told, rng=np.random.default_rng(9), name="column")


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("effect", [-0.2, -0.013, 0.013, 0.2])
@pytest.mark.parametrize("relative", [False, True])
def test_the_mean_moves_by_the_effect_to_one_row_and_values_stay_possible(kind, effect, relative):
    before = COLUMNS[kind]
    after = injected(kind, effect, relative=relative)
    asked = effect * before.mean() if relative else effect
    assert after.mean() - before.mean() == pytest.approx(asked, abs=1 / len(before))
    if kind != "mean":
        assert kind_of(after) == kind
        assert np.all((after - before) * np.sign(effect) >= 0)


def test_a_relative_effect_on_a_measurement_multiplies_it_and_an_absolute_one_shifts_it():
    before = COLUMNS["mean"]
    assert np.allclose(injected("mean", 0.1, relative=True), 1.1 * before, rtol=1e-14)
    assert np.allclose(injected("mean", -3.0), before - 3, rtol=1e-14)
    assert np.array_equal(injected("count", 0.5, told="mean"), COLUMNS["count"] + 0.5)
    assert injected("yes_no", 0.0) is COLUMNS["yes_no"]


def test_counts_gain_whole_events_and_lose_them_in_proportion():
    more = injected("count", 2.25) - COLUMNS["count"]
    assert set(np.unique(more)) == {2.0, 3.0}
    assert injected("yes_no", 1.0, told="count").max() == 2
    lost = COLUMNS["count"] - injected("count", -0.5)
    busy = COLUMNS["count"] >= 4
    assert lost[busy].mean() > 2 * lost[~busy].mean() > 0
    assert lost[COLUMNS["count"] == 0].max() == 0


def test_money_in_cents_is_a_measurement():
    assert kind_of(np.full(2_000, 1e6)) == "mean"
    assert kind_of(np.array([-1.0, 2.0])) == "mean"


@pytest.mark.parametrize(
    ("kind", "effect", "told", "found"),
    [
        ("yes_no", 0.8, "auto", r"an effect of \+80 points is impossible: 3\d(\.\d)?% of 'column' are yes"),
        ("yes_no", -0.4, "auto", "an effect of -40 points is impossible"),
        ("count", -5.0, "auto", "the mean of 'column' is"),
        ("mean", 1.0, "count", "column 'column' is no count column"),
        ("count", 1.0, "yes_no", "column 'column' is no yes/no column"),
    ],
)
def test_what_a_column_cannot_do_is_refused(kind, effect, told, found):
    with pytest.raises(DesignError, match=found):
        injected(kind, effect, told=told)
