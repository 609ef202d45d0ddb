"""Random splits of the user's own outcome: the kernel is `compare`, and verdicts say from which size on it is safe."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.display import WIDTH
from cpi_experiments.errors import CpiError, DataError, DesignError, EstimationError
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.effects.outcomes import Mean, Ratio
from cpi_experiments.randomized.effects.row_outcomes import Rank
from cpi_experiments.randomized.integrity.aa import AATest, aa
from cpi_experiments.randomized.integrity.plug_in_limits import plug_in_limits, skewness
from cpi_experiments.randomized.integrity.splitting import compare_splits, draw_tests, read_sample, sizes_of


def past(n: int = 2_000, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.normal(45, 10, n)
    team = rng.integers(0, 40, n)
    return pd.DataFrame(
        {
            "revenue": rng.lognormal(2, 1.5, n),
            "hours": rng.gamma(4, 2, n) + 0.1 * age,
            "won": (rng.random(n) < 0.02).astype(float),
            "orders": rng.poisson(2, n).astype(float),
            "visits": rng.poisson(5, n) + 1.0,
            "age": age,
            "tenure": rng.exponential(3, n),
            "team": [f"team {t}" for t in team],
            "shared": rng.normal(size=40)[team] + rng.normal(size=n),
            "fixed": 3.0,
        }
    )


OUTCOMES = ["hours", "revenue", "won", Mean("revenue", cap=60), Mean("revenue", cap="p95"), Ratio("orders", "visits")]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=str)
@pytest.mark.parametrize("covariates", [[], ["age"], ["age", "tenure"]], ids=len)
@pytest.mark.parametrize("cluster", [None, "team"])
def test_the_kernel_is_compare(outcome: str, covariates: list, cluster: str | None) -> None:
    frame = past(300)
    rng = np.random.default_rng(7)
    sample = read_sample(frame, Mean(outcome) if isinstance(outcome, str) else outcome, covariates, cluster)
    names = np.unique(frame["team"]) if cluster else np.arange(len(frame))
    assert len(names) == len(sample.rows)
    teams = dict.fromkeys(frame["team"]) if cluster else ()
    order = np.array([list(teams).index(name) for name in names]) if cluster else names
    for _ in range(3):
        drawn = rng.permutation(len(names))
        control, treatment = drawn[: len(names) // 3], drawn[len(names) // 3 :]
        found = compare_splits(sample, control[None], treatment[None])
        picked = order if not cluster else np.argsort(order)
        treated = np.isin(frame["team"], names[picked][treatment]) if cluster else np.isin(names, treatment)
        expected = compare(
            frame.assign(arm=treated.astype(int)), arm="arm", control=0, outcomes=outcome, covariates=covariates,
            cluster=cluster,
        ).effects[0].estimate  # fmt: skip
        got = found.effect[0], np.sqrt(found.variance[0]), found.df[0], found.p_value[0]
        wanted = expected.value, expected.std_error, expected.df, expected.p_value
        assert got == pytest.approx(wanted, rel=1e-10)


def test_whole_sets_are_re_randomised_and_sizes_are_drawn_with_replacement() -> None:
    sample = read_sample(past(40), Mean("hours"), [], None)
    rng = np.random.default_rng(1)
    whole = draw_tests(sample, (20, 20), resampled=False, reps=500, rng=rng)
    total = sample.rows[:, 0].sum()
    assert total == pytest.approx(0, abs=1e-9)
    # halves of one set mirror each other: the larger the effect, the smaller what is left to vary
    assert np.corrcoef(whole.effect**2, whole.variance)[0, 1] < -0.9
    drawn = draw_tests(sample, (20, 20), resampled=True, reps=500, rng=rng)
    assert abs(np.corrcoef(drawn.effect**2, drawn.variance)[0, 1]) < 0.5
    assert np.var(drawn.effect) == pytest.approx(np.var(sample.rows) * 2 / 20, rel=0.3)


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "hours", "n": [60, 400]},
        {"outcome": "hours", "covariates": ["age"], "n": [100]},
        {"outcome": Ratio("orders", "visits"), "n": [200]},
        {"outcome": "shared", "cluster": "team", "n": [40]},
        {"outcome": "hours"},
        {"outcome": Mean("revenue", cap="p95"), "n": [600], "share": 0.2},
    ],
    ids=str,
)
def test_what_is_safe_is_called_safe(changes: dict) -> None:
    found = aa(past(), **changes)
    assert found.safe
    assert found.safe_from == found.sizes[0].n
    assert " is safe for the " in found._title()
    rates = [d for d in found.diagnostics if d.name.startswith("false")]
    assert len(rates) == 4
    assert all(d.passed for d in rates)
    assert found.sizes[-1].ks_p_value > 1e-4


def test_one_in_ten_treated_with_a_heavy_tail_is_not_safe() -> None:
    found = aa(past(), outcome="revenue", n=[200, 1_000], share=0.1)
    assert not found.safe
    assert found.safe_from is None
    assert found.sizes[-1].losses.too_many
    assert not found.sizes[-1].gains.too_many
    assert "is not safe for the t-test with 900 and 100 units" in found._title()
    assert "Cap the largest values" in found._title()
    assert {d.name for d in found.diagnostics if not d.passed} >= {"false alarms at 5%", "false losses", "tails"}


def test_a_ladder_says_from_which_size_on() -> None:
    found = aa(past(20_000), outcome="won", n="ladder", share=0.2)
    assert [size.n for size in found.sizes] == [50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 20000]
    assert found.safe
    assert found.safe_from is not None
    assert 100 < found.safe_from <= 20_000
    assert "units or more: " in found._title()
    assert "Not safe with" in found._title()
    assert "false losses at 2.5%" in found._title()
    assert found.sizes[0].untested > 0


def test_sizes_where_most_splits_have_no_test_are_not_safe() -> None:
    found = aa(past(), outcome="won", n=[50, 1_000])
    assert not found.sizes[0].safe
    assert "Not safe with 25 units an arm: " in found._title()
    assert "of splits have no variance and no test" in found._title()
    alone = aa(past(), outcome="won", n=[50])
    assert not alone.safe
    assert "and no test" in alone._title()


def test_errors_of_independent_units_are_not_safe_where_clusters_are_split() -> None:
    """The planted fault: clusters are randomised, units are tested."""
    frame = past()
    sample, teams = read_sample(frame, Mean("shared"), [], None), np.unique(frame["team"], return_inverse=True)[1]
    rng = np.random.default_rng(1)
    p = []
    for _ in range(400):
        treated = np.isin(teams, rng.permutation(40)[:20])
        p.append(
            float(compare_splits(sample, np.flatnonzero(~treated)[None], np.flatnonzero(treated)[None]).p_value[0])
        )
    assert np.mean(np.array(p) < 0.05) > 0.3
    assert aa(frame, outcome="shared", cluster="team").safe


@pytest.mark.parametrize(
    ("sizes", "values", "clustered", "passed", "blocks"),
    [
        ((4, 20), None, True, False, True),
        ((9, 9), None, True, False, False),
        ((10, 10), None, True, True, False),
        ((200, 200), 0.05, False, True, False),
        ((199, 199), 0.05, False, False, False),
        ((199, 199), 0.95, False, False, False),
        ((2_000, 900), 0.05, False, False, False),
        ((20_000, 2_000), 0.05, False, True, False),
        ((200, 200), None, False, True, False),
        ((100, 100), None, False, False, False),
        ((900, 100), None, False, False, False),
        ((2_000_000, 200_000), None, False, True, False),
    ],
)
def test_plug_in_limits(sizes: tuple, values: float | None, *, clustered: bool, passed: bool, blocks: bool) -> None:
    heavy = np.random.default_rng(1).lognormal(0, 1.5, 5_000)
    data = heavy if values is None else np.repeat([1.0, 0.0], [int(1_000 * values), 1_000 - int(1_000 * values)])
    found = plug_in_limits(sizes, data, clustered=clustered)[0]
    assert (found.passed, found.blocks) == (passed, blocks)
    assert bool(found.advice) != passed


def test_light_tails_have_no_limit() -> None:
    normal = np.random.default_rng(1).normal(size=5_000)
    assert plug_in_limits((90, 10), normal)[0].passed
    assert skewness(np.ones(3)) == 0


def test_few_clusters_are_said_even_where_the_test_is_safe() -> None:
    found = aa(past(), outcome="shared", cluster="team", n=[12])
    assert found.safe
    assert "As evidence for a link: The smaller arm has 6 clusters" in found._title()
    assert [d.passed for d in found.diagnostics if d.name == "clusters per arm"] == [False]


def test_the_same_seed_is_the_same_answer() -> None:
    one, two = (aa(past(200), outcome="hours", n=[60], reps=300, seed=5) for _ in range(2))
    assert repr(one) == repr(two)
    assert one.sizes[0].p_values != aa(past(200), outcome="hours", n=[60], reps=300, seed=6).sizes[0].p_values


def test_blocks_of_splits_are_the_splits_of_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    from cpi_experiments.randomized.integrity import splitting

    whole = aa(past(100), outcome="hours", n=[50], reps=300)
    monkeypatch.setattr(splitting, "_BLOCK", 2_000)
    assert aa(past(100), outcome="hours", n=[50], reps=300).sizes[0].p_values == whole.sizes[0].p_values


def test_the_result_reads_in_eighty_columns_and_as_a_table() -> None:
    found = aa(past(), outcome="revenue", n="ladder", share=0.1, reps=300)
    assert max(map(len, str(found).splitlines())) <= WIDTH
    table = found.to_frame()
    assert list(table["n_control"] + table["n_treatment"]) == [size.n for size in found.sizes]
    assert {"below_05", "below_01", "safe", "within_limits"} <= set(table.columns)
    assert "not kept" in found._repr_html_()


def picture_texts(found: AATest) -> list[str]:
    return [text.get_text() for axes in found.plot().axes for text in axes.texts]


@pytest.mark.parametrize(("share", "mark", "colour"), [(0.5, "o", "#0072B2"), (0.1, "D", "#D55E00")])
def test_pictures_show_the_verdict(share: float, mark: str, colour: str) -> None:
    found = aa(past(), outcome="revenue", n=[400], share=share)
    axes = found.plot().axes
    assert any("is safe" in text or "is not safe" in text for text in picture_texts(found))
    points = [line for line in axes[2].lines if line.get_label() in ("safe", "not safe")]
    assert [(line.get_marker(), line.get_color()) for line in points] == [(mark, colour)]
    assert float(points[0].get_ydata()[0]) == found.sizes[0].below_05.rate
    heights = sum(bar.get_height() for bar in axes[1].patches if bar.get_width() < 0.5)
    assert heights == found.reps - found.sizes[0].untested


def test_a_long_ladder_stays_readable() -> None:
    found = aa(past(200), outcome="hours", n=list(range(20, 200, 15)), reps=200)
    axes = found.plot().axes[2]
    assert len(axes.texts) == 0
    assert len(axes.get_xticks()) <= 6


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"outcome": Rank("hours")}, DesignError, "has no kernel"),
        ({"share": 1.0}, DesignError, "share 1"),
        ({"reps": 10}, DesignError, "reps 10"),
        ({"n": [3]}, DesignError, "fewer than two"),
        ({"n": []}, DesignError, "fewer than two"),
        ({"n": "auto"}, DesignError, "is no size"),
        ({"outcome": "fixed"}, DataError, "is constant"),
        ({"outcome": "gone"}, DataError, "gone"),
        ({"cluster": "fixed"}, DataError, "1 complete clusters cannot be split"),
        ({"outcome": Ratio("orders", "won"), "n": [20]}, EstimationError, "random splits the denominator's mean"),
    ],
)
def test_questions_without_an_answer_are_refused(changes: dict, kind: type[CpiError], message: str) -> None:
    with pytest.raises(kind, match=message):
        aa(past(), **{"outcome": "hours", **changes})


def test_one_size_is_a_list_of_one() -> None:
    assert sizes_of(100, 5_000, 0.5) == [(50, 50)]
    assert sizes_of("ladder", 50, 0.5) == [(25, 25)]


@pytest.mark.parametrize(
    ("change", "told"),
    [({"n": 100.5}, "n 100.5 is no size"), ({"n": [50, True]}, "n True is no size"), ({"seed": -1}, "seed -1"),
     ({"share": ".5"}, "share .5"), ({"reps": 300.0}, "reps 300.0")],
)  # fmt: skip
def test_sizes_seeds_and_shares_of_another_kind_are_refused(change, told):
    with pytest.raises(DesignError, match=told):
        aa(past(200), outcome="hours", **{"reps": 300, **change})
