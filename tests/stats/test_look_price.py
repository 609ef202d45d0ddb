"""What is asked at the last look: the running p-value of exactly that score is the threshold."""

import numpy as np
import pytest
from scipy import special

from cpi_experiments.stats.judging.look_plan import look_plan
from cpi_experiments.stats.judging.look_price import asked_at_the_end
from cpi_experiments.stats.judging.running_p import running_p


@pytest.mark.parametrize("threshold", [0.0083, 0.00278, 0.0005])
@pytest.mark.parametrize("text", ["single", "retest", "planned 2", "planned 8", "capped 0.5", "open 0.5"])
def test_a_score_that_just_reaches_the_price_reaches_the_threshold(threshold, text):
    plan = look_plan(text)
    z = -special.ndtri(asked_at_the_end(threshold, plan))
    steps = np.arange(1, plan.looks + 1) ** 1.25  # as the plan assumes information to grow
    information = steps / steps[-1] / 0.5**2
    scores = np.where(information < information[-1], -1.0, z * np.sqrt(information[-1]))
    found = running_p(scores, information, plan).p_values[-1]
    assert found == pytest.approx(threshold, rel=0.01)


def test_looking_more_often_costs_more():
    asked = [
        asked_at_the_end(0.003, look_plan(text)) for text in ("single", "planned 2", "planned 8", "capped 1", "open 1")
    ]
    assert asked == sorted(asked, reverse=True)
    assert asked[0] == 0.003
