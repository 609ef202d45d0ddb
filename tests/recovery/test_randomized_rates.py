"""Error rates of the randomised estimates on simulated trials with known truth.

Thin vectorised kernels draw thousands of trials; first they are shown to be the doors on 50 random data sets. Bands are
exact binomial ones with two-sided probability 1e-6, so a new seed fails once in a million. Every fault planted here has
to leave the band that the right method keeps.
"""

import math
from collections.abc import Callable
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.effects.outcomes import Ratio
from cpi_experiments.randomized.integrity.sample_ratio import SAMPLE_RATIO_BLOCKS, SAMPLE_RATIO_WARNS, sample_ratio
from cpi_experiments.randomized.links.link_effect import link_effect
from cpi_experiments.stats.planning.power import sample_size

ROOT = 20_240_229
Array = np.ndarray
Arms = tuple[Array, Array]  # control and treatment, each of shape (trials, units) or (trials, units, columns)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([ROOT, crc32(request.node.name.encode())]))


def band(rate: float, trials: int) -> tuple[float, float]:
    return stats.binom.ppf(5e-7, trials, rate) / trials, stats.binom.isf(5e-7, trials, rate) / trials


def keeps(p: Array, *, rate: float = 0.05, at_most: bool = False, level: float = 0.05) -> bool:
    low, high = band(rate, len(p))
    found = float(np.mean(p < level))
    return found <= high and (at_most or found >= low)


# -- kernels ---------------------------------------------------------------------------------------------------------


def p_of(effect: Array, variance: Array, df: Array | float) -> Array:
    return 2 * special.stdtr(df, -np.abs(effect) / np.sqrt(variance))


def welch_parts(y: Arms) -> tuple[Array, Array, Array]:
    effect = y[1].mean(axis=1) - y[0].mean(axis=1)
    parts = [a.var(axis=1, ddof=1) / a.shape[1] for a in y]
    df = sum(parts) ** 2 / sum(v**2 / (a.shape[1] - 1) for v, a in zip(parts, y, strict=True))
    return effect, sum(parts), df


def welch(y: Arms) -> Array:
    return p_of(*welch_parts(y))


def ratio_values(pairs: Arms) -> Arms:
    values = []
    for a in pairs:
        base = a[..., 1].mean(axis=1, keepdims=True)
        r = a[..., 0].mean(axis=1, keepdims=True) / base
        values.append(r + (a[..., 0] - r * a[..., 1]) / base)
    return values[0], values[1]


def ratio(pairs: Arms) -> Array:
    return welch(ratio_values(pairs))


def adjusted_values(pairs: Arms) -> Arms:
    both = np.concatenate(pairs, axis=1)
    x, y = both[..., 1] - both[..., 1].mean(axis=1, keepdims=True), both[..., 0]
    theta = np.sum(x * y, axis=1, keepdims=True) / np.sum(x * x, axis=1, keepdims=True)
    adjusted, n = y - theta * x, pairs[0].shape[1]
    return adjusted[:, :n], adjusted[:, n:]


def cuped(pairs: Arms) -> Array:
    return welch(adjusted_values(pairs))


def clustered_parts(y: Arms, sizes: Arms) -> tuple[Array, Array, Array]:
    """Leave-one-cluster-out jackknife from cluster totals, shape (trials, clusters), and sizes, shape (clusters,).

    The degrees of freedom of an arm are (tr G)^2 / tr(G^2) with G the Gram matrix of the clusters' moves when the units
    are independent (Bell and McCaffrey 2002), joined by Welch-Satterthwaite.
    """
    means, variance, squares = [], 0.0, 0.0
    for totals, n in zip(y, sizes, strict=True):
        mean = totals.sum(axis=1, keepdims=True) / n.sum()
        shift = (totals.sum(axis=1, keepdims=True) - totals) / (n.sum() - n) - mean
        own = (len(n) - 1) / len(n) * np.sum(shift**2, axis=1)
        variance, squares = variance + own, squares + own**2 / bell_mccaffrey(n)
        means.append(mean[:, 0])
    return means[1] - means[0], variance, variance**2 / squares


