"""Freeze what `ivmodels` says about units of many small experiments: run in an environment that has it.

    python tests/reference/make_combining_cases.py > tests/reference/combining_cases.json

Units are rounded and stored, so that the numbers do not hang on a random generator. Within each experiment half the
units are treated; experiments are partialled out, so treatment by experiment are K instruments with one error
covariance: `ivmodels` minimises the same statistic that `joint_set` and `least_disagreement` use.
"""

import json

import numpy as np

WORLDS = [
    ("strong", 6, 20, 2.5, 0.4, 0.6, 1),
    ("weak", 12, 12, 0.1, 0.5, 0.7, 5),
    ("many", 24, 8, 1.6, 0.3, -0.5, 3),
    ("disagree", 6, 30, 3.0, 0.0, 0.3, 4),
]


def pieces(found):
    """Ends of a set on the line; an unbounded one is the outside of its ends."""
    if found.is_empty():
        return []
    ends = sorted(float(end) for end in np.ravel(found._boundary()))
    if not ends:
        return [["-inf", "inf"]]
    return [ends] if found.is_bounded() else [["-inf", ends[0]], [ends[1], "inf"]]


def case(name, k, n, size, theta, rho, seed):
    from ivmodels import KClass
    from ivmodels.tests import inverse_anderson_rubin_test

    rng = np.random.default_rng(seed)
    experiment, treated = np.repeat(np.arange(k), n), np.tile([0, 1], k * n // 2)
    move = rng.normal(size=k) * size
    ratio = theta + (1.0 if name == "disagree" else 0.0) * rng.normal(size=k)
    e = rng.normal(size=k * n)
    f = rho * e + np.sqrt(1 - rho**2) * rng.normal(size=k * n)
    cpi = np.round(move[experiment] * treated + e, 3)
    kpi = np.round(ratio[experiment] * move[experiment] * treated + f, 3)
    dummies = (experiment[:, None] == np.arange(k)).astype(float)
    z, c = dummies * treated[:, None], dummies[:, 1:]
    liml = KClass(kappa="liml").fit(X=cpi[:, None], y=kpi, Z=z, C=c)
    found = inverse_anderson_rubin_test(z, cpi[:, None], kpi, alpha=0.05, C=c)
    return {
        "id": name, "experiments": k, "units": n, "cpi": cpi.tolist(), "kpi": kpi.tolist(),
        "liml": float(liml.coef_[0]),
        "set": pieces(found),
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps({"source": "ivmodels 0.10", "cases": [case(*world) for world in WORLDS]}))  # noqa: T201 - a script
