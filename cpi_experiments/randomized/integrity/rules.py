"""What warns and what blocks: every threshold of the checks, in one table."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cpi_experiments.display import Displayed, Row
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.randomized.integrity.sample_ratio import (
    SAMPLE_RATIO_BLOCKS,
    SAMPLE_RATIO_WARNS,
    SEVERAL_ARMS_BLOCKS,
)

#: A test of randomness warns below the first p-value; those that a verdict cannot survive block below the second.
WARNS = SAMPLE_RATIO_WARNS
BLOCKS = SAMPLE_RATIO_BLOCKS
#: Share of units that were exposed to several arms, or exposed without being assigned, above which no verdict is given.
SEVERAL_EXPOSURES_BLOCKS = SEVERAL_ARMS_BLOCKS
NEVER_ASSIGNED_REFUSED = 0.01
#: Share of units that were never exposed above which effects are diluted enough to say so.
NEVER_EXPOSED_WARNS = 0.01
#: Share of units without the outcome that is worth a look even if it is the same in every arm.
MISSING_WARNS = 0.2
#: One unit holds more than this share of an outcome's total (and ten times its fair share): say so; with the second,
#: and an effect that changes sign without it, no verdict is given.
INFLUENCE_WARNS = 0.1
INFLUENCE_BLOCKS = 0.25
#: Days of a weekly cycle.
WEEK = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When one kind of check warns, and when it blocks a verdict."""

    check: str
    warns: str
    blocks: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules(Displayed):
    """All rules, one row a kind of check."""

    rules: tuple[Rule, ...]

    def _title(self) -> str:
        return "A warning asks for a look; a block means that no verdict is given on these data."

    def _rows(self) -> list[Row]:
        return [{"check": r.check, "warns": r.warns, "blocks": r.blocks} for r in self.rules]


def blocking_rules() -> Rules:
    """Return the thresholds of `cpi_experiments.randomized.integrity.check_trial.check_trial` as a table.

    Examples
    --------
    >>> rows = blocking_rules().rules
    >>> rows[0].check, rows[0].warns, rows[0].blocks
    ('sample ratio: whole, by day, by segment, over time', 'p < 0.01', 'p < 0.0005')
    """
    test = f"p < {WARNS:g}"
    rows = [
        ("sample ratio: whole, by day, by segment, over time", test, f"p < {BLOCKS:g}"),
        ("clusters per arm", "< 10", "< 5"),
        ("units in several arms", "any", f"> {SEVERAL_ARMS_BLOCKS:.0%}"),
        ("outcome varies", "never", "constant in an arm and in its control"),
        ("missing outcome by arm", f"{test}, or > {MISSING_WARNS:.0%} missing", f"p < {BLOCKS:g}, or an arm has none"),
        ("exposed to several arms", "any", f"> {SEVERAL_EXPOSURES_BLOCKS:.0%}"),
        ("exposed but never assigned", "any", f"refused above {NEVER_ASSIGNED_REFUSED:.0%}"),
        ("contamination, crossover", "any", "never"),
        ("never exposed", f"{test} between arms, or > {NEVER_EXPOSED_WARNS:.0%}", "never"),
        ("covariates, pre-period difference", test, "never"),
        ("effect over time, rows over time", test, "never"),
        ("interference, other experiments", test, "never"),
        (
            "influence of one unit",
            f"> {INFLUENCE_WARNS:.0%} of the total",
            f"> {INFLUENCE_BLOCKS:.0%} and the effect changes sign without it",
        ),
        ("weekly cycle, planned days", f"< {WEEK} days, or a weekday missing; fewer days than planned", "never"),
    ]
    return Rules(rules=tuple(Rule(check=check, warns=warns, blocks=blocks) for check, warns, blocks in rows))


def judged(
    name: str, *, null: str, p_value: float, advice: str, statistic: float = math.nan, blocks_below: float = 0.0
) -> Diagnostic:
    """Judge a test by its p-value: warn below `WARNS`, block below ``blocks_below``.

    Examples
    --------
    >>> judged("balance", null="arms are alike", p_value=0.004, advice="Look at the assignment.").passed
    False
    """
    passed = p_value >= WARNS
    return Diagnostic(
        name=name,
        null=null,
        statistic=statistic,
        p_value=p_value,
        passed=passed,
        advice="" if passed else advice,
        blocks=p_value < blocks_below,
    )


def watched(name: str, *, null: str, advice: str, statistic: float = math.nan, blocks: bool = False) -> Diagnostic:
    """Make a check that failed without being a test, or that could not be done; it says why.

    Examples
    --------
    >>> watched("days", null="seven days or more", advice="Runs 3 days.").passed
    False
    """
    return Diagnostic(name=name, null=null, statistic=statistic, passed=False, advice=advice, blocks=blocks)
