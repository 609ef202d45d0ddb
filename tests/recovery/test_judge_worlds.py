"""Worlds with known truth, at the level of experiment summaries: every claim about the judge holds.

The worlds are those of `cpi_experiments.calibration`; here with few simulations, under ``slow`` with those of a quick
run, methods beside the judge included.
"""

from dataclasses import replace

import pytest

from cpi_experiments.calibration import judged_looks, judged_many, judged_worlds, portfolio_laws, portfolio_worlds
from cpi_experiments.calibration.harness import judge_worlds

ONE_LINK = judged_worlds.WORLDS
OTHERS = (*judged_many.WORLDS, *judged_looks.WORLDS, *portfolio_worlds.WORLDS, *portfolio_laws.WORLDS)


@pytest.mark.parametrize("world", ONE_LINK, ids=lambda world: world.name)
def test_judge_says_what_is_true_as_often_as_promised(world):
    few = judge_worlds([replace(world, reps_quick=60)])
    assert [o for o in few.failed if o.method == "judge"] == []


@pytest.mark.slow
@pytest.mark.parametrize("world", [*ONE_LINK, *OTHERS], ids=lambda world: world.name)
def test_every_claim_of_a_quick_run_holds(world):
    assert judge_worlds([world]).failed == ()
