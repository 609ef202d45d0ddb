"""Error rates and power of the portfolio rule over eight quarters, in worlds that were made to break such rules.

The bound is on E[max over quarters of the false share], simultaneously for all quarters. Seeds are fixed; fast tests
draw some hundreds of portfolios, the slow ones two thousand a cell.
"""

import functools
import math

import numpy as np
import pytest
from scipy import special

from cpi_experiments.calibration.portfolio_draws import (
    DEPENDENCES,
    MIXED_SLOTS,
    draw_looks,
    draw_scores,
    judge_mixed,
    judge_quarters,
)
from cpi_experiments.stats.judging.e_bh import e_bh, frozen_screen
from cpi_experiments.stats.judging.portfolio import alone_threshold, publish
from cpi_experiments.stats.judging.running_p import look_plan, running_p

Q = 0.10
CAP = f"capped {8**-0.5!r}"
REPS = 2000


def rule(slots, mode="closed"):
    return functools.partial(_decide, slots=slots, mode=mode)


def _decide(p, published, *, slots, mode):
    return publish(p, q=Q, slots=slots, published=published, mode=mode)


def bh(p, _):
    return frozen_screen(p, q=Q, slots=len(p), correction="bh")


def seeded(*cell):
    return np.random.default_rng([5, *[abs(hash_of(part)) for part in cell]])


def hash_of(part):
    return int.from_bytes(str(part).encode(), "big") % 2**32


def holds(rates):
    """E[max FDP] within its bound and nothing withdrawn."""
    found = rates.max_fdp
    return found.mean() <= Q + 3 * found.std() / math.sqrt(len(found)) and not rates.withdrawn.any()


def looks_world(dependence, m, nulls, reps, z=3.0):
    world = draw_looks(seeded("looks", dependence, m, nulls, z), reps, dependence=dependence, m=m, nulls=nulls, z=z)
    return world.running(), world.null


def scores_world(dependence, m, nulls, reps, looks, z=3.0):
    world = draw_scores(seeded("scores", dependence, m, nulls, z), reps, dependence=dependence, m=m, nulls=nulls, z=z)
    return running_p(world.scores, world.information, look_plan(looks)).p_values, world.null


# -- the rule holds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dependence", DEPENDENCES)
def test_false_share_over_all_quarters_holds_in_every_world_of_single_looks(dependence):
    for nulls in (1.0, 0.5, 0.8):
        for mode in ("closed", "plain"):
            rates = judge_quarters(*looks_world(dependence, 12, nulls, 250), rule(12, mode))
            assert holds(rates)
            assert rates.max_fdp.mean() < 0.09


@pytest.mark.parametrize("dependence", DEPENDENCES[:-1])
@pytest.mark.parametrize("looks", ["planned 8", CAP])
def test_false_share_holds_while_evidence_accumulates(dependence, looks):
    for nulls in (1.0, 0.5):
        assert holds(judge_quarters(*scores_world(dependence, 12, nulls, 250, looks), rule(12)))


@pytest.mark.parametrize("mode", ["closed", "plain"])
def test_false_share_holds_where_results_decide_what_is_tested_next(mode):
    for nulls in (1.0, 0.5):
        rates, p = judge_mixed(seeded("mixed", nulls), 40, nulls=nulls, decide=rule(MIXED_SLOTS, mode))
        assert holds(rates)
        assert rates.max_fdp.mean() < 0.06
        assert np.all(np.diff(p, axis=2) <= 0)
        if nulls < 1:
            assert np.mean(rates.found[:, -1]) > 0.45


@pytest.mark.parametrize(("m", "reps", "least"), [(12, 300, 0.84), (60, 60, 0.82)])
def test_power_of_one_look_at_z_three_with_half_of_the_links_real(m, reps, least):
    rates = judge_quarters(*looks_world("independent", m, 0.5, reps), rule(m))
    assert rates.found[:, -1].mean() >= least - 1.5 * rates.found[:, -1].std() / math.sqrt(reps)


def test_z_of_three_alone_confirms_among_twelve_by_one_look_and_by_the_first_account_not_by_a_cap():
    threshold = alone_threshold(Q, 12)
    z = np.array([3.0])
    chance = {
        plan: running_p(z, np.array([1.0]), look_plan(plan)).p_values[0] for plan in ("single", "retest", "capped 1")
    }
    assert chance["single"] < chance["retest"] < threshold < chance["capped 1"]
    assert publish([1.0, chance["retest"]], q=Q, slots=12) == {1}


# -- planted faults --------------------------------------------------------------------------------------------------


def wrong_by(decide, p, null):
    return judge_quarters(p, null, decide)


def test_fault_dormant_links_dropped():
    """Only links whose evidence looks good are counted as slots."""

    def decide(p, _):
        awake = np.flatnonzero(p < 0.05)
        found = publish(p[awake], q=Q, slots=max(len(awake), 4)) if len(awake) else frozenset()
        return frozenset(awake[list(found)].tolist()) if found else frozenset()

    p, null = looks_world("independent", 60, 1.0, 250)
    assert wrong_by(decide, p, null).max_fdp.mean() > 3 * Q
    assert holds(judge_quarters(p, null, rule(60)))


def test_fault_bh_on_the_significant_ones():
    def decide(p, _):
        significant = np.flatnonzero(p < 0.05)
        return frozenset(significant[list(bh(p[significant], None))].tolist()) if len(significant) else frozenset()

    assert wrong_by(decide, *looks_world("independent", 12, 1.0, 400)).max_fdp.mean() > 3 * Q


