"""e-BH, its closure and the frozen screen, against their definitions and another library."""

import itertools
import math

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.judging.e_bh import closed_e_bh, e_bh, frozen_screen

Q = 0.10


def by_definition(e, q, slots):
    full = [*e, *[0.0] * (slots - len(e))]
    best = max((r for r in range(1, len(e) + 1) if sum(x >= slots / (q * r) for x in full) >= r), default=0)
    return {i for i in range(len(e)) if best and e[i] >= slots / (q * best)}


def closure_allows(chosen, e, q, slots):
    full = [*e, *[0.0] * (slots - len(e))]
    return all(
        sum(full[i] for i in subset) / size >= len(chosen & set(subset)) / (q * len(chosen)) * (1 - 1e-9)
        for size in range(1, slots + 1)
        for subset in itertools.combinations(range(slots), size)
    )


def draws(rng, m, slots):
    """Random, huge, tied, and exactly on thresholds."""
    yield np.exp(rng.normal(2, 2, m))
    yield rng.choice([0.0, 1.0, 20.0, math.inf], m)
    yield np.repeat(np.exp(rng.normal(3, 1, (m + 1) // 2)), 2)[:m]
    yield rng.choice([slots / (Q * r) for r in range(1, m + 1)], m)
    yield rng.choice([a / (Q * r) for r in range(1, m + 1) for a in range(1, r + 1)], m)


@pytest.mark.parametrize("m", range(1, 9))
def test_e_bh_and_its_closure_are_what_their_definitions_say(m):
    rng = np.random.default_rng(m)
    gained, found = 0, set()
    for _ in range(3 if m > 6 else 15):
        slots = min(m + int(rng.integers(0, 3)), 8)
        for e in draws(rng, m, slots):
            plain, closed = e_bh(e, q=Q, slots=slots), closed_e_bh(e, q=Q, slots=slots)
            assert plain == by_definition(e.tolist(), Q, slots)
            assert plain <= closed
            assert not closed or closure_allows(closed, e.tolist(), Q, slots)
            larger = [
                set(other)
                for size in range(len(closed) + 1, m + 1)
                for other in itertools.combinations(range(m), size)
                if all(e[i] > e[j] for i in other for j in set(range(m)) - set(other))  # ties go together
            ]
            assert not any(closure_allows(other, e.tolist(), Q, slots) for other in larger)
            gained += len(closed) > len(plain)
            found.add(len(closed))
    assert {0, m} <= found
    assert gained or m == 1


def test_infinite_and_no_evidence():
    assert e_bh([math.inf, 0.0], q=Q, slots=40) == {0}
    assert closed_e_bh([math.inf, 0.0], q=Q, slots=40) == {0}
    assert e_bh([1.0] * 5, q=Q, slots=5) == closed_e_bh([1.0] * 5, q=Q, slots=5) == frozenset()
    assert e_bh([], q=Q, slots=4) == closed_e_bh([], q=Q, slots=4) == frozenset()
    assert e_bh([120.0], q=Q, slots=12) == {0}
    assert e_bh([119.9], q=Q, slots=12) == frozenset()


@pytest.mark.parametrize(("correction", "method"), [("bh", "fdr_bh"), ("by", "fdr_by")])
def test_frozen_screen_agrees_with_statsmodels(correction, method):
    rng = np.random.default_rng(5)
    sizes = set()
    for _ in range(150):
        m = int(rng.integers(1, 40))
        slots = m + int(rng.integers(0, 10))
        p = np.round(rng.uniform(size=m) ** rng.integers(1, 6), int(rng.integers(2, 8)))  # ties and zeros
        found = frozen_screen(p, q=Q, slots=slots, correction=correction)
        reject = multipletests(np.concatenate([p, np.ones(slots - m)]), alpha=Q, method=method)[0]
        assert found == set(np.flatnonzero(reject).tolist())
        sizes.add(len(found))
    assert len(sizes) > 8


def test_dormant_links_count_in_a_frozen_screen():
    assert frozen_screen([0.02], q=Q, slots=5, correction="bh") == {0}
    assert frozen_screen([0.02], q=Q, slots=6, correction="bh") == frozenset()


@pytest.mark.parametrize("rule", [e_bh, closed_e_bh])
@pytest.mark.parametrize(
    ("e", "q", "slots", "found"),
    [
        ([math.nan], Q, 4, "nan"),
        ([-1.0], Q, 4, "-1.0"),
        ([[1.0]], Q, 4, "one per hypothesis"),
        ([1.0], 1.0, 4, "between 0 and 1"),
        ([1.0] * 5, Q, 4, "5 hypotheses do not fit 4 slots"),
    ],
)
def test_what_is_no_e_value_rate_or_portfolio_is_refused(rule, e, q, slots, found):
    with pytest.raises(EstimationError, match=found):
        rule(e, q=q, slots=slots)


@pytest.mark.parametrize(
    ("p", "q", "correction", "found"),
    [
        ([math.nan], Q, "by", "nan"),
        ([0.1], math.nan, "by", "between 0 and 1"),
        ([0.1], Q, "holm", "'holm' does not control"),
        ([0.1] * 5, Q, "bh", "do not fit 4 slots"),
    ],
)
def test_what_cannot_be_screened_is_refused(p, q, correction, found):
    with pytest.raises(EstimationError, match=found):
        frozen_screen(p, q=q, slots=4, correction=correction)


# -- error rate -------------------------------------------------------------------------------------------------------


def shared_noise(rng, reps, m, rho):
    return np.sqrt(rho) * rng.standard_normal((reps, 1)) + np.sqrt(1 - rho) * rng.standard_normal((reps, m))


@pytest.mark.parametrize("rule", [e_bh, closed_e_bh])
@pytest.mark.parametrize(("nulls", "rho"), [(1.0, 0.0), (0.5, 0.9), (0.8, 0.5)])
def test_false_discovery_rate_of_e_values_holds(rule, nulls, rho):
    rng = np.random.default_rng(6)
    reps, m = 1500, 12
    null = np.arange(m) < round(m * nulls)
    z = shared_noise(rng, reps, m, rho) + np.where(null, 0.0, 3.0)
    e = np.exp(3.3 * z - 3.3**2 / 2)  # mean 1 at no effect
    fdp = []
    for row in e:
        found = rule(row, q=Q, slots=m)
        fdp.append(sum(null[i] for i in found) / max(len(found), 1))
    assert np.mean(fdp) <= Q


def test_running_maxima_of_e_processes_break_the_rate():
    """Planted fault: an e-process that grows until it dies has a maximum distributed as 1 / U, and no mean."""
    rng = np.random.default_rng(7)
    m, reps = 12, 4000
    chances = Q / np.arange(1, m + 1)
    wrong = 0
    for j in rng.choice(m + 1, reps, p=[1 - chances.sum(), *chances]):
        u = rng.uniform(Q, 1, m)
        u[:j] = rng.uniform(Q * (j - 1) / m, Q * j / m, j) if j else []
        wrong += bool(e_bh(1 / u, q=Q, slots=m))
    assert wrong / reps == pytest.approx(chances.sum(), abs=0.03)  # 0.31
    assert wrong / reps > 2 * Q