def bell_mccaffrey(n: Array) -> float:
    """Degrees of freedom of one arm by matrices: the move of cluster g is sum_h (1{h = g} - w_g) T_h / (N - n_g)."""
    moves = (np.eye(len(n)) - (n / n.sum())[:, None]) / (n.sum() - n)[:, None]
    gram = moves @ np.diag(n) @ moves.T
    return float(np.trace(gram) ** 2 / np.sum(gram**2))


def link_parts(pairs: Arms) -> tuple[Array, Array, Array]:
    """Effects on (CPI, KPI), their covariance, and the reduced form's df."""
    effect = pairs[1].mean(axis=1) - pairs[0].mean(axis=1)
    cov = 0.0
    for a in pairs:
        centred = a - a.mean(axis=1, keepdims=True)
        cov = cov + np.einsum("tni,tnj->tij", centred, centred) / (a.shape[1] - 1) / a.shape[1]
    return effect, cov, welch_parts((pairs[0][..., 1], pairs[1][..., 1]))[2]


def anderson_rubin(effect: Array, cov: Array, df: Array | float, theta: float) -> Array:
    u = effect[:, 1] - theta * effect[:, 0]
    return p_of(u, cov[:, 1, 1] - 2 * theta * cov[:, 0, 1] + theta**2 * cov[:, 0, 0], df)


def wald(effect: Array, cov: Array, theta: float) -> Array:
    found = effect[:, 1] / effect[:, 0]
    variance = (cov[:, 1, 1] - 2 * found * cov[:, 0, 1] + found**2 * cov[:, 0, 0]) / effect[:, 0] ** 2
    return p_of(found - theta, variance, 1e9)


# -- worlds ----------------------------------------------------------------------------------------------------------


def ratio_world(rng: np.random.Generator, trials: int, n: int) -> Arms:
    arms = []
    for size in (n, 2 * n):
        visits = rng.poisson(3, (trials, size)) + 1
        rate = rng.beta(2, 6, (trials, size))
        arms.append(np.stack([rng.binomial(visits, rate), visits], axis=-1).astype(float))
    return arms[0], arms[1]


def before_world(rng: np.random.Generator, trials: int, n: int) -> Arms:
    arms = []
    for size in (n, 2 * n):
        before = rng.normal(size=(trials, size))
        arms.append(np.stack([0.8 * before + rng.normal(size=(trials, size)), before], axis=-1))
    return arms[0], arms[1]


