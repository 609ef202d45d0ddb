"""KPI per step of a CPI before the KPI is known: projected from what customers did early, by the firm's own history."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from cpi_experiments.errors import DesignError
from cpi_experiments.randomized.arms import Label, names_of
from cpi_experiments.randomized.effects.outcomes import all_pairs
from cpi_experiments.randomized.links.bundle import steps_of
from cpi_experiments.randomized.links.projection_of_trial import came_true, projected_link
from cpi_experiments.randomized.links.projection_tables import checked_roles, read_early, read_history
from cpi_experiments.randomized.trial import check_level, check_two_arms, read_trial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.estimate import EffectPair
    from cpi_experiments.measure.engine import Data
    from cpi_experiments.randomized.links.link import LinkEffect
    from cpi_experiments.randomized.links.projected_link import ProjectedLink


def project_link(  # noqa: PLR0913 - a door: every argument after the second is named by the caller
    history: Data,
    trial: Data,
    *,
    cpi: str,
    kpi: str,
    surrogates: str | Sequence[str],
    arm: str,
    control: Label,
    matures: str | date,
    increment: float = 1.0,
    covariates: str | Sequence[str] | None = None,
    cluster: str | None = None,
    history_cluster: str | None = None,
    strata: str | Sequence[str] | None = None,
    allocation: Mapping[Any, float] | None = None,
    unit: str | None = None,
    time: str | None = None,
    matured: Sequence[tuple[ProjectedLink, LinkEffect | EffectPair]] = (),
    confidence_level: float = 0.95,
) -> ProjectedLink:
    """Project the KPI effect per increment of a CPI while the KPI of the trial is not known yet.

    Parameters
    ----------
    history : DataFrame, path of Parquet or CSV files, DuckDB relation, Spark DataFrame or warehouse table
        One row per customer (and period) whose KPI is known, with the surrogates, the covariates and the KPI; not the
        trial's own rows.
    trial : the same kinds
        One row per unit, with arm, CPI, surrogates and covariates.
    cpi, kpi : str
        Columns of the CPI (in the trial) and of the KPI (in the history).
    surrogates : str or sequence of str
        What customers did soon after, in both tables; may contain the CPI. Through these the lever has to work.
    arm, control, increment, strata, allocation, unit, confidence_level
        As in `cpi_experiments.randomized.links.link_effect.link_effect`; one treatment. Units of the trial that are in
        the history as well are counted, if ``unit`` is a column of both.
    matures : str or date
        Day on which the KPI of the trial is known, such as ``"2027-03-31"``.
    covariates : str or sequence of str, optional
        Known before, in both tables: adjustment of the history's regression, and CUPED in the trial.
    cluster : str, optional
        Randomised group of the trial.
    history_cluster : str, optional
        Related rows of the history, such as the customer in a panel; ``cluster`` where the history has that column.
    time : str, optional
        Time of the history's rows: then the last fifth is predicted from the rows before.
    matured : sequence of (ProjectedLink, LinkEffect or EffectPair)
        Earlier experiments: what was projected, and what was measured when the KPI was known. What they were off by,
        beyond the errors of both numbers, widens the projection.

    Returns
    -------
    ProjectedLink
        Estimand LATE, provisional until ``matures``; grade C at most, D if the CPI is the only surrogate.

    Raises
    ------
    DataError
        If a column is missing, constant or in two roles, there are several treatments, or no row is complete.
    DesignError
        If the KPI is known for the whole trial, or increment, level or date cannot be used.
    EstimationError
        If the history has too few rows or clusters, or its columns are collinear.

    Notes
    -----
    Assumes random assignment, that the lever reaches the KPI only through the surrogates (surrogacy), that these count
    for as much in the trial as in the history (comparability), and that nothing else in the history drives both. None
    of it follows from random assignment, so such evidence never confirms a link by itself: give the judge the date as
    ``projected``. The variance holds the history's error (delta method), so it does not shrink to zero with the trial.

    References
    ----------
    Athey, Chetty, Imbens, Kang (2019), NBER working paper 26463; Prentice (1989), Statistics in Medicine 8; Anderson,
    Rubin (1949), Ann. Math. Stat. 20.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(7)
    >>> visits = rng.poisson(4, 3000)
    >>> history = pd.DataFrame({"visits": visits, "renewal": (rng.random(3000) < 0.3 + 0.05 * visits).astype(int)})
    >>> auto = np.repeat([False, True], 1000)
    >>> hours = rng.gamma(4, 2, 2000) - 3 * auto
    >>> trial = pd.DataFrame({"arm": auto, "hours": hours, "visits": rng.poisson(np.clip(6 - 0.25 * hours, 0, None))})
    >>> link = project_link(history, trial, cpi="hours", kpi="renewal", surrogates="visits", arm="arm", control=False,
    ...                     increment=-1, matures="2027-03-31")
    >>> print(link.sentence)
    Projected: each hour faster would add 1.22 points to renewal (95% set 0.82 to 1.61); provisional until 2027-03-31, when the KPI itself is known.
    >>> link.grade
    'C'
    """  # noqa: E501 - one sentence
    check_level(confidence_level)
    roles = checked_roles(cpi, kpi, names_of(surrogates), names_of(covariates))
    step = steps_of(increment, [cpi])[cpi]
    day = _day(matures)
    early = read_early(trial, roles, arm=arm, unit=unit)
    past = read_history(
        history, roles, cluster=history_cluster, perhaps=cluster, time=time, unit=unit,
        confidence_level=confidence_level,
    )  # fmt: skip
    found = read_trial(
        trial, numbers=[*roles.outcomes, *roles.covariates], arm=arm, control=control, cluster=cluster, strata=strata,
        unit=unit, allocation=allocation,
        pairs=all_pairs([roles.outcomes], roles.covariates, clustered=cluster is not None),
    )  # fmt: skip
    check_two_arms(found)
    seen = tuple(came_true(kpi, *each) for each in matured)
    return projected_link(
        found, early, past, roles, came_true=seen, increment=step, matures=day, confidence_level=confidence_level
    )


def _day(matures: str | date) -> str:
    """Return an ISO date.

    Raises
    ------
    DesignError
        If it is none.
    """
    try:
        return (matures if isinstance(matures, date) else date.fromisoformat(matures)).isoformat()[:10]
    except (TypeError, ValueError):
        raise DesignError(
            f"matures {matures!r} is not a date", advice='Write the day on which the KPI is known, like "2027-03-31".'
        ) from None
