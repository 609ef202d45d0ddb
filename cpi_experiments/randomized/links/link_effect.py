"""Random assignment as the instrument for the CPI: the KPI effect per customer-valued increment, with its AR set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.randomized.arms import Label, names_of
from cpi_experiments.randomized.effects.outcomes import all_pairs
from cpi_experiments.randomized.links.also_moved import moved_too
from cpi_experiments.randomized.links.bundle import steps_of
from cpi_experiments.randomized.links.link import LinkEffects, with_note
from cpi_experiments.randomized.links.link_of_arms import link_of_arms
from cpi_experiments.randomized.links.link_of_trial import link_of, link_pairs
from cpi_experiments.randomized.links.regressed_link import regressed_link, variance_for
from cpi_experiments.randomized.rows import rows_of_one_arm
from cpi_experiments.randomized.trial import check_covariates, check_level, read_trial
from cpi_experiments.wording.results import step_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.randomized.links.arms_link import ArmsLink
    from cpi_experiments.randomized.links.link import LinkEffect
    from cpi_experiments.randomized.rows import TrialRows
    from cpi_experiments.randomized.trial import Trial
    from cpi_experiments.stats.moments import Moments

__all__ = ["link_effect", "link_of", "link_pairs"]

ADJUSTMENTS = ("cuped", "regression")


def link_effect(  # noqa: PLR0913 - a door: every argument after the first is named by the caller
    data: Data | Moments,
    *,
    cpi: str | Sequence[str],
    kpi: str | Sequence[str],
    arm: str,
    control: Label,
    increment: float | Mapping[str, float] = 1.0,
    covariates: str | Sequence[str] | None = None,
    cluster: str | None = None,
    strata: str | Sequence[str] | None = None,
    allocation: Mapping[Any, float] | None = None,
    confidence_level: float = 0.95,
    unit: str | None = None,
    adjustment: str = "cuped",
    variance: str | None = None,
    also_moved: str | Sequence[str] | None = None,
) -> LinkEffect | ArmsLink | LinkEffects:
    """Estimate the KPI effect per increment of the CPI, with random assignment as the instrument.

    Parameters
    ----------
    data : DataFrame, path of Parquet or CSV files, DuckDB relation, Spark DataFrame, warehouse table, or Moments
        One row per unit. Of `Moments` (see `cpi_experiments.measure.moments.gather.gather`) no row is touched.
    cpi, kpi : str, or sequence of str
        Columns of the CPI and the KPI. Either may be a list: the result then holds one effect per pair, all of them
        from one scan.
    arm, control
        Column of the arm and label of the control. Several other arms are instruments that share the control.
    increment : float, or mapping of CPI to float
        Raw CPI units of one customer-valued step, signed: negative means that lower is better (``-1`` on hours
        reads "each hour faster").
    covariates, cluster, strata, allocation, unit
        As in `compare`; CPI and KPI are adjusted by the same covariates.
    confidence_level : float
    adjustment : {"cuped", "regression"}
        ``cuped`` takes what covariates predict out of both columns and compares means. ``regression`` enters
        covariates and strata by least squares beside the arms, in both stages; it needs rows.
    variance : {"HC1", "iid"}, or with clusters {"CR3", "CR1"}, optional
        Of the regression; the first by default.
    also_moved : str or sequence of str, optional
        Other CPIs that the lever may move. If it does, the effect carries the note ``bundle``; CPIs of a list are
        checked against each other without asking (``moved_too`` of the result). See
        `cpi_experiments.randomized.links.bundle.bundle_effect`.

    Returns
    -------
    LinkEffect; ArmsLink if there are several treatments; LinkEffects if ``cpi`` or ``kpi`` is a list
        Estimand LATE: the average KPI gain per increment for units whose CPI the lever changed, in the range in
        which it changed it (weights of Angrist and Imbens).

    Raises
    ------
    DataError
        If columns or arms cannot be used.
    DesignError
        If the increment is 0, the confidence level is not a share, or adjustment or variance is not known.
    EstimationError
        If a variance cannot be estimated.

    Notes
    -----
    Assumes random assignment, that the lever reaches the KPI only through the CPI (see ``breakdown`` for how much of
    that may fail), and that no unit's CPI is moved against the others. The set is Anderson and Rubin's with the
    reduced form's t quantile, so it excludes zero exactly when the ITT test of the KPI rejects.

    References
    ----------
    Imbens, Angrist (1994), Econometrica 62; Angrist, Imbens (1995), JASA 90; Anderson, Rubin (1949).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> auto = np.repeat([False, True], 500)
    >>> hours = rng.gamma(4, 2, 1000) - 3 * auto
    >>> won = (rng.random(1000) < 0.5 - 0.03 * hours).astype(int)
    >>> df = pd.DataFrame({"variant": np.where(auto, "auto", "manual"), "quote_hours": hours, "won": won})
    >>> link = link_effect(df, cpi="quote_hours", kpi="won", arm="variant", control="manual", increment=-1)
    >>> link.sentence
    'Each hour faster adds 2.5 points to won (95% set 0.2 to 4.6).'

    The same from moments, gathered once for any number of estimates:

    >>> from cpi_experiments.measure.moments.gather import gather
    >>> moments = gather(df, ["quote_hours", "won"], by=["variant"])
    >>> link_effect(moments, cpi="quote_hours", kpi="won", arm="variant", control="manual", increment=-1).sentence
    'Each hour faster adds 2.5 points to won (95% set 0.2 to 4.6).'
    """
    check_level(confidence_level)
    cpis, kpis, adjusters = names_of(cpi), names_of(kpi), names_of(covariates)
    steps = steps_of(increment, cpis)
    others = [name for name in names_of(also_moved) if name not in cpis]
    _check_roles(cpis, kpis, adjusters, others)
    links = [(cause, outcome) for cause in cpis for outcome in kpis]
    variance = _variance(adjustment, variance, clustered=cluster is not None)
    needed = link_pairs(links, adjusters, clustered=cluster is not None)
    trial = read_trial(
        data, numbers=[*cpis, *kpis, *adjusters, *others], arm=arm, control=control, cluster=cluster, strata=strata,
        unit=unit, allocation=allocation,
        pairs=[*needed, *all_pairs([[name] for name in others], adjusters, clustered=cluster is not None)],
    )  # fmt: skip
    rows = None
    if variance:
        rows = rows_of_one_arm(
            data, numbers=[*cpis, *kpis, *adjusters], arm=arm, control=control, cluster=cluster, strata=strata,
            allocation=allocation, unit=unit,
        )  # fmt: skip
    effects = [
        _one(
            trial,
            rows,
            link=link,
            covariates=adjusters,
            increment=steps[link[0]],
            variance=variance,
            confidence_level=confidence_level,
        )
        for link in links
    ]
    if others:
        effects = [with_note(effect, moved_too(trial, others, adjusters)) for effect in effects]
    if isinstance(kpi, str) and isinstance(cpi, str):
        return effects[0]
    together = [[name for name in cpis if name != each] for each in cpis] if len(cpis) > 1 else []
    return LinkEffects(effects=tuple(effects), moved_too=tuple(moved_too(trial, rest, adjusters) for rest in together))


def _one(
    trial: Trial,
    rows: TrialRows | None,
    *,
    link: tuple[str, str],
    covariates: Sequence[str],
    increment: float,
    variance: str,
    confidence_level: float,
) -> LinkEffect | ArmsLink:
    """Estimate one link in the way that was asked for."""
    cpi, kpi = link
    step = step_words(cpi, increment)
    if rows is not None:
        return regressed_link(
            trial, rows, cpi=cpi, kpi=kpi, covariates=covariates, variance=variance, increment=increment, step=step,
            confidence_level=confidence_level,
        )  # fmt: skip
    estimate = link_of if len(trial.labels) == 2 else link_of_arms
    return estimate(
        trial, cpi=cpi, kpi=kpi, covariates=covariates, increment=increment, step=step,
        confidence_level=confidence_level,
    )  # fmt: skip


def _variance(adjustment: str, variance: str | None, *, clustered: bool) -> str:
    """Return the variance of a regression; empty for the difference in means.

    Raises
    ------
    DesignError
        If the adjustment is not known, or the variance does not go with it.
    """
    if adjustment not in ADJUSTMENTS:
        raise DesignError(f"adjustment {adjustment!r} is not known", advice=f"Known: {', '.join(ADJUSTMENTS)}.")
    if adjustment == "regression":
        return variance_for(variance, clustered=clustered)
    if variance is not None:
        raise DesignError(
            f"variance {variance!r} is for adjustment='regression'",
            advice="The difference in means takes Welch's variance, or the jackknife over clusters.",
        )
    return ""


def _check_roles(cpis: Sequence[str], kpis: Sequence[str], covariates: Sequence[str], others: Sequence[str]) -> None:
    """Refuse columns in two roles, and links without an end.

    Raises
    ------
    DataError
        Naming the column, or the role that is empty.
    """
    if not cpis:
        raise DataError("no CPI is named", advice='Give a column, such as cpi="quote_hours".')
    if not kpis:
        raise DataError("no KPI is named", advice='Give a column, such as kpi="won".')
    both = [name for name in (*cpis, *others) if name in kpis]
    if both:
        raise DataError(f"column {both[0]!r} is both CPI and KPI", advice="A link runs from one column to another.")
    check_covariates(covariates, [*cpis, *kpis, *others])
