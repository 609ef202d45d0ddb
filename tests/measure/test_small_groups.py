"""Hidden cells: no number of few customers can be read, nor worked out from totals."""

import numpy as np
import pytest

from cpi_experiments.errors import DataError
from cpi_experiments.measure.small_groups import check_minimum, hidden_cells, hidden_groups


@pytest.mark.parametrize(
    ("counts", "hidden"),
    [
        ([400, 30, 60], [0, 0, 0]),
        ([400, 3, 60], [0, 1, 1]),
        ([400, 3, 4, 60], [0, 1, 1, 1]),  # 7 together would still be few
        ([400, 3, 9, 60], [0, 1, 1, 0]),
        ([3], [1]),
        ([0, 50, 9], [0, 1, 1]),
        ([0, 0], [0, 0]),
        ([10, 10], [0, 0]),
    ],
)
def test_small_groups_and_the_one_that_gives_them_away(counts, hidden):
    assert hidden_groups(np.array(counts)).astype(int).tolist() == hidden


@pytest.mark.parametrize("seed", range(40))
def test_what_is_hidden_cannot_be_worked_out(seed):
    """Every shown total less its shown cells holds nobody, or two cells and ten customers at least."""
    rng = np.random.default_rng(seed)
    table = rng.choice([0, 2, 5, 8, 12, 30, 90], size=(5, 4), p=[0.1, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2])
    cells, rows, columns = hidden_cells(table)
    assert np.all(cells[(table > 0) & (table < 10)])
    lines = [(table[r], cells[r]) for r in range(5) if not rows[r]]
    lines += [(table[:, c], cells[:, c]) for c in range(4) if not columns[c]]
    for counts, hide in lines:
        left = counts[hide & (counts > 0)]
        assert len(left) == 0 or (len(left) > 1 and left.sum() >= 10)
    for totals, hide in ((table.sum(axis=1), rows), (table.sum(axis=0), columns)):
        left = totals[hide & (totals > 0)]
        assert len(left) == 0 or left.sum() >= 10 or hide[totals > 0].all()


def test_people_could_be_recognised_below_five():
    with pytest.raises(DataError, match="may not be shown"):
        check_minimum(4)
    assert check_minimum(5) == 5
