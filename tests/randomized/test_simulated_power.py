"""Power on a history: the analysis is the door's, rates are those of the truth, and the formula is put to the test."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.estimate import Link
from cpi_experiments.hypotheses.hypothesis import Hypothesis
from cpi_experiments.measure.moments.gather import gather
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.links.link_effect import link_effect
from cpi_experiments.randomized.planning.history_rows import read_history
from cpi_experiments.randomized.planning.simulated_power import simulate_power
from cpi_experiments.stats.resampling.resampled_trials import effects_of

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
N = 4_000
CLAIM = Hypothesis(link=Link.parse("hours -> won"), expected_sign=1, sesoi=0.02, looks="single")


@pytest.fixture(scope="module")
def past() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    shop, before = rng.integers(80, size=N), rng.normal(size=N)
    return pd.DataFrame(
        {
            "shop": np.char.add("s", shop.astype(str)),
            "region": np.where(shop % 2 == 0, "north", "south"),
            "before": before,
            "spend": 50 + 10 * before + rng.normal(0, 5, N) + rng.normal(0, 3, 80)[shop],
            "won": (rng.random(N) < 0.3).astype(int),
            "orders": rng.poisson(2.0, N),
            "hours": 8 + rng.gamma(4, 1, N),
            "revenue": rng.lognormal(3, 1.5, N),
            "same": np.ones(N),
        }
    )


@pytest.mark.parametrize("cluster", [None, "shop"])
@pytest.mark.parametrize("strata", [None, "region"])
@pytest.mark.parametrize("covariates", [[], ["before"], ["before", "orders"]])
def test_the_kernel_is_the_door(past, cluster, strata, covariates):
    rows = read_history(past, ["spend", "won"], covariates=covariates, cluster=cluster, strata=strata)
    rng = np.random.default_rng(1)
    n, n_control = (40, 18) if cluster else (200, 90)
    drawn = rng.integers(rows.units, size=(3, n))
    history = rows.world(rows.values + np.array([25.0, 0.0]))
    found = effects_of(history, drawn, n_control)
    for r, units in enumerate(drawn):
        members = [np.flatnonzero(rows.clusters == u) if cluster else np.array([u]) for u in units]
        at, place = np.concatenate(members), np.repeat(np.arange(n), [len(m) for m in members])
        trial = past.iloc[at].reset_index(drop=True)
        treated = place >= n_control
        trial = trial.assign(arm=np.where(treated, "t", "c"), shop=place, spend=trial["spend"] + 25.0 * treated)
        roles = {"arm": "arm", "control": "c", "covariates": covariates or None, "cluster": cluster, "strata": strata}
        effect = compare(trial, outcomes="spend", **roles)["spend"].estimate
        assert found.effect[r, 0] == pytest.approx(effect.value, rel=1e-10)
        assert np.sqrt(found.omega[r, 0, 0]) == pytest.approx(effect.std_error, rel=1e-10)
        assert found.p_value(0)[r] == pytest.approx(effect.p_value, rel=1e-10)
        link = link_effect(trial, cpi="spend", kpi="won", **roles)
        pair = link.pair
        assert found.omega[r].ravel() == pytest.approx([pair.var_cpi, pair.cov, pair.cov, pair.var_kpi], rel=1e-10)
        assert found.p_value(1)[r] == pytest.approx(link.estimate.p_value, rel=1e-10)
        low, high = link.ar_set[0]
        assert found.p_at(low)[r] == pytest.approx(0.05, rel=1e-6)
        assert found.p_at(high)[r] == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize(
    ("roles", "effect", "n"),
    [
        ({"outcome": "spend"}, 1.5, 2_000),
        ({"outcome": "spend", "covariates": "before"}, 1.5, 500),
        ({"outcome": "spend", "covariates": "before", "cluster": "shop"}, 3.0, 40),
        ({"outcome": "spend", "strata": "region"}, 1.5, 1_500),
        ({"outcome": "won"}, 0.05, 2_500),
        ({"outcome": "won", "arm_share": 0.2}, -0.06, 2_500),
        ({"outcome": "orders"}, -0.2, 1_500),
        ({"outcome": "orders"}, 0.2, 1_500),
    ],
)
def test_where_the_formula_holds_simulation_and_formula_agree(past, roles, effect, n):
    found = simulate_power(past, effect=effect, n=n, reps=2_000, **roles)
    nothing, something = found.shares
    assert nothing.effect == 0
    assert 0.028 <= nothing.power <= 0.0755
    assert something.power == pytest.approx(something.formula, abs=0.05)
    assert 0.3 < something.power < 0.99
    assert nothing.agrees
    assert something.agrees
    assert something.power_low < something.power < something.power_high
    assert something.lift == pytest.approx(effect, abs=1 / N)


def test_a_formula_that_fails_on_skewed_data_in_unequal_arms_is_said(past):
    found = simulate_power(past, outcome="revenue", effect=20.0, n=60, arm_share=0.1)
    assert found.shares[0].power > 0.1
    assert not found.shares[0].agrees
    assert "Do not trust the formula at n = 60: false alarms" in str(found)
    assert simulate_power(past, outcome="revenue", effect=20.0, n=2_000).shares[0].agrees


def test_a_link_is_found_by_its_anderson_rubin_set(past):
    found = simulate_power(
        past, cpi="hours", kpi="won", planned_move=2.0, increment=-1.0, effect=0.03, n=[600, 1_500], reps=2_000
    )
    frame = found.to_frame().set_index(["n", "effect"])
    lift = simulate_power(past, outcome="won", effect=0.06, n=[600, 1_500], reps=2_000).to_frame()
    assert frame["power"].tolist() == pytest.approx(lift["power"].tolist(), abs=0.06)
    assert np.all((frame["covers"] > 0.925) & (frame["covers"] < 0.972))
    # F of the first stage: moved 2 hours of sd 2
    assert frame.loc[(1_500, 0.03), "f_median"] == pytest.approx(1_500 / 4, rel=0.1)
    assert np.all(frame["bounded"] == 1)
    assert frame.loc[(600, 0.03), "lift"] == pytest.approx(0.06, abs=1 / N)
    weak = simulate_power(past, cpi="hours", kpi="won", planned_move=0.1, effect=0.5, n=400)
    assert weak.shares[1].bounded < 0.3
    assert 0.92 < weak.shares[1].covers < 0.975
    assert "bounded" in str(weak)


def test_one_seed_gives_one_answer_and_another_another(past):
    first = simulate_power(past, outcome="won", effect=0.05, n=1_000)
    assert repr(first) == repr(simulate_power(past, outcome="won", effect=0.05, n=1_000))
    assert first != simulate_power(past, outcome="won", effect=0.05, n=1_000, seed=7)
    both = simulate_power(past, outcome="won", effect=[0.05, 0.08], n=[500, 1_000])
    assert repr(first.shares[1]) in map(repr, both.shares)
    powers = both.to_frame().pivot_table(index="n", columns="effect", values="power")
    assert np.all(np.diff(powers.to_numpy(), axis=1) > 0)


def test_the_sentence_comes_first_and_everything_fits_the_screen(past):
    found = simulate_power(past.assign(won=past["won"].where(past.index > 30)), outcome="won", effect=[0.05], n=1_000)
    text = str(found)
    assert text.startswith("1,000 rows find an effect of +0.05 on won in ")
    assert "Not used: 31 rows without won." in text
    assert max(map(len, text.splitlines())) <= 80
    assert list(found.to_frame().columns) == [
        "effect", "lift", "n", "n_treatment", "power", "power_low", "power_high", "formula", "agrees",
    ]  # fmt: skip
    clustered = simulate_power(past, outcome="spend", effect=3.0, n=8, cluster="shop", covariates=["before", "same"])
    assert "fewer than five clusters in an arm" in str(clustered).replace("\n  ", " ")
    assert "Not used for adjustment, constant: same." in str(clustered)
    assert "units of shop" in str(clustered)


@pytest.mark.parametrize(("n", "effect"), [([500, 1_000, 2_000], 0.05), (1_000, [-0.05, 0.05, 0.1])])
def test_the_picture_shows_every_share_with_its_interval(past, n, effect):
    found = simulate_power(past, outcome="won", effect=effect, n=n)
    axes = found.plot().axes[1]
    drawn = sorted(y for line in axes.lines if "interval" in line.get_label() for y in line.get_ydata())
    assert drawn == sorted(share.power for share in found.shares)


def test_data_of_any_kind_give_the_same(past, tmp_path):
    path = tmp_path / "past.parquet"
    past.to_parquet(path)
    roles = {"outcome": "spend", "effect": 2.0, "n": 40, "cluster": "shop", "reps": 200}
    found = simulate_power(past, **roles)
    assert repr(simulate_power(path, **roles)) == repr(found)
    with duckdb.connect() as connection:
        assert repr(simulate_power(connection.read_parquet(str(path)), **roles)) == repr(found)


@pytest.mark.parametrize(
    ("changes", "error", "found"),
    [
        pytest.param({"effect": 0.0}, DesignError, "effects .* cannot be planned for", id="test_c18_effect_0"),
        pytest.param({"alpha": 0.0}, DesignError, "alpha 0 is not between", id="test_c19_alpha_0"),
        pytest.param({"outcome": "same"}, DataError, "column 'same' does not vary", id="test_c10_constant"),
        pytest.param({"n": 3}, DesignError, "n = 3 gives no experiment", id="test_c02_one_unit_an_arm"),
        pytest.param({"n": 3, "cluster": "shop"}, DesignError, "n = 3", id="test_c15_one_cluster_an_arm"),
        ({"effect": []}, DesignError, r"effects \[\] cannot"),
        ({"effect": np.nan}, DesignError, "cannot be planned for"),
        ({"n": []}, DesignError, "no size is given"),
        ({"n": 100.5}, DesignError, "n = 100.5 gives no experiment"),
        ({"n": np.inf}, DesignError, "n = inf gives no experiment"),
        ({"arm_share": 1.0}, DesignError, "arm share 1 is not between"),
        ({"reps": 10}, DesignError, "10 simulations"),
        ({"effect": 0.9}, DesignError, r"\+90 points is impossible"),
        ({"effect_scale": "percent"}, DesignError, "effect scale 'percent' is not known"),
        ({"outcome": "Won"}, DataError, "Did you mean 'won'"),
        ({"outcome": "region"}, DataError, "region"),
        ({"covariates": "won"}, DataError, "both an outcome and a covariate"),
        ({"outcome": None}, DataError, "name no analysis"),
        ({"cpi": "hours"}, DataError, "name no analysis"),
        ({"outcome": None, "cpi": "hours", "kpi": "won"}, DesignError, "planned move None of the CPI"),
        ({"outcome": None, "cpi": "hours", "kpi": "hours", "planned_move": 1.0}, DataError, "name no analysis"),
        (
            {"outcome": None, "cpi": "hours", "kpi": "won", "planned_move": 1.0, "increment": 0.0},
            DesignError,
            "increment 0.0 is not a step",
        ),
        (
            {"outcome": None, "cpi": "hours", "kpi": "won", "planned_move": 1.0, "effect_scale": "relative"},
            DesignError,
            "KPI units per increment",
        ),
        ({"hypothesis": CLAIM}, DataError, "a hypothesis is about a link"),
        ({"links": 0}, DesignError, "a portfolio of 0 links"),
        ({"fdr": 1.0}, DesignError, "false discovery rate 1 is not between"),
        ({"cluster": "shop", "strata": "won", "outcome": "spend"}, DataError, "some clusters lie in several strata"),
    ],
)
def test_what_cannot_be_simulated_is_refused(past, changes, error, found):
    with pytest.raises(error, match=found):
        simulate_power(past, **{"outcome": "won", "effect": 0.05, "n": 1_000, **changes})


def test_a_history_of_a_few_rows_or_of_sums_is_refused(past):
    with pytest.raises(DataError, match="9 complete rows are no history"):
        simulate_power(past.head(9), outcome="spend", effect=1.0, n=100)
    with pytest.raises(DataError, match="4 complete clusters are no history"):
        simulate_power(
            past[past["shop"].isin(["s1", "s2", "s3", "s4"])], outcome="spend", effect=1, n=8, cluster="shop"
        )
    with pytest.raises(DataError, match=r"(?s)0 complete rows.*4,000 rows without spend"):
        simulate_power(past.assign(spend=np.nan), outcome="spend", effect=1.0, n=100)
    with pytest.raises(DataError, match="moments hold no rows"):
        simulate_power(gather(past, ["won"], by=["region"]), outcome="won", effect=0.05, n=100)


def test_on_the_cookie_cats_history_the_formula_can_be_trusted_for_retention_and_not_for_rounds():
    path = DATA / "cookie_cats.csv.gz"
    if not path.exists():
        pytest.skip("shared data are not here")
    retention = simulate_power(path, outcome="retention_7", effect=-0.0082, n=90_000, reps=300)
    assert retention.shares[1].agrees
    assert 0.75 < retention.shares[1].power < 0.97
    rounds = simulate_power(path, outcome="sum_gamerounds", effect=20.0, n=1_000, arm_share=0.05)
    assert not all(share.agrees for share in rounds.shares)


def test_the_table_of_a_judged_link_fits_a_terminal_and_the_frame_has_the_rest(past):
    claim = Hypothesis(link=Link.parse("hours -> won"), expected_sign=1, sesoi=0.004, looks="single")
    roles = {"cpi": "hours", "kpi": "won", "increment": -1, "planned_move": 10, "effect": 0.006, "reps": 200}
    judged = simulate_power(past, n=[1_000, 5_000], hypothesis=claim, **roles)
    assert max(map(len, str(judged).splitlines())) <= 80
    assert {"confirmed", "refuted"} <= set(str(judged).split())
    assert max(map(len, str(simulate_power(past, n=[1_000, 5_000], **roles)).splitlines())) <= 80
    assert {"f_median", "bounded", "covers"} <= set(judged.to_frame().columns)
