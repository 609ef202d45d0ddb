"""The algebra of two-way effects from sums, its error rate, and faults that it must notice."""

import numpy as np
import pytest
from scipy import special, stats

from cpi_experiments.stats.fixed_effects import within
from cpi_experiments.stats.within_moments import (
    WithinMoments,
    WithinScores,
    add_units,
    solve_within,
    take_units,
    within_regression,
)


def moments(w, unit, time, units, periods):
    """Sum rows (n, p) by unit and period, one kind of unit each."""
    sums, by_period = np.zeros((units, w.shape[1])), np.zeros((periods, w.shape[1]))
    np.add.at(sums, unit, w)
    np.add.at(by_period, time, w)
    seen = np.zeros(units, dtype=np.int64)
    np.bitwise_or.at(seen, unit, 1 << time)
    kept = seen > 0
    return WithinMoments(
        products=w.T @ w,
        period_rows=np.bincount(time, minlength=periods),
        period_sums=by_period,
        units=take_units(seen[kept], sums[kept], periods=periods),
    )


def scores(w, unit, time, units, solution):
    """Sum scores by unit from rows (n, p)."""
    x = w[:, 1:] - solution.period_columns[time]
    e = w[:, 0] - w[:, 1:] @ solution.coefficients - solution.period_effects[time]
    z = x @ (solution.bread[0] / solution.bread[0, 0])
    n = np.maximum(np.bincount(unit, minlength=units), 1)

    def within_unit(a, b):
        total = [np.bincount(unit, weights=each, minlength=units) for each in (a * b, a, b)]
        return total[0] - total[1] * total[2] / n

    each = np.column_stack([within_unit(column, e) for column in x.T])
    own = within_unit(z, z)
    return WithinScores(
        total=each.sum(axis=0), products=each.T @ each, own=own.sum(), own_squared=np.sum(own**2)
    )  # fmt: skip


def draw(rng, *, units=80, periods=6, share=0.75, rho=0.8):
    unit, time = (codes.ravel() for codes in np.indices((units, periods)))
    walk = np.empty((units, periods, 2))
    walk[:, 0] = rng.normal(size=(units, 2))
    for t in range(1, periods):
        walk[:, t] = rho * walk[:, t - 1] + np.sqrt(1 - rho**2) * rng.normal(size=(units, 2))
    effect = 2 * rng.normal(size=units)[unit] + rng.normal(size=periods)[time]
    x, noise = walk.reshape(-1, 2).T
    kept = rng.random(len(unit)) < share
    w = np.column_stack([effect + noise, effect + x])[kept]
    return w, unit[kept], time[kept]


def test_islands_of_periods_cost_a_parameter_each():
    rng = np.random.default_rng(4)
    w, unit, time = draw(rng, units=80, periods=8, share=1.0)
    kept = (unit < 30) == (time < 4)
    w, unit, time = w[kept], unit[kept], time[kept]
    solution = solve_within(moments(w, unit, time, 80, 8))
    ours = within_regression(solution, scores(w, unit, time, 80, solution))
    theirs = within(w[:, 0], w[:, 1:], effects=[unit, time], cluster=unit)
    assert (solution.n_periods, solution.n_effects) == (7, 86)
    assert ours.n_parameters == theirs.n_parameters
    assert ours.covariance == pytest.approx(theirs.covariance, rel=1e-10)
    assert ours.coefficients == pytest.approx(theirs.coefficients, rel=1e-10)


def test_a_true_zero_is_rejected_in_one_of_twenty_panels_with_lasting_shocks():
    rng, rejected, naive, runs = np.random.default_rng(20), 0, 0, 600
    for _ in range(runs):
        w, unit, time = draw(rng)
        solution = solve_within(moments(w, unit, time, 80, 6))
        fit = within_regression(solution, scores(w, unit, time, 80, solution))
        t = fit.coefficients[0] / fit.std_errors[0]
        rejected += 2 * special.stdtr(fit.df, -abs(t)) < 0.05
        naive += abs(fit.coefficients[0]) > 1.96 * fit.sigma * np.sqrt(solution.bread[0, 0])
    low, high = stats.binom.ppf([0.0005, 0.9995], runs, 0.05)
    assert low <= rejected <= high
    assert naive > high  # errors that ignore the units would be seen


def test_the_sum_of_the_scores_mends_slopes_that_rounding_moved():
    w, unit, time = draw(np.random.default_rng(2))
    solution = solve_within(moments(w, unit, time, 80, 6))
    exact = within(w[:, 0], w[:, 1:], effects=[unit, time], cluster=unit).coefficients
    from dataclasses import replace

    shift = solution.period_columns @ np.array([1e-6])
    moved = replace(solution, coefficients=solution.coefficients + 1e-6, period_effects=solution.period_effects - shift)
    fit = within_regression(moved, scores(w, unit, time, 80, moved))
    assert abs(moved.coefficients - exact)[0] > 9e-7
    assert fit.coefficients == pytest.approx(exact, rel=1e-12)


def test_units_seen_once_count_as_singletons_and_change_nothing():
    w, unit, time = draw(np.random.default_rng(3))
    more = np.vstack([w, [[9.0, -8.0], [5.0, 7.0]]])
    plain = solve_within(moments(w, unit, time, 80, 6))
    with_alone = solve_within(moments(more, np.r_[unit, 80, 81], np.r_[time, 0, 3], 82, 6))
    assert with_alone.singletons == plain.singletons + 2
    assert (with_alone.n_obs, with_alone.n_units) == (plain.n_obs, plain.n_units)
    assert with_alone.coefficients == pytest.approx(plain.coefficients, rel=1e-9)


def test_a_full_set_of_62_periods_fits_the_bits():
    w, unit, time = draw(np.random.default_rng(5), units=50, periods=62, share=0.6)
    m = moments(w, unit, time, 50, 62)
    assert m.units.rows == len(w)
    solution = solve_within(m)
    theirs = within(w[:, 0], w[:, 1:], effects=[unit, time], cluster=unit)
    ours = within_regression(solution, scores(w, unit, time, 50, solution))
    assert ours.coefficients == pytest.approx(theirs.coefficients, rel=1e-10)
    assert ours.std_errors == pytest.approx(theirs.std_errors, rel=1e-10)


def test_units_add_up_one_by_one_and_by_the_periods_they_share():
    rng = np.random.default_rng(9)
    seen, sums = rng.integers(1, 32, 400), rng.normal(size=(400, 2))
    once = take_units(seen, sums, periods=5)
    parts = add_units(take_units(seen[:150], sums[:150], periods=5), take_units(seen[150:], sums[150:], periods=5))
    kinds, place = np.unique(seen, return_inverse=True)
    by_kind, products = np.zeros((len(kinds), 2)), np.zeros((len(kinds), 2, 2))
    np.add.at(by_kind, place, sums)
    np.add.at(products, place, np.einsum("mj,mk->mjk", sums, sums))
    grouped = take_units(kinds, by_kind, periods=5, units=np.bincount(place), products=products)
    for other in (parts, grouped):
        assert other.taken == pytest.approx(once.taken, rel=1e-12, abs=1e-12)
        assert (other.units, other.rows) == (once.units, once.rows) == (400, int(np.bitwise_count(seen).sum()))
        assert other.alone.tolist() == once.alone.tolist()
        assert np.array_equal(other.linked, once.linked)
