"""Power on the user's own history: experiments drawn from it, an effect put in, the real analysis run on each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.hypotheses.hypothesis import Hypothesis
from cpi_experiments.randomized.arms import names_of
from cpi_experiments.randomized.planning.given import real
from cpi_experiments.randomized.planning.history_rows import HistoryRows, read_history
from cpi_experiments.randomized.planning.power_shares import SimulatedPower, SimulatedShare
from cpi_experiments.randomized.trial import check_covariates, check_seed
from cpi_experiments.stats.judging.look_plan import look_plan
from cpi_experiments.stats.judging.look_price import asked_at_the_end
from cpi_experiments.stats.judging.portfolio import alone_threshold, slots_of
from cpi_experiments.stats.planning.simulated_judging import Draws, JudgingRule, judge_draws
from cpi_experiments.stats.resampling.injected_effects import Kind, with_effect
from cpi_experiments.stats.resampling.resampled_trials import TrialEffects, drawn_effects
from cpi_experiments.stats.resampling.simulated_shares import agrees, exact_interval, formula_power

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.engine import Data


def simulate_power(  # noqa: PLR0913 - a door: every argument after the first is named by the caller
    data: Data,
    *,
    effect: float | Sequence[float],
    n: int | Sequence[int],
    outcome: str | None = None,
    cpi: str | None = None,
    kpi: str | None = None,
    planned_move: float | None = None,
    increment: float = 1.0,
    hypothesis: Hypothesis | None = None,
    links: int = 12,
    fdr: float = 0.10,
    effect_scale: Literal["absolute", "relative"] = "absolute",
    kind: Kind = "auto",
    arm_share: float = 0.5,
    covariates: str | Sequence[str] | None = None,
    cluster: str | None = None,
    strata: str | Sequence[str] | None = None,
    reps: int = 1000,
    alpha: float = 0.05,
    seed: int = 20_260_101,
) -> SimulatedPower:
    """Simulate experiments on rows without any experiment, and count how often the analysis finds the effect.

    Parameters
    ----------
    data : DataFrame, path of Parquet or CSV files, DuckDB relation, Spark DataFrame or warehouse table
        The history, one row per unit (or per event of a unit named in ``cluster``).
    effect : float or sequence of float
        True effect(s) on the outcome; for a link KPI units per increment of the CPI.
    n : int or sequence of int
        Randomised units in both arms together: rows, or clusters.
    outcome : str, optional
        Column to be compared, as `cpi_experiments.randomized.effects.compare.compare` does.
    cpi, kpi : str, optional
        Instead of the outcome: a link, as in `cpi_experiments.randomized.links.link_effect.link_effect`; found means
        that the Anderson-Rubin set excludes zero.
    planned_move : float, optional
        Of a link: how far the lever moves the CPI, in increments.
    increment : float
        Raw CPI units of one increment, negative if lower is better.
    hypothesis : Hypothesis, optional
        Of a link: every experiment is judged by its smallest effect and expected sign, and the shares that would be
        confirmed and refuted are told.
    links, fdr : int, float
        Size and false discovery rate of the portfolio in which it is judged.
    effect_scale : {"absolute", "relative"}
        Whether effects on an outcome are in its unit or shares of its mean.
    kind : {"auto", "mean", "yes_no", "count"}
        How the effect is put in: measurements are shifted, yes/no answers flipped at the right rate, counts gain or
        lose single events; told from the column by default, and always for the CPI.
    arm_share : float
        Share of the units in treatment.
    covariates, cluster, strata
        As in the analysis: CUPED, leave-one-cluster-out jackknife, post-stratification. Units are drawn and assigned
        without regard to strata.
    reps : int
        Experiments per size.
    alpha : float
        Of the two-sided test.
    seed : int

    Returns
    -------
    SimulatedPower
        One row per size and effect, and one per size without any effect: its false alarms.

    Raises
    ------
    DataError
        If columns cannot be used, an outcome does not vary, or fewer than ten complete units are left.
    DesignError
        If an effect is 0 or impossible for the column, a size too small, or a share outside its range.

    Notes
    -----
    Units are drawn with replacement, so the history stands for all the customers to come; experiments of one size share
    their draws for every effect. The formula uses the standard deviation that the same adjustment leaves in the
    history. The two disagree if they are more than three Monte-Carlo errors apart.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> past = pd.DataFrame({"revenue": rng.lognormal(3, 1.5, 20_000)})
    >>> found = simulate_power(past, outcome="revenue", effect=0.5, effect_scale="relative", n=400)
    >>> [(share.effect, round(share.power, 1), round(share.formula, 2), share.agrees) for share in found.shares]
    [(0.0, 0.0, 0.05, True), (0.5, 0.4, 0.27, False)]
    """
    effects = _numbers(effect, "effect")
    check_seed(seed, reps)
    sizes = _sizes(_numbers(n, "n"), real(arm_share, "arm_share"))
    _check(effects, reps=reps, alpha=real(alpha, "alpha"), increment=real(increment, "increment"))
    columns = _columns(outcome, cpi, kpi, planned_move)
    claim = _claim(hypothesis, columns, links, fdr)
    adjusters = names_of(covariates)
    check_covariates(adjusters, columns)
    rows = read_history(data, columns, covariates=adjusters, cluster=cluster, strata=strata)
    world = _World(
        rows=rows, columns=tuple(columns), increment=increment, move=planned_move or 0.0, kind=kind, seed=seed,
        relative=_is_relative(effect_scale, link=outcome is None), hypothesis=claim,
        threshold=asked_at_the_end(
            alone_threshold(fdr, slots_of(links)), look_plan("single" if claim is None else claim.looks)
        ),
    )  # fmt: skip
    shares = tuple(_share(world, e, arms, reps=reps, alpha=alpha) for arms in sizes for e in (0.0, *effects))
    notes = [f"Not used: {count:,} rows {reason}." for reason, count in rows.dropped]
    notes += [f"Not used for adjustment, constant: {', '.join(rows.idle)}."] if rows.idle else []
    if cluster and min(min(arms) for arms in sizes) < 5:
        notes.append("With fewer than five clusters in an arm the judge gives no verdict.")
    return SimulatedPower(
        outcome=" -> ".join(columns),
        unit=f"units of {cluster}" if cluster else "rows",
        shares=shares,
        reps=reps,
        seed=seed,
        alpha=alpha,
        history=rows.units,
        notes=tuple(notes),
        relative=world.relative,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    rows: HistoryRows
    columns: tuple[str, ...]
    increment: float
    move: float
    relative: bool
    kind: Kind
    seed: int
    hypothesis: Hypothesis | None
    threshold: float

    @property
    def link(self) -> bool:
        return len(self.columns) == 2

    def treated(self, effect: float) -> np.ndarray:
        """Every row under treatment: the outcome, or CPI and KPI; the CPI moves even if the KPI does not follow."""
        rng = np.random.default_rng([self.seed, 1])
        sizes = [self.move * self.increment, effect * self.move] if self.link else [effect]
        return np.stack(
            [
                with_effect(
                    self.rows.values[:, j], size, relative=self.relative, rng=rng, name=name,
                    kind="auto" if self.link and j == 0 else self.kind,
                )
                for j, (name, size) in enumerate(zip(self.columns, sizes, strict=True))
            ],
            axis=1,
        )  # fmt: skip


def _share(world: _World, effect: float, arms: tuple[int, int], *, reps: int, alpha: float) -> SimulatedShare:
    treated = world.treated(effect)
    history = world.rows.world(treated)
    rng = np.random.default_rng([world.seed, 2, *arms])
    found = drawn_effects(history, *arms, reps=reps, rng=rng)
    last = treated.shape[1] - 1
    lift = float(treated[:, last].mean() - world.rows.values[:, last].mean())
    count = int(np.sum(found.p_value(last) < alpha))
    low, high = exact_interval(count, reps)
    formula = formula_power(history, lift, arms=arms, alpha=alpha, j=last)
    extra = {}
    if world.link:
        moved = treated[:, 0].mean() - world.rows.values[:, 0].mean()
        with np.errstate(divide="ignore", invalid="ignore"):
            f = found.effect[:, 0] ** 2 / found.omega[:, 0, 0]
        extra = {
            "f_median": float(np.nanmedian(f)),
            "bounded": float(np.mean(f > found.critical(alpha, j=1) ** 2)),
            "covers": float(np.mean(found.p_at(lift / moved) >= alpha)),
        }
    if world.hypothesis is not None:
        extra["confirmed"], extra["refuted"] = _verdicts(world, world.hypothesis, found)
    return SimulatedShare(
        effect=effect, lift=lift, n=sum(arms), n_treatment=arms[1], power=count / reps, power_low=low, power_high=high,
        formula=formula, agrees=agrees(count, reps, formula), **extra,
    )  # fmt: skip


def _verdicts(world: _World, claim: Hypothesis, found: TrialEffects) -> tuple[float, float]:
    """Judge every experiment; the CPI counts in increments, the KPI in the expected direction."""
    step, sign = world.increment, claim.expected_sign
    omega = found.omega
    draws = Draws(
        x=found.effect[:, :1] / step,
        y=sign * found.effect[:, 1:],
        xx=omega[:, :1, 0] / step**2,
        xy=sign * omega[:, :1, 1] / step,
        yy=omega[:, 1:, 1],
        df=found.df[:, 1:],
    )
    rule = JudgingRule(sesoi=claim.sesoi, threshold=world.threshold, move=world.move)
    confirmed, immaterial, harmful = judge_draws(draws, rule)
    return float(confirmed.mean()), float((immaterial | harmful).mean())


# -- what was asked for ----------------------------------------------------------------------------------------------


def _numbers(given: object, what: str) -> tuple[float, ...]:
    several = given if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    return tuple(real(each, what) for each in several)


def _sizes(n: Sequence[float], arm_share: float) -> list[tuple[int, int]]:
    if not 0 < arm_share < 1:
        raise DesignError(f"arm share {arm_share:g} is not between 0 and 1", advice="0.5 means equal arms.")
    sizes = []
    for size in n:
        treatment = round(size * arm_share) if math.isfinite(size) else 0
        if not (size.is_integer() and treatment >= 2 and size - treatment >= 2):
            raise DesignError(
                f"n = {size:g} gives no experiment", advice="Give whole numbers with two units an arm at least."
            )
        sizes.append((int(size) - treatment, treatment))
    if not sizes:
        raise DesignError("no size is given", advice="Give n, such as n=[1000, 2000].")
    return sizes


def _check(effects: Sequence[float], *, reps: int, alpha: float, increment: float) -> None:
    if not effects or any(not math.isfinite(e) or e == 0 for e in effects):
        raise DesignError(
            f"effects {list(effects)} cannot be planned for",
            advice="Give effects other than 0; how often nothing is taken for something is reported anyway.",
        )
    if not 0 < alpha < 1:
        raise DesignError(f"alpha {alpha:g} is not between 0 and 1", advice="Did you mean 0.05?")
    if reps < 100:
        raise DesignError(f"{reps} simulations", advice="Fewer than 100 say nothing; 1,000 is usual.")
    if not (math.isfinite(increment) and increment != 0):
        raise DesignError(f"increment {increment} is not a step", advice="Negative if lower is better.")


def _columns(outcome: str | None, cpi: str | None, kpi: str | None, planned_move: float | None) -> list[str]:
    if outcome is not None and cpi is None and kpi is None and planned_move is None:
        return [outcome]
    if outcome is None and cpi is not None and kpi is not None and cpi != kpi:
        if planned_move is None or not 0 < real(planned_move, "planned_move") < math.inf:
            raise DesignError(
                f"planned move {planned_move} of the CPI is not above zero", advice="Give it in increments."
            )
        return [cpi, kpi]
    raise DataError(
        f"outcome={outcome!r}, cpi={cpi!r}, kpi={kpi!r}, planned_move={planned_move!r} name no analysis",
        advice="Give an outcome, or cpi, kpi and planned_move of a link.",
    )


def _is_relative(scale: str, *, link: bool) -> bool:
    if scale not in ("absolute", "relative"):
        raise DesignError(f"effect scale {scale!r} is not known", advice="Known: absolute, relative.")
    if link and scale == "relative":
        raise DesignError("a link's effect is in KPI units per increment", advice='Leave out effect_scale="relative".')
    return scale == "relative"


def _claim(hypothesis: Hypothesis | None, columns: list[str], links: int, fdr: float) -> Hypothesis | None:
    if hypothesis is not None and len(columns) != 2:
        raise DataError("a hypothesis is about a link", advice="Give cpi, kpi and planned_move with it.")
    if real(links, "links") < 1:
        raise DesignError(f"a portfolio of {links} links", advice="Count the links that will be judged together.")
    if not 0 < real(fdr, "fdr") < 1:
        raise DesignError(f"false discovery rate {fdr:g} is not between 0 and 1", advice="Did you mean 0.1?")
    return hypothesis