def cluster_sizes(clusters: int) -> Arms:
    sizes = np.tile([10, 20, 30, 25, 15], clusters // 10)
    return sizes, sizes[::-1].copy()


def cluster_world(rng: np.random.Generator, trials: int, sizes: Arms, *, icc: float = 0.1) -> Arms:
    """Totals of clusters whose units share a variance of ``icc``."""
    totals = []
    for n in sizes:
        shared = rng.normal(size=(trials, len(n))) * math.sqrt(icc)
        totals.append(n * shared + rng.normal(size=(trials, len(n))) * np.sqrt((1 - icc) * n))
    return totals[0], totals[1]


def instrument_world(rng: np.random.Generator, trials: int, *, strength: float, theta: float, n: int = 60) -> Arms:
    """Unit data (CPI, KPI) with noise correlation .95 and mean first-stage F of about ``strength`` + 1."""
    shift = math.sqrt(strength * 2 / n)
    arms = []
    for move in (0.0, shift):
        cpi = rng.normal(size=(trials, n))
        noise = 0.95 * cpi + math.sqrt(1 - 0.95**2) * rng.normal(size=(trials, n))
        cpi = cpi + move
        arms.append(np.stack([cpi, theta * cpi + noise], axis=-1))
    return arms[0], arms[1]


# -- kernels are the doors -------------------------------------------------------------------------------------------


def rows_of(columns: list[Arms]) -> pd.DataFrame:
    """One trial as a table; columns a, b, ... in the order given."""
    parts = [pd.DataFrame({"arm": arm, **{"ab"[k]: c[arm] for k, c in enumerate(columns)}}) for arm in (0, 1)]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("kernel", ["welch", "offset", "ratio", "cuped", "clustered", "link"])
def test_kernels_are_the_doors(rng: np.random.Generator, kernel: str) -> None:
    for _ in range(50):
        n = int(rng.integers(5, 40))
        if kernel in ("welch", "offset"):
            y = rng.lognormal(size=(1, n)) + (1e9 if kernel == "offset" else 0), rng.normal(3, 2, (1, n + 5))
            y = y if kernel == "welch" else (y[0], y[1] + 1e9)
            expected = welch_parts(y)
            found = compare(rows_of([(y[0][0], y[1][0])]), arm="arm", control=0, outcomes="a").effects[0].estimate
        elif kernel in ("ratio", "cuped"):
            pairs = (ratio_world if kernel == "ratio" else before_world)(rng, 1, n)
            frame = rows_of([(pairs[0][0, :, k], pairs[1][0, :, k]) for k in (0, 1)])
            outcome, covariates = (Ratio("a", "b"), []) if kernel == "ratio" else ("a", ["b"])
            expected = welch_parts((ratio_values if kernel == "ratio" else adjusted_values)(pairs))
            found = compare(frame, arm="arm", control=0, outcomes=outcome, covariates=covariates).effects[0].estimate
        elif kernel == "clustered":
            sizes = rng.integers(1, 9, 5 + n // 8), rng.integers(1, 9, 4)
            units = [rng.normal(size=s.sum()) for s in sizes]
            names = [np.repeat(np.arange(len(s)) + 100 * j, s) for j, s in enumerate(sizes)]
            totals = tuple(np.bincount(names[j] - 100 * j, weights=units[j])[None, :] for j in (0, 1))
            expected = clustered_parts(totals, sizes)
            frame = rows_of([(units[0], units[1]), (names[0], names[1])])
            found = compare(frame, arm="arm", control=0, outcomes="a", cluster="b").effects[0].estimate
        else:
            pairs = instrument_world(rng, 1, strength=float(rng.uniform(1, 40)), theta=0.3, n=n)
            frame = rows_of([(pairs[0][0, :, k], pairs[1][0, :, k]) for k in (0, 1)])
            link = link_effect(frame, cpi="a", kpi="b", arm="arm", control=0)
            effect, cov, df = link_parts(pairs)
            for end in (end for piece in link.ar_set for end in piece if math.isfinite(end)):
                assert anderson_rubin(effect, cov, df, end)[0] == pytest.approx(0.05, rel=1e-6)
            expected, found = (effect[:, 1], cov[:, 1, 1], df), link.reduced_form
            assert link.pair.cov == pytest.approx(cov[0, 0, 1], rel=1e-8)
            assert link.f_effective == pytest.approx(effect[0, 0] ** 2 / cov[0, 0, 0], rel=1e-8)
        values = found.value, found.std_error**2, found.df, found.p_value
        kernels = [float(np.ravel(e)[0]) for e in (*expected, p_of(*expected))]
        assert values == pytest.approx(kernels, rel=1e-5 if kernel == "offset" else 1e-8)


# -- rates -----------------------------------------------------------------------------------------------------------

NULLS: dict[str, Callable[[np.random.Generator], Array]] = {
    "normal, 10 an arm": lambda rng: welch((rng.normal(size=(20_000, 10)), rng.normal(size=(20_000, 10)))),
    "normal, 9:1 with unequal variances": lambda rng: welch(
        (rng.normal(size=(20_000, 180)), 3 * rng.normal(size=(20_000, 20)))
    ),
    "lognormal 1.5, 2,000 an arm": lambda rng: np.concatenate(
        [welch((rng.lognormal(0, 1.5, (250, 2_000)), rng.lognormal(0, 1.5, (250, 2_000)))) for _ in range(8)]
    ),
    "one percent, 2,000 an arm": lambda rng: np.concatenate(
        [welch(tuple((rng.random((250, 2_000)) < 0.01).astype(float) for _ in range(2))) for _ in range(8)]
    ),
    "ratio, 100 and 200": lambda rng: ratio(ratio_world(rng, 10_000, 100)),
    "covariate, 30 and 60": lambda rng: cuped(before_world(rng, 20_000, 30)),
    "40 clusters": lambda rng: p_of(*clustered_parts(cluster_world(rng, 20_000, cluster_sizes(40)), cluster_sizes(40))),
}


@pytest.mark.parametrize("world", NULLS)
def test_false_alarms_are_five_percent(rng: np.random.Generator, world: str) -> None:
    assert keeps(NULLS[world](rng))


def test_ten_unequal_clusters_are_at_most_slightly_off(rng: np.random.Generator) -> None:
    """CR3 at five clusters an arm of 10 to 30 units: it may be careful, never loose."""
    sizes = cluster_sizes(10)
    p = p_of(*clustered_parts(cluster_world(rng, 10_000, sizes), sizes))
    assert keeps(p, at_most=True)
    assert np.mean(p < 0.05) > 0.03


def test_heavy_tails_in_small_arms_make_the_test_careful(rng: np.random.Generator) -> None:
    p = welch((rng.lognormal(0, 1.5, (10_000, 100)), rng.lognormal(0, 1.5, (10_000, 100))))
    assert keeps(p, at_most=True)
    assert np.mean(p < 0.05) > 0.02


@pytest.mark.parametrize("strength", [0.5, 1.3, 11.0, 45.0])
@pytest.mark.parametrize("theta", [0.0, 0.7])
def test_anderson_rubin_covers_however_weak_the_first_stage(
    rng: np.random.Generator, strength: float, theta: float
) -> None:
    effect, cov, df = link_parts(instrument_world(rng, 20_000, strength=strength, theta=theta))
    assert keeps(anderson_rubin(effect, cov, df, theta))


def test_link_sets_cover_with_unequal_noise_and_shared_variance(rng: np.random.Generator) -> None:
    """True slope .3, clusters of 20 with ICC .1 in CPI and KPI, twice the noise in treatment."""
    trials, clusters, theta = 5_000, 15, 0.3
    sizes = (np.full(clusters, 20), np.full(clusters, 20))
    totals: list[Array] = []
    for j in (0, 1):
        shared, own = (
            rng.normal(size=(trials, clusters, 2)) * scale for scale in (20 * math.sqrt(0.1), math.sqrt(0.9 * 20))
        )
        noise = (1 + j) * (shared + own) @ np.array([[1.0, 0.6], [0.0, 0.8]])
        cpi = noise[..., 0] + 20 * 0.8 * j
        totals.append(np.stack([cpi, theta * cpi + noise[..., 1]], axis=-1))
    mixed = tuple(t[..., 1] - theta * t[..., 0] for t in totals)
    assert keeps(p_of(*clustered_parts(mixed, sizes)))


def test_sample_ratio_alarms_as_often_as_it_says(rng: np.random.Generator) -> None:
    counts = rng.multinomial(20_000, [2 / 3, 1 / 3], size=100_000)
    expected = 20_000 * np.array([2 / 3, 1 / 3])
    p = special.chdtrc(1, np.sum((counts - expected) ** 2 / expected, axis=1))
    for level in (SAMPLE_RATIO_BLOCKS, SAMPLE_RATIO_WARNS):
        assert keeps(p, rate=level, level=level)
    for row, value in zip(counts[:50], p[:50], strict=True):
        counted = {"a": int(row[0]), "b": int(row[1])}
        assert sample_ratio(counted, {"a": 2, "b": 1}).p_value == pytest.approx(value, rel=1e-8)
    shifted = rng.binomial(100_000, 0.51, size=2_000)
    assert np.mean(special.chdtrc(1, (shifted - 50_000) ** 2 / 25_000) < SAMPLE_RATIO_BLOCKS) >= 0.99


@pytest.mark.parametrize(("effect", "ratio_of_arms"), [(0.8, 1.0), (0.4, 1.0), (0.5, 3.0)])
def test_planned_power_is_reached(rng: np.random.Generator, effect: float, ratio_of_arms: float) -> None:
    n = sample_size(effect, 0.8, std_dev=1.0, ratio=ratio_of_arms)
    n_control = round(n / (1 + ratio_of_arms))
    y = rng.normal(size=(5_000, n_control)), effect + rng.normal(size=(5_000, n - n_control))
    assert keeps(welch(y), rate=0.8)


# -- planted faults --------------------------------------------------------------------------------------------------


def no_cluster(rng: np.random.Generator) -> Array:
    """Standard errors of independent units under ICC .1."""
    shared = rng.normal(size=(2, 5_000, 20, 1)) * math.sqrt(0.1)
    units = (shared + rng.normal(size=(2, 5_000, 20, 20)) * math.sqrt(0.9)).reshape(2, 5_000, 400)
    return welch((units[0], units[1]))


def normal_quantile(rng: np.random.Generator) -> Array:
    """The normal instead of t with ten units an arm."""
    effect, variance, _ = welch_parts((rng.normal(size=(20_000, 10)), rng.normal(size=(20_000, 10))))
    return p_of(effect, variance, 1e9)


def raw_variance(rng: np.random.Generator) -> Array:
    """Sums of squares that are not centred, of values far from zero."""
    y = tuple(1e8 + rng.normal(size=(5_000, 100)) for _ in range(2))
    parts = [(np.sum(a * a, axis=1) - np.sum(a, axis=1) ** 2 / 100) / 99 / 100 for a in y]
    return p_of(y[1].mean(axis=1) - y[0].mean(axis=1), np.maximum(sum(parts), 1e-12), 198.0)


def swapped_weights(rng: np.random.Generator) -> Array:
    """Counts of a 2:1 plan tested against 1:2."""
    counts, expected = rng.multinomial(300, [2 / 3, 1 / 3], size=5_000), 300 * np.array([1 / 3, 2 / 3])
    return special.chdtrc(1, np.sum((counts - expected) ** 2 / expected, axis=1))


def wald_ungated(rng: np.random.Generator) -> Array:
    """The delta-method test of the ratio at a first-stage F of about .5 to 1.5."""
    return wald(*link_parts(instrument_world(rng, 5_000, strength=0.5, theta=0.0))[:2], 0.0)


def wald_gated(rng: np.random.Generator) -> Array:
    """The same, shown only where F > 10."""
    effect, cov, _ = link_parts(instrument_world(rng, 60_000, strength=2.0, theta=0.0, n=20))
    strong = effect[:, 0] ** 2 / cov[:, 0, 0] > 10
    return wald(effect[strong], cov[strong], 0.0)


def pooled_variance(rng: np.random.Generator) -> Array:
    """One variance for both arms when the small arm is the noisy one."""
    y = rng.normal(size=(5_000, 180)), 3 * rng.normal(size=(5_000, 20))
    pooled = sum(a.var(axis=1, ddof=1) * (a.shape[1] - 1) for a in y) / 198
    return p_of(y[1].mean(axis=1) - y[0].mean(axis=1), pooled * (1 / 180 + 1 / 20), 198.0)


def one_sided(rng: np.random.Generator) -> Array:
    """Half of the p-value reported."""
    return welch((rng.normal(size=(5_000, 30)), rng.normal(size=(5_000, 30)))) / 2


def later_covariate(rng: np.random.Generator) -> Array:
    """A covariate measured after the assignment takes the effect away: planned power .8 is not reached."""
    n = sample_size(0.5, 0.8, std_dev=1.0) // 2
    y = rng.normal(size=(5_000, n)), 0.5 + rng.normal(size=(5_000, n))
    return cuped(tuple(np.stack([a, a + rng.normal(size=a.shape)], axis=-1) for a in y))


def lost_in_treatment(rng: np.random.Generator) -> Array:
    """The lowest outcomes go missing in treatment only."""
    y = rng.normal(size=(5_000, 50)), np.sort(rng.normal(size=(5_000, 50)), axis=1)[:, 5:]
    return welch(y)


def wrong_direction(rng: np.random.Generator) -> Array:
    """Lower is better, but the sign of the increment is forgotten."""
    effect, cov, df = link_parts(instrument_world(rng, 5_000, strength=45.0, theta=0.7))
    return anderson_rubin(effect, cov, df, -0.7)


FAULTS = {
    no_cluster: 0.05,
    normal_quantile: 0.05,
    raw_variance: 0.05,
    swapped_weights: 0.05,
    wald_ungated: 0.05,
    wald_gated: 0.05,
    pooled_variance: 0.05,
    one_sided: 0.05,
    later_covariate: 0.8,
    lost_in_treatment: 0.05,
    wrong_direction: 0.05,
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_planted_faults_leave_the_band(rng: np.random.Generator, fault: Callable[..., Array]) -> None:
    p = fault(rng)
    assert len(p) >= 1_000
    assert not keeps(p, rate=FAULTS[fault])
