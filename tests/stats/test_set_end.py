"""The end of a set between a point inside and one outside."""

import math

import pytest

from cpi_experiments.stats.instruments.set_end import end_between


@pytest.mark.parametrize(("low", "high"), [(0.0, 3.0), (3.0, 0.0), (1.0, 100.0)])
@pytest.mark.parametrize("inverse", [False, True])
def test_an_end_is_found_from_either_side_to_the_last_digits(low, high, inverse):
    found = end_between(lambda x: (math.exp(x) < 5) != inverse, low, high)
    assert found == pytest.approx(math.log(5), rel=1e-13)
