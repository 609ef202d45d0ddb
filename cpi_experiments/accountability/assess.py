"""From verdicts and trials to the charter: whose lever moved the CPI, by how much, and what a target is worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.accountability.charter import Accountability, Charter, Standing
from cpi_experiments.display import decimals, interval, number
from cpi_experiments.evidence.verdict import Design, VerdictWord
from cpi_experiments.stats.student import quantile
from cpi_experiments.wording.verdicts import accountability_reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.catalog.entities import CPI, Catalog, Team
    from cpi_experiments.evidence.verdict import Evidence, Verdict

#: A team's lever must move the CPI by more than this share of a step (lower end of a 90 % interval).
MOVED_STEP = 0.25
#: Targets reach for half of the largest move that any trial produced.
SHARE_OF_LARGEST = 0.5
_P90 = 1.2815515655446004


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """What a team's levers did to a CPI in trials.

    Parameters
    ----------
    team, cpi, lever, experiment : str
    move, low, high : float
        Effect on the CPI in increments with its 90 % interval.
    """

    team: str
    cpi: str
    lever: str
    experiment: str
    move: float
    low: float
    high: float


def influences(catalog: Catalog, evidence: Sequence[Evidence]) -> tuple[Influence, ...]:
    """List what every randomised lever did to the CPI of its link, each experiment and CPI once.

    Parameters
    ----------
    catalog : Catalog
    evidence : sequence of Evidence
        Blocked evidence is left out.
    """
    found: dict[tuple[str, str], Influence] = {}
    for e in evidence:
        if e.design is not Design.RANDOMIZED or e.pair is None or e.blocked or not math.isfinite(e.pair.var_cpi):
            continue
        half = quantile(0.95, e.pair.df) * math.sqrt(e.pair.var_cpi)
        found[e.experiment, e.link.cpi_id] = Influence(
            team=catalog.lever(e.lever).team,
            cpi=e.link.cpi_id,
            lever=e.lever,
            experiment=e.experiment,
            move=e.pair.effect_cpi,
            low=e.pair.effect_cpi - half,
            high=e.pair.effect_cpi + half,
        )
    return tuple(found.values())


def charter(
    catalog: Catalog,
    verdicts: Sequence[Verdict],
    influence: Sequence[Influence],
    *,
    levels: Mapping[str, float] | None = None,
) -> Charter:
    """Say for every CPI which team can be accountable for it now, at which target, and what that is worth.

    A team is assignable for a CPI when its own lever moved the CPI in a trial by more than a quarter of a step (lower
    end of a 90 % interval) and a link of that CPI is confirmed with grade A or B.

    Parameters
    ----------
    catalog : Catalog
    verdicts : sequence of Verdict
    influence : sequence of Influence
    levels : mapping of CPI id to today's level, optional
        In the CPI's own unit.

    Returns
    -------
    Charter
        One row per CPI and team with a lever for it; one row without a team where there is none.
    """
    rows = []
    for cpi in catalog.cpis.values():
        teams = dict.fromkeys(lever.team for lever in catalog.levers.values() if cpi.id in lever.moves)
        if not teams:
            reasons = (accountability_reason("no lever", cpi=cpi.label),)
            rows.append(Accountability(team="", cpi=cpi.id, standing=Standing.NO_LEVER, reasons=reasons))
        mine = [v for v in verdicts if v.link.cpi_id == cpi.id]
        rows += [_row(catalog, catalog.team(team), cpi, mine, influence, levels or {}) for team in teams]
    return Charter(rows=tuple(rows))


def _row(
    catalog: Catalog,
    team: Team,
    cpi: CPI,
    verdicts: Sequence[Verdict],
    influence: Sequence[Influence],
    levels: Mapping[str, float],
) -> Accountability:
    tried = [i for i in influence if i.cpi == cpi.id]
    own = max((i for i in tried if i.team == team.id), key=lambda i: i.low, default=None)
    proven = [v for v in verdicts if v.verdict is VerdictWord.CONFIRMED and v.grade in ("A+", "A", "B")]
    best = max(proven, key=lambda v: abs(v.effect_shrunken) / v.sesoi, default=None)
    moved = own is not None and own.low > MOVED_STEP
    reasons = [_move_reason(own, moved=moved, step=cpi.step), _link_reason(best, verdicts)]
    level = levels.get(cpi.id, math.nan)
    if not (moved and best is not None):
        missing = tuple(reversed(reasons)) if moved else tuple(reasons)  # what is missing stands first
        return Accountability(team=team.id, cpi=cpi.id, standing=Standing.NOT_YET, reasons=missing, baseline=level)
    steps = _steps(cpi, level, max(i.move for i in tried))
    gains = _gains(best, steps)
    kpi = catalog.kpi(best.link.kpi_id)
    factor, unit = (100.0, "points") if kpi.unit == "fraction" else (1.0, kpi.unit)
    low, middle, high = (factor * gain for gain in gains)
    digits = decimals(low, high)
    worth = accountability_reason(
        "forecast",
        steps=f"{steps:.3g}",
        step=cpi.step,
        kpi=kpi.label,
        value=number(middle, digits, sign=True),
        span=interval(low, high, digits, sign=True),
        unit=unit,
    )
    return Accountability(
        team=team.id,
        cpi=cpi.id,
        standing=Standing.ASSIGNABLE,
        reasons=(*reasons, worth),
        link=best.link,
        baseline=level,
        target=level + steps * cpi.divisor,
        steps=steps,
        gain_p10=gains[0],
        gain_p50=gains[1],
        gain_p90=gains[2],
        horizon=cpi.target.due if cpi.target else "",
    )


def _steps(cpi: CPI, level: float, largest: float) -> float:
    """Count steps to the declared target, never beyond the range that trials moved; else half of the largest move."""
    declared = cpi.target.value if cpi.target else None
    if declared is None or math.isnan(level):
        return SHARE_OF_LARGEST * largest
    return min(max((declared - level) / cpi.divisor, 0.0), largest)


def _gains(verdict: Verdict, steps: float) -> tuple[float, float, float]:
    """Forecast gain with a normal prior of scale SESOI on the effect: 10th, 50th and 90th percentile."""
    std_error = (verdict.ci_high - verdict.ci_low) / (2 * quantile(0.975, math.inf))
    spread = (
        verdict.sesoi * std_error / math.hypot(verdict.sesoi, std_error) if math.isfinite(std_error) else verdict.sesoi
    )
    centre = verdict.effect_shrunken
    low, high = steps * (centre - _P90 * spread), steps * (centre + _P90 * spread)
    return low, steps * centre, high


def _move_reason(own: Influence | None, *, moved: bool, step: str) -> str:
    if own is None:
        return accountability_reason("not tried")
    digits = decimals(own.low, own.high)
    return accountability_reason(
        "moved" if moved else "not moved",
        lever=own.lever,
        move=number(own.move, digits, sign=True),
        span=interval(own.low, own.high, digits, sign=True),
        step=step,
        experiment=own.experiment,
    )


def _link_reason(best: Verdict | None, verdicts: Sequence[Verdict]) -> str:
    if best is not None:
        return accountability_reason("link", link=str(best.link), grade=best.grade)
    states = "; ".join(f"{v.link}: {v.headline}" for v in verdicts) or "none registered"
    return accountability_reason("no link", states=states)
