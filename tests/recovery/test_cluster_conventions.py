"""Which convention for clustered experiments keeps its level: CR3 or CR2, and how many degrees of freedom.

Arms differ in which clusters they hold, so everything follows from cluster totals T and sizes n. With w = n / N in an arm
and r = T - w sum(T):

    CR3     (G - 1) / G  sum (r / N)^2 / (1 - w)^2      leave-one-cluster-out jackknife: what `compare` does
    CR2     sum (r / N)^2 / (1 - w)                     Bell and McCaffrey (2002), Survey Methodology 28
    t(G-2)  clusters of both arms less two
    S       Satterthwaite's df of the two arms' variance together, under equal and independent errors (Bell and McCaffrey)
    WS      the same within each arm, then Welch-Satterthwaite over the arms by their estimated variances:
            df_arm = (sum u)^2 / (sum u^2 + (sum u^2)^2 - sum u^4), u = n / (N - n)         (CR3)
            df     = (v0 + v1)^2 / (v0^2 / df_0 + v1^2 / df_1)

With clusters of equal size CR3 with WS is Welch's t test of the cluster means, and CR2 with S (equal arms) Student's.
First the kernel is shown to be the doors and the matrix formulas, then rates are measured.
"""

import math
from collections.abc import Iterator
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from cpi_experiments.display import markdown_table
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.links.link_effect import link_effect

ROOT = 20_260_322
Array = np.ndarray
CONVENTIONS = ("CR3 t(G-2)", "CR2 S", "CR3 S", "CR3 WS")
CLUSTERS = (5, 10, 20, 40)
#: ratio of arms, coefficient of variation of sizes, ICC, standard deviation of the treatment's clusters and units
WORLDS = [(ratio, cv, icc, 1.0) for ratio in (1, 3) for cv in (0.0, 0.8) for icc in (0.05, 0.1)] + [
    (ratio, 0.8, 0.05, spread) for ratio in (1, 3) for spread in (0.5, 2.0)
]


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([ROOT, crc32(request.node.name.encode())]))


def ceiling(trials: int) -> float:
    return float(stats.binom.isf(5e-7, trials, 0.05) / trials)


# -- kernel ----------------------------------------------------------------------------------------------------------


def variances(sizes: Array, totals: Array) -> tuple[Array, Array, Array]:
    """Mean, CR2 and CR3 of one arm from sizes and totals, shape (trials, clusters)."""
    n = sizes.sum(axis=1, keepdims=True)
    w, g = sizes / n, sizes.shape[1]
    r = (totals - w * totals.sum(axis=1, keepdims=True)) / n
    return (
        totals.sum(axis=1) / n[:, 0],
        np.sum(r**2 / (1 - w), axis=1),
        (g - 1) / g * np.sum(r**2 / (1 - w) ** 2, axis=1),
    )


def freedom(sizes: Array, *, power: int) -> tuple[Array, Array]:
    """Trace and trace of the square of one arm's variance as a quadratic form; power 1 is CR2, 2 is CR3."""
    n = sizes.sum(axis=1)
    w = sizes / n[:, None]
    u = w / (1 - w)
    if power == 1:
        return 1 / n, (np.sum(w**2, axis=1) + np.sum(w * u, axis=1) ** 2 - np.sum((w * u) ** 2, axis=1)) / n**2
    return np.sum(u, axis=1) / n, (np.sum(u**2, axis=1) + np.sum(u**2, axis=1) ** 2 - np.sum(u**4, axis=1)) / n**2


def by_convention(sizes: tuple[Array, Array], totals: tuple[Array, Array]) -> dict[str, tuple[Array, Array, Array]]:
    """Effect, variance and df of every convention."""
    (m0, a0, b0), (m1, a1, b1) = (variances(n, t) for n, t in zip(sizes, totals, strict=True))
    g0, g1 = (n.shape[1] for n in sizes)
    both = {}
    for name, power, v in (("CR2 S", 1, a0 + a1), ("CR3 S", 2, b0 + b1)):
        (t0, s0), (t1, s1) = (freedom(n, power=power) for n in sizes)
        if power == 2:
            t0, s0 = t0 * (g0 - 1) / g0, s0 * ((g0 - 1) / g0) ** 2
            t1, s1 = t1 * (g1 - 1) / g1, s1 * ((g1 - 1) / g1) ** 2
        both[name] = (m1 - m0, v, (t0 + t1) ** 2 / (s0 + s1))
    df = [t**2 / s for t, s in (freedom(n, power=2) for n in sizes)]
    welch = (b0 + b1) ** 2 / (b0**2 / df[0] + b1**2 / df[1])
    return {
        "CR3 t(G-2)": (m1 - m0, b0 + b1, np.full(len(m0), g0 + g1 - 2.0)),
        **both,
        "CR3 WS": (m1 - m0, b0 + b1, welch),
    }


