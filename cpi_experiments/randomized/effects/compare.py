"""The plain door for comparing arms: one row per arm and outcome, integrity first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cpi_experiments.errors import DataError, DesignError, EstimationError, nearest
from cpi_experiments.randomized.arms import Label, names_of
from cpi_experiments.randomized.effects.arm_effects import Adjustment, Inference, Plan, Test, effect_of_arm
from cpi_experiments.randomized.effects.comparison import ArmEffect, Comparison, SegmentDifference
from cpi_experiments.randomized.effects.corrections import corrected, corrected_differences
from cpi_experiments.randomized.effects.decisions import Better, Scale, Sizes, read_margins
from cpi_experiments.randomized.effects.outcomes import AnyOutcome, Mean, Ratio, Scan, all_pairs, as_outcome, scans_of
from cpi_experiments.randomized.effects.segments import Group, segment_differences, with_arms
from cpi_experiments.randomized.trial import Trial, check_covariates, check_level, check_seed, read_trial
from cpi_experiments.stats.multiplicity import CORRECTIONS, Correction
from cpi_experiments.stats.student import ALTERNATIVES

if TYPE_CHECKING:
    from cpi_experiments.measure.engine import Data
    from cpi_experiments.stats.moments import Moments

__all__ = ["ArmEffect", "Comparison", "compare"]

Alternative = Literal["two-sided", "greater", "less"]
RelativeScale = Literal["log", "linear"]
_KNOWN = {
    "alternative": ALTERNATIVES,
    "relative scale": ("log", "linear"),
    "adjustment": ("cuped", "lin"),
    "test": ("welch", "student", "z"),
    "inference": ("formula", "bootstrap", "permutation", "wild"),
    "correction": CORRECTIONS,
}


def compare(  # noqa: PLR0913 - a door: every argument after the first is named by the caller
    data: Data | Moments,
    *,
    arm: str,
    control: Label,
    outcomes: str | AnyOutcome | Sequence[str | AnyOutcome],
    covariates: str | Sequence[str] | None = None,
    cluster: str | None = None,
    strata: str | Sequence[str] | None = None,
    allocation: Mapping[Any, float] | None = None,
    alternative: Alternative = "two-sided",
    confidence_level: float = 0.95,
    unit: str | None = None,
    relative_scale: RelativeScale = "log",
    adjustment: Adjustment = "cuped",
    test: Test = "welch",
    inference: Inference = "formula",
    reps: int | None = None,
    seed: int = 0,
    margin: Sizes = None,
    equivalence: Sizes = None,
    margin_scale: Scale = "absolute",
    better: Better | Mapping[str, Better] = "higher",
    pool: Mapping[Label, Sequence[Label]] | None = None,
    correction: Correction = "none",
    by: str | Sequence[str] | None = None,
) -> Comparison:
    """Compare the arms of a randomised experiment (estimand: ITT, the effect of being assigned).

    Parameters
    ----------
    data : DataFrame, path of Parquet or CSV files, DuckDB relation, Spark DataFrame, warehouse table, or Moments
        One row per unit (or per event of a unit named in ``cluster``). Of `Moments` (see
        `cpi_experiments.measure.moments.gather.gather`) no row is touched; keys that are not asked for are added up.
    arm, control
        Column of the arm, and the label of the arm that the others are compared with.
    outcomes : column names, `Mean`, `Ratio`, `Quantile` or `Rank`
        Counts are means (a rate per unit), flags proportions. `Quantile` and `Rank` need rows.
    covariates : str or sequence of str, optional
        Columns measured before the assignment; see ``adjustment``.
    cluster : str, optional
        Column of the randomised group: leave-one-cluster-out jackknife (CR3), with Bell and McCaffrey's degrees of
        freedom in an arm and Welch-Satterthwaite's over arms; t(clusters - 1) where clusters span both arms.
    strata : str or sequence of str, optional
        Arms are compared within strata and weighted by size (post-stratification).
    allocation : mapping of arm to weight, optional
        Intended shares, for the sample ratio; equal by default.
    alternative : {"two-sided", "greater", "less"}
        What the p-value and the interval are for: treatment greater (less) than control.
    confidence_level : float
    unit : str, optional
        Column of the unit; units seen in several arms are then found, counted and left out.
    relative_scale : {"log", "linear"}
        Delta-method interval of the relative effect on the log of the ratio (default) or on the ratio itself.
    adjustment : {"cuped", "lin"}
        One coefficient vector for both arms of a comparison, or one for each arm (Lin 2013; not with clusters). Lin
        gains where arms differ in size and in how covariates matter; it needs 5 + covariates + 1 units an arm.
    test : {"welch", "student", "z"}
        Student pools the variances; z takes variances with divisor n and the normal. Both are for independent units
        and there to meet the numbers of other tools.
    inference : {"formula", "bootstrap", "permutation", "wild"}
        How standard errors, intervals and p-values come about; all but the formula read the rows. With fewer than five
        clusters in an arm the formula is blocked: use ``"permutation"`` (``"wild"`` needs eight or more).
    reps, seed : int
        Repetitions and seed of what is resampled.
    margin : float, or mapping of outcome to float, optional
        Non-inferiority: how much worse than the control is still accepted. One-sided at ``1 - confidence_level``.
    equivalence : float, or mapping of outcome to float, optional
        Equivalence: the effect is shown to lie within this much on both sides (two one-sided tests).
    margin_scale : {"absolute", "relative"}
        Margins in the outcome's unit, or as a share of the control's mean, whose own uncertainty then counts.
    better : {"higher", "lower"}, or mapping of outcome to one of them
        Which way an outcome is better, for ``margin``.
    pool : mapping of label to sequence of arms, optional
        Treatments taken together as one arm, weighted by their units, besides the single ones.
    correction : {"none", "bonferroni", "holm", "bh", "by"}
        Adds ``p_adjusted`` over all rows (outcomes x arms), and for Bonferroni ``joint_low``, ``joint_high``. Tests
        against margins are not corrected: whoever asks for all of them to pass needs no correction.
    by : str or sequence of str, optional
        Columns of segments, measured before the assignment: effects within each, and a test that they are equal.

    Returns
    -------
    Comparison
        ``to_frame()`` has one row per arm and outcome; ``integrity`` is the sample ratio.

    Raises
    ------
    DataError
        If columns or arms cannot be used, or moments lack what this needs; it says what to gather.
    DesignError
        If options are not known, or do not fit each other.
    EstimationError
        If a variance cannot be estimated (an arm with one unit or one cluster).

    Notes
    -----
    Rows with a missing outcome, covariate or cluster are left out and counted; a missing outcome is not a zero.
    Assumes that units (or clusters) do not influence each other. Without variance in either arm the row has status
    ``failed`` and no p-value. Proportions use the sample variance. Everything derives from counts, sums and products
    by cell, taken in one scan; only clusters (and units, where some are in several arms) are cells of their own. A
    column that is asked for with several caps takes one scan a cap.

    References
    ----------
    Welch (1947), Biometrika 34; Deng, Xu, Kohavi, Walker (2013), WSDM; Lin (2013), Ann. Appl. Stat. 7; Schuirmann
    (1987) for equivalence; Welch (1951), Biometrika 38 for segments. Corrections: see `stats.multiplicity`.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"arm": ["a", "a", "a", "b", "b", "b"], "won": [0, 0, 1, 1, 1, 0]})
    >>> compare(df, arm="arm", control="a", outcomes="won")["won"].estimate.value.__round__(4)
    0.3333

    Moments that were gathered once answer for every segment without another look at the rows:

    >>> from cpi_experiments.measure.moments.gather import gather
    >>> df = pd.concat([df.assign(segment="b2b"), df.assign(segment="b2c", won=1 - df["won"])])
    >>> moments = gather(df, ["won"], by=["arm", "segment"])
    >>> found = {label: compare(part, arm="arm", control="a", outcomes="won")
    ...          for label, part in moments.split("segment").items()}
    >>> {label: round(each["won"].estimate.value, 4) for label, each in found.items()}
    {'b2b': 0.3333, 'b2c': -0.3333}
    >>> compare(moments, arm="arm", control="a", outcomes="won")["won"].estimate.n_obs
    12

    Segments, margins and corrections in one call:

    >>> found = compare(df, arm="arm", control="a", outcomes="won", by="segment", margin=0.5, correction="holm")
    >>> found.differences[0].sentence
    'No sign that the effect of b on won differs by segment (p 0.347, corrected).'
    >>> found["won"].margins[0].verdict
    'not shown'
    """
    check_level(confidence_level)
    _check_words(
        {"alternative": alternative, "relative scale": relative_scale, "adjustment": adjustment, "test": test,
         "inference": inference, "correction": correction}
    )  # fmt: skip
    wanted = read_outcomes(outcomes)
    names = [outcome.name for outcome in wanted]
    plan = Plan(
        covariates=tuple(names_of(covariates)), adjustment=adjustment, test=test, alternative=alternative,
        confidence_level=confidence_level, relative_scale=relative_scale,
        margins=read_margins(names, margin=margin, equivalence=equivalence, scale=margin_scale, better=better),
    )  # fmt: skip
    check_covariates(plan.covariates, [name for outcome in wanted for name in outcome.columns])
    roles = _Roles(
        arm=arm, control=control, cluster=cluster, strata=strata, allocation=allocation, unit=unit,
        segments=tuple(names_of(by)),
    )  # fmt: skip
    check_seed(seed, reps)
    resampling = _Resampling(inference=inference, reps=reps, seed=seed)
    _check_together(wanted, plan, roles, resampling)
    scans = _read_scans(data, wanted, plan, roles, resampling)
    first = scans[0][1]
    groups = _groups(first.labels, pool)
    found = _effects_of_sums(scans, groups, plan) | _effects_of_rows(data, wanted, groups, plan, (roles, resampling))
    effects = [found[outcome.name, label] for outcome in wanted for label, _ in groups]
    return Comparison(
        effects=corrected(effects, correction=correction, alternative=alternative),
        integrity=first.integrity,
        correction=correction,
        differences=corrected_differences(
            _differences(scans, names, groups, plan), correction=correction, alternative=alternative
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Roles:
    """Which column is what."""

    arm: str
    control: Label
    cluster: str | None
    strata: str | Sequence[str] | None
    allocation: Mapping[Any, float] | None
    unit: str | None
    segments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resampling:
    inference: Inference
    reps: int | None
    seed: int

    def needs_rows(self, outcome: AnyOutcome) -> bool:
        return self.inference != "formula" or not isinstance(outcome, Mean | Ratio)


Scans = list[tuple[Scan, Trial]]
Effects = dict[tuple[str, Label], ArmEffect]


def read_outcomes(outcomes: str | AnyOutcome | Sequence[str | AnyOutcome]) -> list[AnyOutcome]:
    """Read one outcome or several.

    Raises
    ------
    DataError
        If there is none, or two have one name.

    Examples
    --------
    >>> read_outcomes("won")
    [Mean(column='won', cap=None)]
    """
    wanted = [as_outcome(each) for each in _listed(outcomes)]
    if not wanted:
        raise DataError("no outcome is named", advice='Give column names, such as outcomes=["won"].')
    wanted = list(dict.fromkeys(wanted))
    names = [outcome.name for outcome in wanted]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"two outcomes are called {name!r}", advice="Rename the column.")
    return wanted


def _listed(outcomes: Any) -> Iterable[Any]:  # noqa: ANN401 - whatever was given
    return outcomes if isinstance(outcomes, Iterable) and not isinstance(outcomes, str | Mapping) else [outcomes]


def _check_words(given: Mapping[str, str]) -> None:
    for what, word in given.items():
        if word not in _KNOWN[what]:
            known = list(_KNOWN[what])
            raise DesignError(f"{what} {word!r} is not known", advice=f"Known: {', '.join(known)}.")


def _check_together(wanted: Sequence[AnyOutcome], plan: Plan, roles: _Roles, resampling: _Resampling) -> None:
    """Refuse options that do not fit each other.

    Raises
    ------
    DesignError
        Naming what to leave out.
    """
    of_rows = [outcome.name for outcome in wanted if resampling.needs_rows(outcome)]
    if not of_rows:
        return
    only = f"{of_rows[0]!r} is estimated from rows"
    if plan.adjustment != "cuped" or plan.test != "welch":
        raise DesignError(f"{only}: adjustment and test have no choice there", advice="Leave them out.")
    if roles.segments:
        raise DesignError(f"{only}: no segments there", advice="Leave `by` out, or select a segment's rows.")
    if resampling.inference != "formula" and any(plan.margins.values()):
        raise DesignError(
            f"margins are tested by formula, not by {resampling.inference}",
            advice="Leave `inference` out, or the margins.",
        )


def _read_scans(
    data: Data | Moments, wanted: Sequence[AnyOutcome], plan: Plan, roles: _Roles, resampling: _Resampling
) -> Scans:
    """Read the moments of means and ratios, a scan for every cap of a column; the first counts the arms, too."""
    sums = [each for each in wanted if isinstance(each, Mean | Ratio) and not resampling.needs_rows(each)]
    scans = scans_of(sums) or [Scan(caps={}, plain=set(), outcomes=[])]
    return [(scan, _read_scan(data, scan, plan, roles)) for scan in scans]


def _read_scan(data: Data | Moments, scan: Scan, plan: Plan, roles: _Roles) -> Trial:
    adjusters = list(plan.covariates) if scan.outcomes else []
    columns = [outcome.columns for outcome in scan.outcomes]
    return read_trial(
        data,
        numbers=[*(name for each in columns for name in each), *adjusters],
        arm=roles.arm,
        control=roles.control,
        cluster=roles.cluster,
        strata=roles.strata,
        unit=roles.unit,
        allocation=roles.allocation,
        pairs=all_pairs(columns, adjusters, clustered=roles.cluster is not None),
        segments=roles.segments,
        caps=scan.caps,
    )


def _groups(labels: tuple[Label, ...], pool: Mapping[Label, Sequence[Label]] | None) -> list[Group]:
    """List the treatments, then the pools of them.

    Raises
    ------
    DesignError
        If a pool has the name of an arm, fewer than two arms, or one that is not a treatment.
    """
    groups: list[Group] = [(label, (code,)) for code, label in enumerate(labels[1:], start=1)]
    places = {str(label): codes[0] for label, codes in groups}
    if pool is not None and not isinstance(pool, Mapping):
        raise DesignError(f"pool {pool!r} has no name", advice='Name it and its arms: pool={"any": ["b", "c"]}.')
    for name, members in (pool or {}).items():
        if not isinstance(members, Iterable):
            raise DesignError(f"pool {name!r} holds {members!r}, no arms", advice="Give at least two treatments.")
        chosen = list(dict.fromkeys(map(str, [members] if isinstance(members, str) else members)))
        if str(name) in map(str, labels):
            raise DesignError(f"pool {name!r} has the name of an arm", advice='Give it another, such as "any".')
        for each in chosen:
            if each not in places:
                raise DesignError(f"pool {name!r} names {each!r}, no treatment", advice=nearest(each, list(places)))
        if len(chosen) < 2:
            raise DesignError(f"pool {name!r} holds {len(chosen)} arms", advice="A pool needs at least two.")
        groups.append((name, tuple(places[each] for each in chosen)))
    return groups


def _effects_of_sums(scans: Scans, groups: Sequence[Group], plan: Plan) -> Effects:
    found: Effects = {}
    for scan, trial in scans:
        arms = with_arms(trial, groups) if scan.outcomes else []
        for outcome in scan.outcomes:
            for (label, _), (part, treatment) in zip(groups, arms, strict=True):
                try:
                    found[outcome.name, label] = effect_of_arm(outcome, part, treatment, plan)
                except EstimationError as error:
                    raise _located(error, label, outcome) from error
    return found


def _effects_of_rows(
    data: Data | Moments, wanted: Sequence[AnyOutcome], groups: Sequence[Group], plan: Plan,
    how: tuple[_Roles, _Resampling],
) -> Effects:  # fmt: skip
    roles, resampling = how
    outcomes = [outcome for outcome in wanted if resampling.needs_rows(outcome)]
    if not outcomes:
        return {}
    from cpi_experiments.randomized.effects.effect_of_rows import effect_of_rows, rows_of_trial  # noqa: PLC0415 - rows only

    source = rows_of_trial(
        data, outcomes, covariates=plan.covariates, arm=roles.arm, control=roles.control, cluster=roles.cluster,
        strata=roles.strata, allocation=roles.allocation, unit=roles.unit,
    )  # fmt: skip
    found: Effects = {}
    for outcome in outcomes:
        for group in groups:
            try:
                found[outcome.name, group[0]] = effect_of_rows(
                    outcome, source, group, plan, inference=resampling.inference, reps=resampling.reps,
                    seed=resampling.seed,
                )  # fmt: skip
            except EstimationError as error:
                raise _located(error, group[0], outcome) from error
    return found


def _located(error: EstimationError, label: Label, outcome: AnyOutcome) -> EstimationError:
    return EstimationError(error.found, where=f"arm {label!r}, outcome {outcome.name!r}", advice=error.advice)


def _differences(scans: Scans, names: list[str], groups: Sequence[Group], plan: Plan) -> list[SegmentDifference]:
    found = [
        each
        for scan, trial in scans
        for by in trial.segments
        for each in segment_differences(trial, scan.outcomes, groups, plan, by=by)
    ]
    return sorted(found, key=lambda each: names.index(each.outcome))
