"""The state of the judging rule in the ledger: what was frozen, what counted at each step, what was published."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cpi_experiments.display import Displayed, Row, percent, plain
from cpi_experiments.errors import DesignError
from cpi_experiments.estimate import from_plain
from cpi_experiments.stats.judging.portfolio import alone_threshold, levels_of, slots_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.evidence.case import Case
    from cpi_experiments.evidence.history import Portfolio
    from cpi_experiments.ledger.store import Ledger

PORTFOLIO = "portfolio"
#: Quarters for which slots, levels, rate and mode are frozen.
HORIZON = 8
#: Slots kept for links that will be registered during a horizon, as a share of the links at its start.
RESERVE = 0.20


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenRule(Displayed):
    """What may not change within a horizon of eight quarters.

    Parameters
    ----------
    fdr : float
        Expected share of wrong verdicts among those published, in each family.
    slots : int
        Places in the portfolio; empty ones count as links without evidence.
    mode : str
        ``closed`` or ``plain``; see `cpi_experiments.evidence.history.MODES`.
    start : int or None
        First quarter of the horizon, year x 4 + quarter - 1; None where judging follows no quarters.
    """

    fdr: float
    slots: int
    mode: str = "closed"
    start: int | None = None

    @property
    def levels(self) -> tuple[int, ...]:
        """Steps of the rule, which follow from the slots."""
        return levels_of(self.slots)[0]

    def _title(self) -> str:
        return (
            f"Of the links called confirmed, at most {percent(self.fdr)} are expected to be wrong, however often we "
            f"looked ({self.slots} places for links; one alone needs p <= {alone_threshold(self.fdr, self.slots):.2g})."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioState(Displayed):
    """One judging step as the ledger keeps it.

    Parameters
    ----------
    label : str
        Quarter that was judged, such as ``2026Q4``; empty where judging follows no quarters.
    rule : FrozenRule
    counted : mapping of link to mapping of experiment to row of the ledger
        What was looked at by this step, and with which numbers.
    looks : mapping of link to str
        Declared looks.
    scores : mapping of link to mapping of test to (score, information)
    p_values : mapping of link to mapping of family to float
        Running p-values.
    published : mapping of family to tuple of links
    """

    label: str
    rule: FrozenRule
    counted: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    looks: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    p_values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    published: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def _title(self) -> str:
        return self.rule._title()  # noqa: SLF001 - same family

    def _rows(self) -> list[Row]:
        return [
            {
                "link": link,
                "looks": self.looks[link],
                "experiments": len(self.counted[link]),
                **{f"p_{family}": p for family, p in values.items()},
                "published": ", ".join(family for family, members in self.published.items() if link in members),
            }
            for link, values in self.p_values.items()
        ]


def read_states(ledger: Ledger) -> tuple[PortfolioState, ...]:
    """Return the judging steps of a ledger, oldest first."""
    return tuple(_state(row.payload) for row in ledger.rows(action=PORTFOLIO))


def record_state(ledger: Ledger, state: PortfolioState, *, who: str = "") -> None:
    """Append a judging step, unless it says what the last one said."""
    payload = plain(state)
    last = ledger.rows(action=PORTFOLIO)
    if not last or last[-1].payload != payload:
        ledger.append(PORTFOLIO, state.label or "now", payload, who=who)


def state_of(
    cases: Mapping[str, Case],
    portfolio: Portfolio,
    *,
    counted: Mapping[str, Mapping[str, int]],
    label: str,
    rule: FrozenRule,
) -> PortfolioState:
    """Describe a judged portfolio for the ledger; cases by link, in the order of the portfolio."""
    links = tuple(cases)
    return PortfolioState(
        label=label,
        rule=rule,
        counted=counted,
        looks={link: str(case.looks) for link, case in cases.items()},
        scores={
            link: {
                test: (float(part.scores[i, -1]), float(part.information[i, -1]))
                for test, part in portfolio.scores.items()
            }
            for i, link in enumerate(links)
        },
        p_values={
            link: {family: float(p[i, -1]) for family, p in portfolio.p_values.items()} for i, link in enumerate(links)
        },
        published={
            family: tuple(link for i, link in enumerate(links) if i in steps[-1])
            for family, steps in portfolio.published.items()
        },
    )


def places_for(links: int, slots: int | None = None) -> int:
    """Places of a portfolio at the start of a horizon: what is declared, else its links and a fifth more.

    Examples
    --------
    >>> places_for(12), places_for(12, 12), places_for(1)
    (15, 12, 4)
    """
    return slots_of(math.ceil(round((1 + RESERVE) * links, 9)) if slots is None else slots)


def rule_for(
    states: Sequence[PortfolioState], *, fdr: float, slots: int | None, mode: str, links: int, quarter: int | None
) -> FrozenRule:
    """Return the rule that holds in a quarter: the one frozen for its horizon, or a new one.

    Parameters
    ----------
    states : sequence of PortfolioState
        All judging steps of the ledger.
    fdr, slots, mode
        What is asked for; it must be what was frozen while a horizon runs.
    links : int
        Links registered now.
    quarter : int or None

    Raises
    ------
    DesignError
        If rate, mode or slots differ from what the horizon was started with, or the quarter lies before the first that
        was judged.
    """
    rules = [state.rule for state in states]
    frozen = next((rule for rule in reversed(rules) if _covers(rule, quarter)), None)
    starts = [rule.start for rule in rules if rule.start is not None]
    if frozen is None and quarter is not None and starts and quarter < max(starts):
        raise DesignError(
            f"{_name(quarter)} lies before the horizon that was started in {_name(max(starts))}",
            advice="What was not judged at its time cannot be judged now: its looks would be chosen afterwards.",
        )
    if frozen is None:
        return FrozenRule(fdr=fdr, slots=places_for(links, slots), mode=mode, start=quarter)
    asked = {"fdr": fdr, "mode": mode, "slots": frozen.slots if slots is None else places_for(links, slots)}
    until = "the next horizon" if frozen.start is None else _name(frozen.start + HORIZON)
    for name, value in asked.items():
        if value != getattr(frozen, name):
            raise DesignError(
                f"{name} is {value}, but this horizon of {HORIZON} quarters was started with {getattr(frozen, name)}",
                advice=f"Keep {getattr(frozen, name)} until {until}: a rule changed after a look has no rate.",
            )
    return frozen


def _covers(rule: FrozenRule, quarter: int | None) -> bool:
    return rule.start is None or quarter is None or rule.start <= quarter < rule.start + HORIZON


def _name(quarter: int) -> str:
    return f"{quarter // 4}Q{quarter % 4 + 1}"


def _state(payload: Mapping[str, Any]) -> PortfolioState:
    return PortfolioState(
        label=payload["label"],
        rule=from_plain(FrozenRule, payload["rule"]),
        counted=payload["counted"],
        looks=payload["looks"],
        scores={link: {test: (s, v) for test, (s, v) in tests.items()} for link, tests in payload["scores"].items()},
        p_values=payload["p_values"],
        published={family: tuple(links) for family, links in payload["published"].items()},
    )
