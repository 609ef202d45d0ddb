"""One small trial with everything a door can be asked for."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest


def build(seed: int = 1, n: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    cluster = np.arange(n) % 24
    auto = rng.permutation(n) < n // 2
    before = rng.normal(size=n)
    hours = rng.gamma(4, 2, n) - 3 * auto + before
    visits = rng.poisson(4, n) + 1
    return pd.DataFrame(
        {
            "arm": np.where(auto, "auto", "manual"),
            "arm_of_cluster": np.where(cluster % 2 == 1, "auto", "manual"),
            "hours": hours,
            "won": (rng.random(n) < 0.6 - 0.03 * hours).astype(int),
            "revenue": rng.lognormal(size=n) + 0.3 * before,
            "visits": visits,
            "orders": rng.binomial(visits, 0.3),
            "before": before,
            "fixed": 1.0,
            "team": [f"team {c}" for c in cluster],
            "region": np.array(["north", "south", "west"])[rng.integers(0, 3, n)],
            "customer": np.arange(n) + 1000,
        }
    )


@pytest.fixture
def frame() -> pd.DataFrame:
    return build()


@pytest.fixture
def frame_of() -> Callable[..., pd.DataFrame]:
    return build
