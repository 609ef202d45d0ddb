"""The plain door to a running trial: what may be seen now without spoiling the test, and what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from cpi_experiments.errors import DesignError
from cpi_experiments.randomized.arms import Label, names_of
from cpi_experiments.randomized.effects.outcomes import Mean, Outcome
from cpi_experiments.randomized.monitoring.accrual import Accrual, Columns, accrue
from cpi_experiments.randomized.monitoring.asked import check_numbers, read_caps, read_outcomes, read_sides
from cpi_experiments.randomized.monitoring.guardrails import check_margins
from cpi_experiments.randomized.monitoring.looks import LookPlan, Plan
from cpi_experiments.randomized.monitoring.monitoring import Monitoring
from cpi_experiments.randomized.monitoring.sentences import Seen, Standing, rule_on
from cpi_experiments.randomized.monitoring.streams import pairs_needed
from cpi_experiments.randomized.monitoring.watch import Watch, judge_effects, judge_guardrails, split_over_time
from cpi_experiments.randomized.trial import check_covariates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.stats.moments import Moments
    from cpi_experiments.stats.sequential.group_sequential import Spending

Better = Literal["higher", "lower"]
Alternative = Literal["two-sided", "greater", "less"]


def monitor(  # noqa: PLR0913 - a door: every argument after the first is named by the caller
    data: Data | Moments,
    *,
    arm: str,
    control: Label,
    time: str,
    plan: Plan,
    planned_n: int,
    outcomes: str | Outcome | Sequence[str | Outcome] = (),
    cpi: str | None = None,
    kpi: str | None = None,
    increment: float = 1.0,
    looks: int | Sequence[float] | None = None,
    covariates: str | Sequence[str] | None = None,
    cluster: str | None = None,
    strata: str | Sequence[str] | None = None,
    allocation: Mapping[Any, float] | None = None,
    guardrails: Mapping[str, float] | None = None,
    better: Better | Mapping[str, Better] = "higher",
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    spending: Spending = "obrien_fleming",
    rho: float = 3.0,
    planned_effect: float | None = None,
    futility: float = 0.1,
    final: bool = False,
    units: str = "units",
) -> Monitoring:
    """Look at a running trial without spoiling it.

    Parameters
    ----------
    data : DataFrame, path of Parquet or CSV files, DuckDB relation, Spark DataFrame, warehouse table, or Moments
        One row per unit whose outcome is known (or per event of a unit named in ``cluster``). `Moments` need the time
        among their keys: 500 looks are then answered from one scan.
    arm, control
        Column of the arm, and the label of the arm that the others are compared with.
    time : str
        Column that says when a row's outcome was known: a date, a number, or ISO text. Each label is a time at which
        one may look.
    plan : {"fixed", "group_sequential", "anytime"}
        fixed: the effect is read once, at ``planned_n``, and is hidden until then. group_sequential: it is read at
        planned ``looks``, with boundaries that spend alpha. anytime: it may be read at every time; only this plan
        follows clusters whose rows come at several times.
    planned_n : int
        Randomised units (clusters, if one is named) of all arms at the planned end.
    outcomes : column names, `Mean` or `Ratio`
    cpi, kpi, increment : optional
        A link, beside or instead of ``outcomes``: KPI per increment of the CPI with an Anderson-Rubin set that holds at
        all looks. Whether there is an effect is judged on the KPI.
    looks : int or sequence of float, optional
        Number of planned looks, or their shares of ``planned_n``. For ``anytime`` every time is a look (up to 500).
    covariates, cluster, strata, allocation
        As in `cpi_experiments.randomized.effects.compare.compare`.
    guardrails : mapping of column to float, optional
        Largest worsening that is tolerated; watched at every time under every plan, on an alpha of their own.
    better : {"higher", "lower"}, or mapping of column (or outcome name) to one of them
    alternative : {"two-sided", "greater", "less"}
    alpha : float
        Shared equally by the effects (outcomes times arms).
    spending, rho
        For planned looks; see `cpi_experiments.stats.sequential.group_sequential.spent`.
    planned_effect : float, optional
        Effect that the size was planned for: futility is then the conditional power under it.
    futility : float
        Below this chance to show an effect by the planned end it is said; it never binds.
    final : bool
        The trial has ended, whatever its size, and no more rows come. Planned looks: what is left of alpha is spent.
        Clusters with rows at several times, fixed or planned looks: the one reading, of all rows. Without clusters a
        fixed plan ends at ``planned_n``.
    units : str
        What is counted, in words.

    Returns
    -------
    Monitoring
        Its ``sentence`` says what to do. ``looks`` and ``to_frame()`` have one row per look; ``plot()`` draws them.

    Raises
    ------
    DataError
        If columns, arms or times cannot be used.
    DesignError
        If the plan is not one, or looks are planned by shares of clusters whose rows come at several times.

    Notes
    -----
    Assumes that a unit's row does not change once its time has come, so that estimates gain independent increments.
    Clusters that have come say nothing about rows that have not: under fixed and planned looks a trial whose clusters
    have rows at several times (or that has but one time) stays hidden until ``final``. Or give as ``time`` when a
    cluster was complete, and missing until then.
    Sequences are asymptotic: they begin at 20 units in the smaller arm (1,000 if arms are beyond 2:1), for yes/no
    columns at 10 of the rarer answer in each arm (100), with clusters at 10 an arm.

    References
    ----------
    Howard, Ramdas, McAuliffe, Sekhon (2021), Ann. Stat. 49; Waudby-Smith et al. (2021), arXiv 2103.06476; Lan, DeMets
    (1983), Biometrika 70.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(4)
    >>> auto = rng.random(6200) < 0.5
    >>> df = pd.DataFrame({"arm": np.where(auto, "auto", "manual"), "day": np.arange(6200) // 310,
    ...                    "won": rng.random(6200) < 0.2 + 0.03 * auto, "complaints": rng.random(6200) < 0.05})
    >>> plan = {"arm": "arm", "control": "manual", "time": "day", "planned_n": 12_000, "units": "customers"}
    >>> print(monitor(df, outcomes="won", plan="fixed", **plan).sentence)
    Keep running: 6,200 of 12,000 customers. Effects are hidden until the planned end.
    >>> seen = monitor(df, outcomes="won", plan="anytime", guardrails={"complaints": 0.02},
    ...                better={"complaints": "lower"}, **plan)
    >>> print(seen.sentence)
    Keep running: 6,200 of 12,000 customers. No effect is shown yet.
    >>> seen.guardrails[0].state, len(seen["won"].looks)
    ('ok', 20)
    """
    wanted = read_outcomes(outcomes, cpi, kpi)
    adjusters = names_of(covariates)
    margins = dict(guardrails or {})
    used = [name for outcome in wanted for name in outcome.columns] + ([cpi] if cpi else [])
    check_covariates(adjusters, [*used, *margins])
    check_margins(margins, used)
    check_numbers(alpha=alpha, futility=futility, alternative=alternative, increment=increment)
    plans = LookPlan(plan=plan, planned_n=planned_n, looks=looks, final=final, clustered=cluster is not None)
    sides = read_sides(better, [*(outcome.name for outcome in wanted), *used, *margins])
    accrual = accrue(
        data,
        Columns(
            arm=arm, control=control, time=time, cluster=cluster, strata=tuple(names_of(strata)), allocation=allocation
        ),
        numbers=[*used, *adjusters, *margins],
        pairs=pairs_needed(
            [*wanted, *map(Mean, margins)], adjusters, (cpi, kpi) if cpi and kpi else None, clustered=bool(cluster)
        ),
        caps=read_caps(wanted),
    )  # fmt: skip
    watch = Watch(
        accrual=accrual, plans=plans, covariates=tuple(adjusters), alpha=alpha, alternative=alternative,
        spending=spending, rho=rho, sides=sides, planned_effect=planned_effect,
    )  # fmt: skip
    _check_looks(watch)
    guards = judge_guardrails(watch, margins)
    places = watch.places()
    seen = judge_effects(watch, places, wanted, link=(cpi, str(kpi), increment) if cpi else None) if places else ()
    total = int(accrual.total[-1])
    standing = Standing(
        plan=plan, n=total, planned_n=int(planned_n), units=units, ended=watch.ended,
        futility=futility, integrity=split_over_time(accrual), guardrails=guards, seen=seen,
        unfinished=watch.unfinished and not final,
    )  # fmt: skip
    state, sentence = rule_on(standing)
    return Monitoring(
        sentence=sentence,
        state=state,
        plan=plan,
        n=total,
        planned_n=int(planned_n),
        units=units,
        integrity=standing.integrity,
        guardrails=guards,
        effects=tuple(replace(each.effect, units=units) for each in seen),
        chances=tuple((each.effect.outcome, str(each.effect.arm), each.chance) for each in seen if each.open),
        notes=(
            *_on_clusters(watch, read=bool(places), units=units),
            *_notes(accrual, places, wanted, seen, units=units),
        ),
    )


def _check_looks(watch: Watch) -> None:
    """Refuse shares of clusters as looks where clusters go on.

    Raises
    ------
    DesignError
        Naming how many have rows at several times.
    """
    accrual, plans = watch.accrual, watch.plans
    if plans.plan == "group_sequential" and accrual.repeated and not plans.final:
        raise DesignError(
            f"{accrual.repeated:,} of {int(accrual.total[-1]):,} clusters have rows at several times: how many have "
            "come does not say how far the trial is, and no look can be planned by it",
            where=f"column {accrual.columns.cluster!r}",
            advice='Use plan="anytime"; or give as `time` when each cluster was complete (missing until then); or '
            "final=True once the last rows are in.",
        )


def _on_clusters(watch: Watch, *, read: bool, units: str) -> tuple[str, ...]:
    """Say what is taken for granted about rows of clusters that have come."""
    accrual = watch.accrual
    anytime = watch.plans.plan == "anytime"
    if accrual.columns.cluster is None or watch.plans.final or (anytime and not (watch.came and accrual.unfinished)):
        return ()
    if accrual.unfinished:
        came = f"{accrual.repeated:,} {units} have rows at several times" if accrual.repeated else "There is one time"
        return (f"{came}: more may come of each. Give final=True once the last rows are in.",)
    return (f"Rows of {units} that were counted are taken to be complete.",) if read else ()


def _notes(
    accrual: Accrual, places: Sequence[int], wanted: Sequence[Outcome], seen: Sequence[Seen], *, units: str
) -> tuple[str, ...]:
    notes = []
    if accrual.without_time:
        notes.append(f"Not used: {accrual.without_time:,} rows without {accrual.columns.time}.")
    if places and (later := int(accrual.total[-1] - accrual.total[places[-1]])):
        notes.append(f"Not used: {later:,} {units} that came after the last planned look.")
    for each in seen:
        lost = "; ".join(f"{count:,} {reason}" for reason, count in each.dropped)
        if lost:
            notes.append(f"Not used for {each.effect.outcome}, {each.effect.arm}: {lost}.")
    if places and len({each.effect.outcome for each in seen if each.better}) < len(wanted):
        notes.append("Not every effect can be shown: too few units, or an outcome that does not vary within the arms.")
    return tuple(notes)