def p_of(effect: Array, variance: Array, df: Array) -> Array:
    return 2 * special.stdtr(df, -np.abs(effect) / np.sqrt(variance))


# -- worlds ----------------------------------------------------------------------------------------------------------


def world(
    rng: np.random.Generator,
    trials: int,
    clusters: int,
    *,
    ratio: int,
    cv: float,
    icc: float,
    spread: float,
    effect: float,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Clusters of 50 units on average, log-normal sizes; normal units that share a variance of `icc`."""
    sizes, totals = [], []
    for arm, g in enumerate((clusters, clusters * ratio)):
        scale = math.sqrt(math.log(1 + cv**2))
        n = np.maximum(2.0, np.rint(50 * np.exp(scale * rng.normal(size=(trials, g)) - scale**2 / 2)))
        noise = n * math.sqrt(icc) * rng.normal(size=n.shape) + np.sqrt((1 - icc) * n) * rng.normal(size=n.shape)
        sizes.append(n)
        totals.append(noise * (spread if arm else 1.0) + arm * effect * n)
    return (sizes[0], sizes[1]), (totals[0], totals[1])


def measure(
    rng: np.random.Generator, trials: int, place: tuple[int, float, float, float], clusters: int
) -> dict[str, dict[str, float]]:
    """Rate of false alarms, power (80 % for known variance and equal sizes) and width over that of t(G-2)."""
    ratio, cv, icc, spread = place
    one = icc + (1 - icc) / 50
    effect = 2.8 * math.sqrt(one * (1 / clusters + spread**2 / (clusters * ratio)))
    found: dict[str, dict[str, float]] = {name: {} for name in CONVENTIONS}
    for what, move in (("size", 0.0), ("power", effect)):
        drawn = world(rng, trials, clusters, ratio=ratio, cv=cv, icc=icc, spread=spread, effect=move)
        for name, parts in by_convention(*drawn).items():
            found[name][what] = float(np.mean(p_of(*parts) < 0.05))
            found[name]["width"] = float(np.median(special.stdtrit(parts[2], 0.975) * np.sqrt(parts[1])))
    usual = found["CR3 t(G-2)"]["width"]
    return {name: {**values, "width": values["width"] / usual} for name, values in found.items()}


def table(seed: int, trials: int) -> str:
    """All worlds as Markdown: false alarms / power / width of every convention."""
    rng = np.random.default_rng(seed)
    return markdown_blocks(
        {
            "arms": f"{g}:{g * place[0]}", "CV": f"{place[1]:g}", "ICC": f"{place[2]:g}", "sd ratio": f"{place[3]:g}",
            **{name: f"{v['size']:.3f} / {v['power']:.2f} / {v['width']:.2f}" for name, v in measure(rng, trials, place, g).items()},
        }
        for place in WORLDS
        for g in CLUSTERS
    )  # fmt: skip


def markdown_blocks(rows: Iterator[dict[str, str]]) -> str:
    """One table: `markdown_table` shows twenty rows, so it is fed by parts."""
    parts = [markdown_table([row]).split("\n") for row in rows]
    return "\n".join([*parts[0][:2], *(part[2] for part in parts)])


# -- the kernel is right ---------------------------------------------------------------------------------------------


def literal(sizes: tuple[Array, Array], y: Array, *, power: float) -> tuple[float, float]:
    """Variance of the treatment's coefficient and its Satterthwaite df by matrices of all units.

    Bell and McCaffrey (2002); Imbens and Kolesár (2016), Review of Economics and Statistics 98, section 4.
    """
    g0, g1 = len(sizes[0]), len(sizes[1])
    cluster = np.repeat(np.arange(g0 + g1), np.concatenate(sizes))
    x = np.column_stack([np.ones(len(y)), cluster >= g0]).astype(float)
    bread = np.linalg.inv(x.T @ x)
    rest = np.eye(len(y)) - x @ bread @ x.T
    residual, meat, columns = rest @ y, np.zeros((2, 2)), []
    for j in range(g0 + g1):
        rows = cluster == j
        size, turn = np.linalg.eigh(rest[np.ix_(rows, rows)])
        adjust = turn @ np.diag(np.maximum(size, 1e-12) ** (-power / 2)) @ turn.T
        score = x[rows].T @ adjust @ residual[rows]
        meat += np.outer(score, score)
        columns.append(rest[:, rows] @ adjust @ x[rows] @ bread[:, 1])
    gram = np.stack(columns) @ np.stack(columns).T
    return float((bread @ meat @ bread)[1, 1]), float(np.trace(gram) ** 2 / np.sum(gram**2))


def drawn_units(rng: np.random.Generator) -> tuple[tuple[Array, Array], Array, tuple[Array, Array]]:
    sizes = rng.integers(1, 9, 4), rng.integers(1, 9, 6)
    y = rng.normal(size=int(sum(n.sum() for n in sizes)))
    cluster = np.repeat(np.arange(10), np.concatenate(sizes))
    totals = np.bincount(cluster, weights=y)
    return sizes, y, (totals[None, :4], totals[None, 4:])


def test_the_kernel_is_bell_and_mccaffrey_by_matrices(rng: np.random.Generator) -> None:
    for _ in range(20):
        sizes, y, totals = drawn_units(rng)
        effect, variance, df = (
            float(part[0]) for part in by_convention((sizes[0][None, :], sizes[1][None, :]), totals)["CR2 S"]
        )
        assert (variance, df) == pytest.approx(literal(sizes, y, power=1), rel=1e-9)
        assert effect == pytest.approx(y[sizes[0].sum() :].mean() - y[: sizes[0].sum()].mean(), rel=1e-9)
        plain = freedom(sizes[0][None, :].astype(float), power=2), freedom(sizes[1][None, :].astype(float), power=2)
        together = sum(t[0] for t, _ in plain) ** 2 / sum(s[0] for _, s in plain)
        assert together == pytest.approx(literal(sizes, y, power=2)[1], rel=1e-9)


def test_the_kernels_cr3_is_the_door(rng: np.random.Generator) -> None:
    for _ in range(20):
        sizes, y, totals = drawn_units(rng)
        cluster = np.repeat(np.arange(10), np.concatenate(sizes))
        frame = pd.DataFrame({"arm": (cluster >= 4).astype(int), "cluster": cluster, "y": y})
        found = compare(frame, arm="arm", control=0, outcomes="y", cluster="cluster").effects[0].estimate
        parts = by_convention((sizes[0][None, :], sizes[1][None, :]), totals)["CR3 WS"]
        known = [float(part[0]) for part in (*parts, p_of(*parts))]
        assert [found.value, found.std_error**2, found.df, found.p_value] == pytest.approx(known, rel=1e-9)


def test_the_kernels_set_is_the_links(rng: np.random.Generator) -> None:
    """At 0 the Anderson-Rubin test of a slope is that of the KPI, and at the ends of the set p is .05."""
    for _ in range(10):
        sizes, kpi, totals = drawn_units(rng)
        cluster = np.repeat(np.arange(10), np.concatenate(sizes))
        treated = cluster >= 4
        frame = pd.DataFrame({"arm": treated.astype(int), "cluster": cluster, "kpi": kpi})
        frame["cpi"] = 3.0 * treated + rng.normal(size=len(kpi)) + 0.5 * kpi
        link = link_effect(frame, cpi="cpi", kpi="kpi", arm="arm", control=0, cluster="cluster")
        whole = (sizes[0][None, :], sizes[1][None, :])
        _, _, df = at_zero = by_convention(whole, totals)["CR3 WS"]
        assert (link.reduced_form.df, link.reduced_form.p_value) == pytest.approx((df[0], p_of(*at_zero)[0]), rel=1e-9)
        assert (p_of(*at_zero)[0] >= 0.05) == any(low <= 0 <= high for low, high in link.ar_set)
        for end in (end for piece in link.ar_set for end in piece if math.isfinite(end)):
            mixed = np.bincount(cluster, weights=frame["kpi"] - end * frame["cpi"])
            effect, variance, _ = by_convention(whole, (mixed[None, :4], mixed[None, 4:]))["CR3 WS"]
            assert p_of(effect, variance, df)[0] == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize(("g", "name"), [((6, 6), "CR2 S"), ((5, 15), "CR3 WS")])
def test_with_equal_sizes_it_is_a_t_test_of_cluster_means(
    rng: np.random.Generator, g: tuple[int, int], name: str
) -> None:
    """Student's for arms of the same size by CR2, Welch's by CR3."""
    totals = rng.normal(size=(1, g[0])), 2 * rng.normal(size=(1, g[1]))
    sizes = np.full((1, g[0]), 7.0), np.full((1, g[1]), 7.0)
    effect, variance, df = by_convention(sizes, totals)[name]
    known = stats.ttest_ind(totals[1][0] / 7, totals[0][0] / 7, equal_var=name == "CR2 S")
    assert (float((effect / np.sqrt(variance))[0]), float(df[0])) == pytest.approx(
        (known.statistic, known.df), rel=1e-9
    )


# -- what was measured -----------------------------------------------------------------------------------------------


def check(found: dict[str, dict[str, float]], trials: int, *, floor: float) -> None:
    best = found["CR3 WS"]
    assert floor < best["size"] <= ceiling(trials)
    assert 1 <= best["width"] <= 1.55


@pytest.mark.parametrize("clusters", CLUSTERS)
@pytest.mark.parametrize("place", WORLDS, ids=str)
def test_welch_satterthwaite_with_cr3_never_raises_more_alarms(
    rng: np.random.Generator, place: tuple[int, float, float, float], clusters: int
) -> None:
    check(measure(rng, 4_000, place, clusters), 4_000, floor=0.02)


@pytest.mark.parametrize("clusters", CLUSTERS)
@pytest.mark.parametrize("cv", [0.0, 0.8])
def test_compare_and_the_links_set_keep_five_percent(rng: np.random.Generator, cv: float, clusters: int) -> None:
    """A set misses 0 as often as `compare` alarms; one with a true slope of .7 has the KPI's df, and as few misses."""
    assert ceiling(20_000) < 0.0578
    sizes, noise = world(rng, 20_000, clusters, ratio=1, cv=cv, icc=0.1, spread=1.0, effect=0.0)
    effect, variance, df = by_convention(sizes, noise)["CR3 WS"]
    alarms = float(np.mean(p_of(effect, variance, df) < 0.05))
    assert 0.02 < alarms <= ceiling(20_000)
    own = world(rng, 20_000, clusters, ratio=1, cv=0.0, icc=0.1, spread=1.0, effect=0.0)[1]
    cpi = [0.3 * arm * n + 0.6 * e + 0.8 * z for arm, (n, e, z) in enumerate(zip(sizes, noise, own, strict=True))]
    kpi = (0.7 * cpi[0] + noise[0], 0.7 * cpi[1] + noise[1])
    misses = float(np.mean(p_of(effect, variance, by_convention(sizes, kpi)["CR3 WS"][2]) < 0.05))
    assert 0.02 < misses <= ceiling(20_000)


@pytest.mark.slow
@pytest.mark.parametrize("clusters", CLUSTERS)
@pytest.mark.parametrize("place", WORLDS, ids=str)
def test_welch_satterthwaite_with_cr3_keeps_its_level_in_long_runs(
    rng: np.random.Generator, place: tuple[int, float, float, float], clusters: int
) -> None:
    check(measure(rng, 20_000, place, clusters), 20_000, floor=0.03)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("CR3 t(G-2)", (3, 0.8, 0.05, 1.0)),
        ("CR3 t(G-2)", (3, 0.8, 0.05, 0.5)),
        ("CR2 S", (3, 0.8, 0.05, 0.5)),
        ("CR2 S", (1, 0.8, 0.05, 2.0)),
    ],
)
def test_the_other_conventions_raise_too_many_alarms(
    rng: np.random.Generator, name: str, place: tuple[int, float, float, float]
) -> None:
    found = measure(rng, 20_000, place, 5)
    assert found[name]["size"] > ceiling(20_000) > found["CR3 WS"]["size"]


@pytest.mark.parametrize(("clusters", "points"), [(10, 0.10), (20, 0.05), (40, 0.03)])
def test_the_cost_in_power_is_small_from_ten_clusters_an_arm(
    rng: np.random.Generator, clusters: int, points: float
) -> None:
    """Against t(G-2), part of whose power is its surplus of false alarms."""
    for place in WORLDS[:4]:
        found = measure(rng, 4_000, place, clusters)
        assert found["CR3 WS"]["power"] > found["CR3 t(G-2)"]["power"] - points


def test_the_table_has_a_row_a_world_and_a_column_a_convention() -> None:
    lines = table(1, 50).split("\n")
    assert len(lines) == 2 + len(WORLDS) * len(CLUSTERS)
    assert lines[0].count("|") == 5 + len(CONVENTIONS)
