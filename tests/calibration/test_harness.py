"""The frame of the calibration: seeds, chunks, bands, and what a run says of itself."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from cpi_experiments import calibration
from cpi_experiments.calibration import harness
from cpi_experiments.calibration.harness import SEED, judge_worlds, run
from cpi_experiments.calibration.result import TAIL, Tally, outcome
from cpi_experiments.calibration.roster import worlds
from cpi_experiments.calibration.world import Claim, World
from cpi_experiments.errors import EstimationError


def claim(name="hit", relation="<=", bound=0.05, **other):
    return Claim(name=name, relation=relation, bound=bound, kind="verdict", **other)


def world(rate, *claims, name="coin", reps=1000, chunk=200, as_float=False):
    def simulate(rng, n):
        hits = rng.random(n) < rate
        return {c.name: hits.astype(float) if as_float else hits for c in claims}

    return World(
        number=7, name=name, title="A coin", expected="heads", claims=claims, simulate=simulate, reps_quick=reps,
        reps_full=2 * reps, chunk=chunk,
    )  # fmt: skip


@pytest.mark.parametrize(("hits", "reps"), [(0, 50), (3, 50), (50, 50), (1234, 20_000)])
def test_band_is_clopper_pearson(hits, reps):
    low, high = Tally(reps=reps, total=hits).band()
    exact = stats.binomtest(hits, reps).proportion_ci(confidence_level=1 - 2 * TAIL, method="exact")
    assert (low, high) == pytest.approx((exact.low, exact.high), abs=1e-10)


@pytest.mark.parametrize("relation", ["<=", ">="])
@pytest.mark.parametrize("hits", range(20, 120, 3))
def test_claim_holds_unless_its_exact_tail_is_below_one_in_ten_thousand(relation, hits):
    found = outcome(world(0.05), claim(relation=relation), Tally(reps=1000, total=hits), seconds=0)
    side = "greater" if relation == "<=" else "less"
    tail = stats.binomtest(hits, 1000, 0.05, alternative=side).pvalue
    assert found.passed == (tail > TAIL)
    assert found.inside == (hits <= 50 if relation == "<=" else hits >= 50)


@pytest.mark.parametrize(
    ("bound", "relation", "hits", "holds"),
    [(0, "<=", 0, True), (0, "<=", 1, False), (1, ">=", 100, True), (1, ">=", 99, False)],
)
def test_bounds_of_zero_and_one_allow_no_exception(bound, relation, hits, holds):
    found = outcome(world(0.5), claim(relation=relation, bound=bound), Tally(reps=100, total=hits), seconds=0)
    assert found.passed is holds


def test_mean_is_held_against_four_standard_errors():
    values = np.array([0.0, 0.2, 0.1, 0.3])
    tally = Tally.of(values)
    half = 4 * values.std(ddof=1) / math.sqrt(4)
    assert tally.is_mean
    assert tally.band() == pytest.approx((0.15 - half, 0.15 + half))


@pytest.mark.parametrize(
    ("relation", "bound", "hits", "reps", "state"),
    [
        ("<=", 0.02, 0, 100, "open"),  # the band ends at .088: it could be four times the bound
        ("<=", 0.02, 0, 400, "holds"),  # it ends at .023
        ("<=", 0.05, 21, 400, "open"),  # above the bound, by chance
        ("<=", 0.05, 100, 1000, "fails"),
        ("<=", 0.4, 40, 100, "open"),  # it could be .59
        ("<=", 0.4, 380, 1000, "holds"),
        (">=", 0.8, 85, 100, "open"),  # it could be .68
        (">=", 0.8, 850, 1000, "holds"),
        (">=", 0.95, 100, 100, "holds"),  # misses could be .088, less than twice .05
        (">=", 0.95, 80, 80, "open"),  # they could be .109
        ("<=", 0.0, 0, 20, "open"),
        ("<=", 0.0, 0, 400, "holds"),
        (">=", 1.0, 400, 400, "holds"),
        (">=", 1.0, 399, 400, "fails"),
    ],
)
def test_claim_holds_only_if_the_band_ends_near_its_bound(relation, bound, hits, reps, state):
    found = outcome(world(0.5), claim(relation=relation, bound=bound), Tally(reps=reps, total=hits), seconds=0)
    assert found.state == state
    assert found.passed == (state != "fails")


def test_open_claims_are_counted_apart_and_contradict_nothing():
    chosen = [world(0.0, claim(), claim("rare", bound=0.001)), world(0.5, claim(naive=True), name="naive")]
    found = judge_worlds(chosen, root=3)
    assert [o.state for o in found.outcomes] == ["holds", "open", "shown"]
    assert found.passed
    assert [o.claim for o in found.open] == ["rare"]
    assert found._title() == (
        "Every one of 3 claims in 2 worlds passes (seed 3, 1,000 simulations a world): "
        "2 hold, 1 is not contradicted (too few draws to show more)"
    )
    alone = judge_worlds([world(0.0, claim(bound=0.001))], root=3)
    assert alone._title().startswith("The only claim in 1 world is not contradicted (seed 3")
    failing = judge_worlds([world(0.2, claim()), world(0.0, claim(bound=0.001), name="other")], root=3)
    assert failing._title().startswith("1 of 2 claims in 2 worlds does not hold, 1 is not contradicted (seed 3")
    lines = []
    judge_worlds(chosen[:1], progress=lines.append)
    assert lines[0].startswith("coin: not contradicted: rare (")


@pytest.mark.parametrize(("rate", "passed"), [(0.2, True), (0.05, False), (0.01, False)])
def test_naive_claim_passes_only_if_the_bound_is_shown_to_break(rate, passed):
    assert judge_worlds([world(rate, claim(naive=True))]).passed is passed


def test_nothing_counted_is_no_proof():
    for naive in (False, True):
        assert not outcome(world(0.5), claim(naive=naive), Tally(), seconds=0).passed


def test_results_do_not_depend_on_order_or_number_of_processes():
    names = ["missing_covariance", "inert_lever_f200"]
    chosen = [w for w in worlds() if w.name in names]
    one = judge_worlds(chosen, root=5)
    two = judge_worlds(chosen[::-1], root=5, processes=2)
    rates = [{(o.world, o.claim): (o.rate, o.reps) for o in found.outcomes} for found in (one, two)]
    assert rates[0] == rates[1]
    assert judge_worlds(chosen, root=6).to_frame()["rate"].tolist() != one.to_frame()["rate"].tolist()


def test_chunks_draw_anew():
    seen = []

    def simulate(rng, n):
        seen.append(rng.random(3).tolist())
        return {"hit": np.zeros(n, dtype=bool)}

    small = World(number=0, name="w", title="", expected="", claims=(claim(),), simulate=simulate, reps_quick=500)
    found = judge_worlds([small]).outcomes[0]
    assert found.reps == 500
    assert len(seen) == 3
    assert len({tuple(s) for s in seen}) == 3


def test_full_run_takes_the_full_number():
    assert judge_worlds([world(0.0, claim())], quick=False).outcomes[0].reps == 2000


def test_world_that_counts_something_else_is_an_error():
    with pytest.raises(EstimationError, match=r"claims \['hit', 'miss'\]; it counted \['hit'\]"):
        judge_worlds([World(number=0, name="w", title="", expected="", claims=(claim(), claim("miss")), simulate=lambda _rng, n: {"hit": np.zeros(n)})])  # fmt: skip


def test_title_says_that_all_hold_or_which_do_not():
    good = judge_worlds([world(0.01, claim(), claim("again"))], root=3)
    assert good._title() == "Every one of 2 claims in 1 world holds (seed 3, 1,000 simulations a world)"
    bad = judge_worlds([world(0.2, claim()), world(0.2, *(claim(f"c{i}") for i in range(6)), name="other")], root=3)
    assert not bad.passed
    assert bad._title().startswith(
        "7 of 7 claims in 2 worlds do not hold (seed 3, 1,000 simulations a world): coin: hit 0.1"
    )
    assert bad._title().endswith("; and 2 more")


def test_result_shows_itself_in_every_form():
    found = run(world="missing_covariance")
    assert found.passed
    assert found.failed == ()
    assert found.seed == SEED
    assert json.loads(json.dumps(found.to_dict()))["outcomes"][0]["rate"] == 1.0
    frame = found.to_frame()
    assert frame.loc[0, ["world", "claim", "rate", "bound", "passed"]].tolist() == ["missing_covariance", "rightly blocked", 1.0, 1.0, True]  # fmt: skip
    page = found.to_markdown()
    assert f"Run of {found.date}, quick" in page
    assert "| missing_covariance | rightly blocked | judge | 1.0000 |" in page


def test_page_shows_every_row():
    many = judge_worlds([world(0.01, *(claim(f"c{i}") for i in range(40)))])
    assert all(f"| c{i} |" in many.to_markdown() for i in range(40))


def test_fresh_seed_is_told_and_recorded():
    lines = []
    found = run(world="missing_covariance", seed="fresh", progress=lines.append)
    assert lines[0] == f"seed {found.seed}"
    assert lines[1].startswith("missing_covariance: holds (")
    assert found.fresh
    assert f"seed {found.seed}, drawn for this run" in found._title()
    again = run(world="missing_covariance", seed=found.seed)
    assert again.to_frame()["rate"].tolist() == found.to_frame()["rate"].tolist()


def test_failing_world_is_told_as_it_fails():
    lines = []
    judge_worlds([world(0.5, claim())], progress=lines.append)
    assert lines[0].startswith("coin: FAILS hit (")


def test_worlds_are_found_by_name_number_or_part():
    assert {o.world for o in run(world="8").outcomes} == {"missing_covariance"}
    assert len({o.world for o in run(world="missing_cov").outcomes}) == 1
    with pytest.raises(EstimationError, match=r"no world is called 'missing_variance'[\s\S]*missing_covariance"):
        run(world="missing_variance")


@pytest.mark.parametrize("seed", [-1, 1.5, "new", True])
def test_seed_must_be_one(seed):
    with pytest.raises(EstimationError, match="is no seed"):
        run(world="8", seed=seed)


def test_processes_must_be_some():
    with pytest.raises(EstimationError, match="Give 1 or more"):
        run(world="8", processes=0)


def test_every_world_can_be_told_apart_and_fits_the_page():
    known = worlds()
    assert len({w.name for w in known}) == len(known)
    for w in known:
        names = [c.name for c in w.claims]
        assert len(set(names)) == len(names), w.name
        assert len(w.name) <= 24, w.name
        assert max(map(len, names)) <= 30, w.name
        assert {c.relation for c in w.claims} <= {"<=", ">="}
        assert w.title
        assert w.expected
        assert w.reps_full >= (500 if w.unit_level else 2000), w.name
        assert 0 < w.reps_quick <= w.reps_full


def test_no_world_promises_what_cannot_fail():
    for w in worlds():
        for c in w.claims:
            assert not (c.relation == "<=" and c.bound >= 1), (w.name, c.name)
            assert not (c.relation == ">=" and c.bound <= 0), (w.name, c.name)


def test_table_fits_eighty_columns():
    found = judge_worlds([world(0.5, claim("c" * 30, naive=True), name="n" * 24)])
    assert max(map(len, str(found).split("\n"))) <= 80


def test_door_is_the_package():
    assert calibration.run is harness.run