def test_fault_levels_changed_midway_is_refused():
    """A portfolio that grows from 12 to 60 slots cannot keep what it published at 12."""
    p = [special.ndtr(-3.0), *[1.0] * 11]
    before = publish(p, q=Q, slots=12)
    assert before == {0}
    with pytest.raises(Exception, match="slots or mode changed within the horizon"):
        publish(p, q=Q, slots=60, published=before)


def test_fault_slots_chosen_by_what_they_publish():
    """The smallest number of slots that still fits the links seen so far: a new family every quarter."""

    def decide(p, published):
        seen = np.flatnonzero(p < 1)
        found = publish(p[seen], q=Q, slots=max(len(seen), 4)) if len(seen) else frozenset()
        return published | frozenset(seen[list(found)].tolist()) if found else published

    p, null = looks_world("independent", 60, 1.0, 400)
    shrunken = wrong_by(decide, p, null).max_fdp.mean()
    frozen = judge_quarters(p, null, rule(60)).max_fdp.mean()
    assert shrunken > 2 * frozen


def test_fault_p_value_of_the_moment_read_each_quarter():
    """BH on S / sqrt(V) of every quarter: verdicts come and go, and the union is wrong far too often."""
    world = draw_scores(seeded("naive"), 300, dependence="independent", m=12, nulls=1.0)
    p = special.ndtr(-world.scores / np.sqrt(world.information))
    rates = judge_quarters(p, world.null, bh)
    assert rates.ever_fdp.mean() > 2 * Q
    assert rates.withdrawn.sum() > 0
    alone = judge_quarters(p, world.null, lambda now, _: publish(now, q=Q, slots=12))
    assert alone.withdrawn.sum() > 0


def test_fault_e_bh_on_running_maxima():
    """sup E of a process that grows until it dies is 1 / U: e-BH on it is BH, and the grid world breaks that."""
    p, null = looks_world("steps", 12, 1.0, 800)
    maxima = judge_quarters(p, null, lambda now, _: e_bh(1 / np.maximum(now, 1e-300), q=Q, slots=12))
    assert maxima.max_fdp.mean() > 2 * Q
    assert holds(judge_quarters(p, null, rule(12)))


# -- the whole table -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("m", "nulls", "z", "power"),
    [
        (12, 0.5, 2.5, 0.69), (12, 0.5, 3.0, 0.865), (12, 0.5, 3.5, 0.95), (12, 0.5, 4.5, 1.0),
        (12, 0.8, 2.5, 0.49), (12, 0.8, 3.0, 0.70), (12, 0.8, 3.5, 0.87), (12, 0.8, 4.5, 0.98),
        (60, 0.5, 2.5, 0.61), (60, 0.5, 3.0, 0.85), (60, 0.5, 3.5, 0.94), (60, 0.5, 4.5, 1.0),
        (60, 0.8, 2.5, 0.365), (60, 0.8, 3.0, 0.635), (60, 0.8, 3.5, 0.82), (60, 0.8, 4.5, 0.97),
    ],
)  # fmt: skip
def test_table_power_of_one_look(m, nulls, z, power):
    rates = judge_quarters(*looks_world("independent", m, nulls, REPS, z), rule(m))
    assert rates.found[:, -1].mean() == pytest.approx(power, abs=0.025)
    assert holds(rates)


@pytest.mark.slow
@pytest.mark.parametrize("m", [12, 60])
@pytest.mark.parametrize("dependence", DEPENDENCES)
@pytest.mark.parametrize("nulls", [1.0, 0.5, 0.8])
def test_table_false_share_of_single_looks(m, dependence, nulls):
    p, null = looks_world(dependence, m, nulls, REPS)
    for mode in ("closed", "plain"):
        rates = judge_quarters(p, null, rule(m, mode))
        assert holds(rates)
        assert rates.ever_fdp.mean() <= 0.06
        assert nulls < 1 or np.mean(rates.ever_fdp > 0) <= 0.06
    if dependence == "steps" and nulls == 1:
        assert judge_quarters(p, null, bh).ever_fdp.mean() == pytest.approx(
            Q * np.sum(1 / np.arange(1, m + 1)), abs=0.04
        )


@pytest.mark.slow
@pytest.mark.parametrize("dependence", DEPENDENCES[:-1])
@pytest.mark.parametrize(
    ("m", "looks", "least"), [(12, "planned 8", 0.79), (60, "planned 8", 0.77), (12, CAP, 0.73), (60, CAP, 0.68)]
)
def test_table_of_accumulation(dependence, m, looks, least):
    for nulls in (1.0, 0.5, 0.8):
        rates = judge_quarters(*scores_world(dependence, m, nulls, REPS, looks), rule(m))
        assert holds(rates)
        assert rates.ever_fdp.mean() <= 0.06
        if dependence == "independent" and nulls == 0.5:
            assert rates.found[:, -1].mean() >= least


@pytest.mark.slow
@pytest.mark.parametrize("nulls", [1.0, 0.5, 0.8])
def test_table_of_the_mixed_world(nulls):
    rates, p = judge_mixed(seeded("mixed table", nulls), 1000, nulls=nulls, decide=rule(MIXED_SLOTS))
    assert holds(rates)
    assert rates.max_fdp.mean() <= 0.05
    assert np.all(np.diff(p, axis=2) <= 0)
