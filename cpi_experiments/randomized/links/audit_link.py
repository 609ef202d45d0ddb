"""The audit of a link estimate: everything that would undo it, looked at in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.estimate import Status
from cpi_experiments.randomized.arms import Label, names_of
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.effects.effect_of_rows import rows_of_trial
from cpi_experiments.randomized.effects.outcomes import Mean
from cpi_experiments.randomized.integrity.plug_in_limits import plug_in_limits
from cpi_experiments.randomized.links.link import Intervals, LinkEffect
from cpi_experiments.randomized.links.link_audit import Compliance, DirectPath, LinkAudit
from cpi_experiments.randomized.links.link_effect import link_effect
from cpi_experiments.stats.arm_means import arm_means
from cpi_experiments.stats.instruments.plausibly_exogenous import union_set
from cpi_experiments.stats.instruments.response_weights import response_weights
from cpi_experiments.stats.resampling.pair_permutation import permute_pair
from cpi_experiments.stats.student import quantile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.estimate import Estimate
    from cpi_experiments.measure.engine import Data
    from cpi_experiments.randomized.rows import Rows

Array = np.ndarray
RESAMPLE = ("auto", "always", "never")
#: Shares of the KPI lift that may be direct, for which the set is shown.
SHARES = (0.0, 0.1, 0.25, 0.5)


def audit_link(  # noqa: PLR0913 - a door: every argument after the first is named by the caller
    data: Data,
    *,
    cpi: str,
    kpi: str,
    arm: str,
    control: Label,
    increment: float = 1.0,
    covariates: str | Sequence[str] | None = None,
    cluster: str | None = None,
    strata: str | Sequence[str] | None = None,
    allocation: Mapping[Any, float] | None = None,
    unit: str | None = None,
    negative_controls: str | Sequence[str] | None = None,
    direct_shares: Sequence[float] = SHARES,
    resample: str = "auto",
    reps: int = 1999,
    seed: int = 0,
    confidence_level: float = 0.95,
) -> LinkAudit:
    """Look at a link estimate with the eyes of somebody who does not believe it.

    Parameters
    ----------
    data : DataFrame, path, DuckDB relation, Spark DataFrame or warehouse table
        One row per unit (moments hold no rows).
    cpi, kpi, arm, control, increment, covariates, cluster, strata, allocation, unit, confidence_level
        As in `cpi_experiments.randomized.links.link_effect.link_effect`; one treatment. Who was moved, and
        the permutation, are by strata and clusters but not adjusted by covariates.
    negative_controls : str or sequence of str, optional
        Outcomes that the lever can move only past the CPI: an effect on them is a direct path.
    direct_shares : sequence of float
        Shares of the KPI lift, from 0 to 1, that may be direct.
    resample : {"auto", "always", "never"}
        Permute the arms where Student's t cannot be trusted: too few events or too heavy a tail for arms of this size
        (`cpi_experiments.randomized.integrity.plug_in_limits.plug_in_limits`). Whole clusters, within strata;
        covariates are not used then, and where CPI or KPI is constant nothing is permuted.
    reps, seed : int
        Permutations and their seed.

    Returns
    -------
    LinkAudit

    Raises
    ------
    DataError, DesignError, EstimationError
        As `link_effect`; or if a share or word is not known.

    References
    ----------
    Conley, Hansen, Rossi (2012), REStat 94; Angrist, Imbens (1995), JASA 90; Lipsitch, Tchetgen Tchetgen, Cohen
    (2010), Epidemiology 21 (negative controls); Rosenbaum (2002), Statistical Science 17.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> auto = np.repeat([False, True], 500)
    >>> hours = rng.gamma(4, 2, 1000) - 3 * auto
    >>> won = (rng.random(1000) < 0.5 - 0.03 * hours).astype(int)
    >>> df = pd.DataFrame({"variant": np.where(auto, "auto", "manual"), "quote_hours": hours, "won": won,
    ...                    "shoe_size": rng.normal(42, 2, 1000)})
    >>> audit = audit_link(df, cpi="quote_hours", kpi="won", arm="variant", control="manual", increment=-1,
    ...                    negative_controls="shoe_size")
    >>> audit.doubts
    ()
    >>> [(path.share, path.keeps_sign) for path in audit.direct]
    [(0.0, True), (0.1, False), (0.25, False), (0.5, False)]
    """
    others = names_of(negative_controls)
    _check(direct_shares, resample, others, (cpi, kpi))
    link = link_effect(
        data, cpi=cpi, kpi=kpi, arm=arm, control=control, increment=increment, covariates=covariates, cluster=cluster,
        strata=strata, allocation=allocation, unit=unit, confidence_level=confidence_level,
    )  # fmt: skip
    if not isinstance(link, LinkEffect):
        raise DataError("an audit needs one treatment and one control", advice="Select the rows of one treatment.")
    adjusters = names_of(covariates)
    rows = rows_of_trial(
        data, [Mean(cpi), Mean(kpi)], covariates=adjusters, arm=arm, control=control, cluster=cluster, strata=strata,
        allocation=allocation, unit=unit,
    ).rows  # fmt: skip
    pair = _pair_rows(rows, cpi, kpi, adjusters)
    x = pair.x
    why = "" if link.estimate.status is Status.FAILED else _why_permuted(pair, resample)  # constants need no test
    permuted: tuple[Intervals, float] = ((), math.nan)
    if why:
        draws = permute_pair(
            x / increment, pair.y, pair.assigned, clusters=pair.clusters, strata=pair.strata, reps=reps,
            rng=np.random.default_rng(seed),
        )  # fmt: skip
        permuted = draws.confidence_set(confidence_level), draws.p_value(0.0)
    binary = bool(np.all((x == 0) | (x == 1)))
    return LinkAudit(
        link=link,
        direct=_direct_paths(link, direct_shares),
        compliance=_compliance(pair) if binary else None,
        weights=None
        if binary or np.all(x == x[0])
        else response_weights(x, pair.assigned, strata=pair.strata, clusters=pair.clusters),
        negative_controls=_negative_controls(
            data, others, arm=arm, control=control, covariates=covariates, cluster=cluster, strata=strata,
            allocation=allocation, unit=unit, confidence_level=confidence_level,
        ),
        permuted_set=permuted[0],
        permuted_p=permuted[1],
        why_permuted=why,
        covariates=tuple(adjusters),
    )  # fmt: skip


def _check(shares: Sequence[float], resample: str, others: Sequence[str], roles: tuple[str, str]) -> None:
    bad = [share for share in shares if not 0 <= share <= 1]
    if bad:
        raise DesignError(f"share {bad[0]:g} of a direct path is not between 0 and 1", advice="Did you mean 0.1?")
    if resample not in RESAMPLE:
        raise DesignError(f"resample {resample!r} is not known", advice=f"Known: {', '.join(RESAMPLE)}.")
    both = [name for name in others if name in roles]
    if both:
        raise DataError(f"column {both[0]!r} is the link itself", advice="A negative control is another outcome.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """Rows of the link: CPI and KPI, who is treated, and codes of clusters and strata."""

    x: Array
    y: Array
    assigned: Array
    clusters: Array | None
    strata: Array | None


def _pair_rows(rows: Rows, cpi: str, kpi: str, covariates: Sequence[str]) -> _Pair:
    """Keep the rows that the link was estimated from."""
    keep, _ = rows.complete([cpi, kpi, *covariates])
    return _Pair(
        x=rows.values[cpi][keep],
        y=rows.values[kpi][keep],
        assigned=rows.arm[keep] == 1,
        clusters=None if rows.cluster is None else np.unique(rows.cluster[keep], return_inverse=True)[1],
        strata=None if rows.strata is None else np.unique(rows.strata[keep], return_inverse=True)[1],
    )


def _why_permuted(pair: _Pair, resample: str) -> str:
    """Say why the arms are permuted; empty if they are not."""
    if resample == "always":
        return "asked for"
    if resample == "never" or pair.clusters is not None:
        return ""
    sizes = int(np.sum(~pair.assigned)), int(np.sum(pair.assigned))
    failed = [check for check in plug_in_limits(sizes, pair.y) if not check.passed]
    return "; ".join(f"not {check.null}" for check in failed)


def _direct_paths(link: LinkEffect, shares: Sequence[float]) -> tuple[DirectPath, ...]:
    pair = link.pair
    if math.isnan(pair.var_kpi):
        return ()
    critical = quantile(0.5 + link.estimate.confidence_level / 2, pair.df)
    return tuple(
        DirectPath(
            share=float(share),
            confidence_set=union_set(
                pair.effect_cpi, pair.effect_kpi, var_x=pair.var_cpi, var_y=pair.var_kpi, cov=pair.cov,
                critical=critical, direct=share * abs(pair.effect_kpi),
            ),
        )
        for share in shares
    )  # fmt: skip


def _compliance(pair: _Pair) -> Compliance:
    means = arm_means(pair.x[:, None], pair.assigned, strata=pair.strata, clusters=pair.clusters)
    with_it, without, moved = float(means.treatment[0]), float(means.control[0]), float(means.effect[0])
    always, never = (without, 1 - with_it) if moved >= 0 else (with_it, 1 - without)
    return Compliance(always=always, never=never, moved=moved)


def _negative_controls(  # noqa: PLR0913 - the roles of columns, each named
    data: Data,
    outcomes: Sequence[str],
    *,
    arm: str,
    control: Label,
    covariates: str | Sequence[str] | None,
    cluster: str | None,
    strata: str | Sequence[str] | None,
    allocation: Mapping[Any, float] | None,
    unit: str | None,
    confidence_level: float,
) -> tuple[Estimate, ...]:
    if not outcomes:
        return ()
    found = compare(
        data, arm=arm, control=control, outcomes=list(outcomes), covariates=covariates, cluster=cluster, strata=strata,
        allocation=allocation, unit=unit, confidence_level=confidence_level,
    )  # fmt: skip
    return tuple(effect.estimate for effect in found.effects)
