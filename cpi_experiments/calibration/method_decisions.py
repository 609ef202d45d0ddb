"""Tables of what is decided: errors on the margin, the wrong sign, many outcomes, plug-in variances at their limits."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np

from cpi_experiments.calibration.method_means import p_of, values
from cpi_experiments.calibration.method_world import Rate, about, broken, careful, method_world
from cpi_experiments.calibration.unit_arms import means_of_trials
from cpi_experiments.calibration.unit_draws import UnitTruth, cases_of, draw_links
from cpi_experiments.calibration.unit_links import judged, share
from cpi_experiments.randomized.integrity.plug_in_limits import plug_in_limits
from cpi_experiments.stats.equivalence import equivalence, noninferiority
from cpi_experiments.stats.multiplicity import adjusted_p_values
from cpi_experiments.stats.student import p_value

Array = np.ndarray

# -- margins -----------------------------------------------------------------------------------------------------------

MARGIN = 0.3


def kept(rng: np.random.Generator, reps: int, *, n: tuple[int, int], shift: float, test: str) -> Array:
    """Count trials that say a margin is kept; the true effect is ``shift``, the treatment spreads 1.5 as much."""
    arms = rng.standard_normal((reps, n[0], 1)), 1.5 * rng.standard_normal((reps, n[1], 1)) + shift
    hits = []
    for means in means_of_trials(arms):
        found = float(means.effect[0]), math.sqrt(float(means.omega[0, 0])), means.df(0)
        if test == "equivalence":
            hits.append(equivalence(*found, bound=MARGIN).shown)
        elif test == "noninferiority":
            hits.append(noninferiority(*found, margin=MARGIN).shown)
        else:  # "not significant, so it is the same"
            hits.append(p_value(found[0] / found[1], found[2]) >= 0.05)
    return np.array(hits)


# -- links -------------------------------------------------------------------------------------------------------------

#: A strong first stage; the standard error of the worth of a step is 3.3 / 10 of a SESOI.
LINK = UnitTruth(theta=1.0, strength=100, n=(400, 400), noise=3.0, confounding=1.0)


def decided(rng: np.random.Generator, reps: int, *, truth: UnitTruth, word: str, expected_sign: int = 1) -> Array:
    """Count verdicts of one word."""
    return share(judged(cases_of(draw_links(truth, rng, reps), expected_sign=expected_sign)), word)


def _verdict(name: str, word: str, at_most: float, *, theta: float, sign: int = 1, strength: float = 100) -> Rate:
    truth = replace(LINK, theta=theta, strength=strength)
    return Rate(
        name=name, count=partial(decided, truth=truth, word=word, expected_sign=sign), at_most=at_most,
        kind="refutation error" if word == "refuted" else "sign error",
    )  # fmt: skip


# -- many outcomes -----------------------------------------------------------------------------------------------------

OUTCOMES, NULLS = 40, 32


def false_shares(rng: np.random.Generator, reps: int, *, correction: str, shared: float) -> Array:
    """Give the share of false ones among the discoveries of every family of 40 outcomes, 8 of them real."""
    z = math.sqrt(shared) * rng.standard_normal((reps, 1)) + math.sqrt(1 - shared) * rng.standard_normal(
        (reps, OUTCOMES)
    )
    z[:, NULLS:] += 3.0
    found = []
    for row in z:
        p = np.array([p_value(float(each), math.inf) for each in row])
        seen = (p if correction == "none" else adjusted_p_values(p, correction=correction)) < 0.05  # type: ignore[arg-type] # one of the known
        found.append(float(seen[:NULLS].sum()) / max(int(seen.sum()), 1))
    return np.array(found)


# -- plug-in variances -------------------------------------------------------------------------------------------------


def lower_tail(rng: np.random.Generator, reps: int, *, kind: str, n: tuple[int, int]) -> Array:
    """Count significant losses (nominal .025) of a treatment that does nothing."""
    arms = (_skewed(rng, (reps, n[0]), kind), _skewed(rng, (reps, n[1]), kind))
    return np.array([p_of(m) < 0.05 and float(m.effect[0]) < 0 for m in means_of_trials(arms)])


def _skewed(rng: np.random.Generator, size: tuple[int, int], kind: str) -> Array:
    drawn = values(rng, size, kind) if kind != "five percent" else (rng.random(size) < 0.05).astype(float)
    return drawn[..., None]


def limit_seen(rng: np.random.Generator, reps: int, *, kind: str, n: tuple[int, int]) -> Array:
    """Say which trials are told that their variances cannot be taken as known."""
    found = []
    for _ in range(reps):
        both = np.concatenate([_skewed(rng, (1, size), kind).ravel() for size in n])
        found.append(not all(d.passed for d in plug_in_limits(n, both)))
    return np.array(found)


WORLDS = (
    method_world(
        "margins", "The true effect is at the margin; the test must not say that it is kept", "one-sided tests",
        [
            about("equivalence, 300", partial(kept, n=(300, 300), shift=MARGIN, test="equivalence")),
            about("equal at -, 200/600", partial(kept, n=(200, 600), shift=-MARGIN, test="equivalence")),
            careful("equivalence, 120", partial(kept, n=(120, 120), shift=MARGIN, test="equivalence"), 0.005),
            about("not worse, 100", partial(kept, n=(100, 100), shift=-MARGIN, test="noninferiority")),
            broken(
                "p > .05: the same, 100", partial(kept, n=(100, 100), shift=MARGIN, test="p > .05"), method="p > .05"
            ),
        ],
        reps=(2_000, 20_000),
    ),
    method_world(
        "wrong_verdicts", "Links worth one SESOI, or minus one, by 800 customers", "judge",
        [
            _verdict("worth SESOI: refuted", "refuted", 0.01, theta=1.0),
            _verdict("SESOI, F 20: refuted", "refuted", 0.01, theta=1.0, strength=20),
            _verdict("minus SESOI: confirmed", "confirmed", 0.001, theta=-1.0),
            _verdict("- SESOI, F 20: confirmed", "confirmed", 0.001, theta=-1.0, strength=20),
            _verdict("fall expected: refuted", "refuted", 0.01, theta=-1.0, sign=-1),
        ],
        reps=(400, 10_000), chunk=50,
    ),
    method_world(
        "false_discoveries", "Forty outcomes, eight of them moved; share of false ones among the discoveries", "BH",
        [
            Rate(name="BH", count=partial(false_shares, correction="bh", shared=0.0), at_most=0.04, at_least=0.04,
                 kind="fdr"),
            Rate(name="BH, rho .5", count=partial(false_shares, correction="bh", shared=0.5), at_most=0.05, kind="fdr"),
            Rate(name="BY, rho .5", count=partial(false_shares, correction="by", shared=0.5), at_most=0.05, kind="fdr",
                 method="BY"),
            Rate(name="no correction", count=partial(false_shares, correction="none", shared=0.0), at_most=0.05,
                 kind="fdr", naive=True, method="p < .05"),
        ],
        reps=(2_000, 10_000), unit_level=False,
    ),
    method_world(
        "plug_in_limits", "No effect; skewed or rare outcomes; do the limits know where the test breaks", "Welch",
        [
            Rate(name="lognormal, 200/200", count=partial(lower_tail, kind="lognormal", n=(200, 200)), at_most=0.025),
            Rate(name="5 %, 400/400", count=partial(lower_tail, kind="five percent", n=(400, 400)), at_most=0.026),
            Rate(name="lognormal, 900/100", count=partial(lower_tail, kind="lognormal", n=(900, 100)), at_most=0.026,
                 naive=True, method="beyond the limits"),
            Rate(name="5 %, 900/100", count=partial(lower_tail, kind="five percent", n=(900, 100)), at_most=0.026,
                 naive=True, method="beyond the limits"),
            Rate(name="lognormal told", count=partial(limit_seen, kind="lognormal", n=(900, 100)), at_least=0.99,
                 kind="verdict", method="plug_in_limits"),
            Rate(name="5 % told", count=partial(limit_seen, kind="five percent", n=(900, 100)), at_least=0.99,
                 kind="verdict", method="plug_in_limits"),
            Rate(name="400/400 told", count=partial(limit_seen, kind="five percent", n=(400, 400)), at_most=0.05,
                 kind="verdict", method="plug_in_limits"),
        ],
        reps=(2_000, 20_000), chunk=200,
    ),
)  # fmt: skip
