"""Many slopes from sums, against statsmodels; the false discovery rate of what stands out."""

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.screening import q_values, slopes_of, two_sided


def gram(*columns):
    rows = np.vstack([np.ones(len(columns[0])), *columns])
    return rows @ rows.T


@pytest.mark.parametrize("q", [0, 1, 3])
def test_slopes_and_errors_are_those_of_least_squares(q):
    import statsmodels.api as sm

    rng = np.random.default_rng(q)
    grams, expected = [], []
    for n in (30, 200, 45):
        controls = rng.normal(size=(q, n))
        x = rng.normal(size=n) + 3 + controls.sum(axis=0)
        y = 2 - 0.5 * x + controls.sum(axis=0) + rng.normal(size=n)
        fit = sm.OLS(y, np.column_stack([np.ones(n), *controls, x])).fit()
        grams.append(gram(*controls, x, y))
        expected.append((n, fit.params[-1], fit.bse[-1], fit.pvalues[-1], *fit.params[:-1]))
    found = slopes_of(np.array(grams))
    got = np.column_stack([found.n, found.slope, found.std_error, found.p_value, found.intercept])
    assert got == pytest.approx(np.array(expected), rel=1e-9)


def test_cells_without_an_answer_say_why_and_have_no_p_value():
    x = np.arange(6.0)
    y = np.array([1.0, 3, 2, 5, 4, 9])
    cells = [gram(x, y), gram(x[:2], y[:2]), gram(x * 0 + 4, y), gram(x, y * 0 + 4), gram(x, 3 * x + 1), gram(x, y) * 0]
    found = slopes_of(np.array(cells))
    assert found.problem.tolist() == [
        "", "too few rows", "the CPI does not vary", "the KPI does not vary", "the same thing measured twice",
        "too few rows",
    ]  # fmt: skip
    assert np.isnan(found.p_value).tolist() == [False, True, True, True, True, True]


def test_a_control_that_explains_the_cpi_leaves_nothing_and_a_repeated_one_costs_nothing():
    rng = np.random.default_rng(1)
    z, x, y = rng.normal(size=(3, 40))
    found = slopes_of(np.array([gram(z, z, x, y), gram(z, 0 * z, 2 * z, y)]))
    once = slopes_of(gram(z, x, y)[None])
    assert (found.slope[0], found.std_error[0]) == pytest.approx((once.slope[0], once.std_error[0]), rel=1e-10)
    assert found.problem[1] == "the CPI does not vary"


@pytest.mark.parametrize("procedure", ["BH", "BY"])
def test_q_values_are_those_of_statsmodels(procedure):
    from statsmodels.stats.multitest import multipletests

    p = np.r_[np.random.default_rng(2).random(300) ** 3, 0.01, 0.01, 1.0]
    theirs = multipletests(p, method=f"fdr_{procedure.lower()}")[1]
    assert q_values(p, procedure=procedure) == pytest.approx(theirs, rel=1e-12)


def test_cells_without_an_answer_count_in_the_family():
    p = np.array([0.01, 0.2])
    assert q_values(np.r_[p, [np.nan] * 8])[:2] == pytest.approx(q_values(np.r_[p, [1.0] * 8])[:2])
    assert q_values(np.r_[p, [np.nan] * 8])[0] > q_values(p)[0]


def test_another_procedure_is_refused():
    with pytest.raises(EstimationError, match="procedure 'HB' is not known"):
        q_values(np.ones(2), procedure="HB")


def one_screen(rng, effect, *, n=80):
    """Screen 12 CPIs x 5 KPIs that share rows; the KPIs go together, the first CPI moves the first KPI."""
    x = rng.normal(size=(12, n))
    y = rng.normal(size=(5, n)) + 0.7 * rng.normal(size=n)
    y[0] += effect * x[0]
    rows = np.stack([np.broadcast_to(each, (12, 5, n)) for each in (np.ones(n), x[:, None], y)], axis=2).reshape(
        60, 3, n
    )
    passes = q_values(slopes_of(rows @ np.swapaxes(rows, 1, 2)).p_value) <= 0.10
    return passes[0], passes[1:].sum()


def test_where_nothing_moves_anything_one_screen_in_ten_finds_something():
    rng, runs = np.random.default_rng(6), 500
    false = sum(sum(one_screen(rng, 0.0)) > 0 for _ in range(runs))
    low, high = stats.binom.ppf([0.0005, 0.9995], runs, 0.10)
    assert low * 0.5 <= false <= high  # KPIs that go together make it fewer


def test_the_share_of_false_discoveries_is_kept_beside_a_real_link():
    rng, runs = np.random.default_rng(7), 400
    found = np.array([one_screen(rng, 0.8) for _ in range(runs)])
    share = found[:, 1] / np.maximum(found.sum(axis=1), 1)
    assert found[:, 0].mean() > 0.9
    assert 0.02 < share.mean() < 0.10 + 3.3 * share.std() / np.sqrt(runs)


def test_two_sided_p_values_are_those_of_t():
    t, df = np.array([0.0, 1.5, -30.0]), np.array([4.0, 100.0, 7.0])
    assert two_sided(t, df) == pytest.approx(2 * stats.t.sf(np.abs(t), df), rel=1e-10)
    many = np.tile(t, 20_000), np.tile(df, 20_000)
    assert two_sided(*many)[:3] == pytest.approx(two_sided(t, df), rel=1e-10)
