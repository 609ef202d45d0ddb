"""What was looked at when: the evidence of a ledger as the judging steps before have seen it.

An experiment is looked at in the quarter in which its last KPI window closed, whenever it is judged; it is looked at
later only if that quarter, or one after it, was judged without it. What was looked at once keeps its numbers: data that
are analysed again do not give a look back, and do not take one away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from cpi_experiments.evidence.effect_table import quarter_number
from cpi_experiments.evidence.portfolio_state import PortfolioState
from cpi_experiments.evidence.record import recall, recall_rows
from cpi_experiments.evidence.verdict import Design, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cpi_experiments.estimate import Link
    from cpi_experiments.evidence.case import Case
    from cpi_experiments.ledger.store import Ledger


def quarter_of(day: date, fiscal_year_start: int = 1) -> int:
    """Count the fiscal quarter of a day: year x 4 + quarter - 1.

    Examples
    --------
    >>> from datetime import date
    >>> quarter_of(date(2027, 1, 31), 4) == 4 * 2026 + 3  # the fourth quarter of fiscal 2026
    True
    """
    return (12 * day.year + day.month - fiscal_year_start) // 3


def quarter_name(quarter: int | None) -> str:
    """Name a quarter by its number; empty for none.

    Examples
    --------
    >>> quarter_name(4 * 2026 + 3), quarter_name(None)
    ('2026Q4', '')
    """
    return "" if quarter is None else f"{quarter // 4}Q{quarter % 4 + 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAt:
    """Evidence of a ledger at the end of a quarter, as it was looked at.

    Parameters
    ----------
    states : tuple of PortfolioState
        Judging steps of the ledger up to that quarter, oldest first.
    newest : tuple of Evidence
        The newest analysis of every link and experiment.
    superseded : mapping of row to Evidence
        What was looked at and has been analysed again since.
    quarter : int or None
        That is judged; without one everything is one look and nothing ages.
    as_of : date or None
        Its last day.
    fiscal_year_start : int
    """

    states: tuple[PortfolioState, ...]
    newest: tuple[Evidence, ...]
    superseded: Mapping[int, Evidence]
    quarter: int | None
    as_of: date | None
    fiscal_year_start: int

    def evidence(self, link: Link) -> tuple[Evidence, ...]:
        """Evidence of a link: what was looked at before with the numbers of then, unless it turned out broken."""
        found: list[Evidence] = []
        for newest in (e for e in self.newest if e.link == link):
            seq = self._row(newest)
            then = newest if seq is None or newest.blocked else self.superseded.get(seq, newest)
            found.append(_without_copies(then, found))
        return tuple(found)

    def closed(self, evidence: Evidence) -> int | None:
        """Quarter in which the last KPI window closed; None if it is not known or nothing ages."""
        if self.quarter is None or not evidence.ended:
            return None
        return quarter_of(date.fromisoformat(evidence.ended), self.fiscal_year_start)

    def look_of(self, evidence: Evidence) -> int | None:
        """Quarter in which an experiment was looked at first; None without quarters."""
        if self.quarter is None:
            return None
        closed = self.closed(evidence)
        own = self.quarter if closed is None else closed
        for state in self.states:
            judged = quarter_number(state.label)
            if self._counts(state, evidence):
                return judged if judged < own or closed is None else own
            if judged >= own:  # it came too late for its own quarter
                own = self.quarter
        return min(own, self.quarter)

    def why_left_out(self, evidence: Evidence) -> str:
        """Say that an experiment ended after the quarter that is judged; empty if it did not."""
        if self.as_of is not None and evidence.ended and date.fromisoformat(evidence.ended) > self.as_of:
            return f"it ended on {evidence.ended}, after the quarter that is judged"
        return ""

    def remark(self, evidence: Evidence) -> str:
        """Say that an experiment was analysed again, with other numbers, after it had been looked at."""
        newest = next(e for e in self.newest if (e.link, e.experiment, e.design) == _key(evidence))
        if newest.seq == evidence.seq or repr(newest.pair) == repr(evidence.pair):
            return ""
        return f"analysed again after its look (row {newest.seq}); the numbers of the look count (row {evidence.seq})"

    def steps(self, cases: Iterable[Case], start: int | None) -> tuple[int | None, ...]:
        """Quarters at which the portfolio is judged: those of all looks, the start of the horizon, and now."""
        if self.quarter is None:
            return (None,)
        looks = {trial.looked_at for case in cases for trial in case.known}
        return tuple(sorted(looks | {self.quarter} | ({start} if start is not None else set())))

    def placed(self, case: Case, steps: tuple[int | None, ...]) -> Case:
        """Count the looks of a case in steps instead of quarters."""
        at = {quarter: i for i, quarter in enumerate(steps)}
        return replace(case, trials=tuple(replace(t, looked_at=at.get(t.looked_at, 0)) for t in case.trials))

    def _row(self, evidence: Evidence) -> int | None:
        """Row with which an experiment was looked at first; None if it was not."""
        counting = (state for state in self.states if self._counts(state, evidence))
        state = next(counting, None)
        return None if state is None else state.counted[str(evidence.link)][evidence.experiment]

    def _counts(self, state: PortfolioState, evidence: Evidence) -> bool:
        randomized = evidence.design is Design.RANDOMIZED
        return randomized and evidence.experiment in state.counted.get(str(evidence.link), ())


def read_looks(
    ledger: Ledger,
    states: tuple[PortfolioState, ...],
    *,
    quarter: int | None,
    as_of: date | None,
    fiscal_year_start: int,
) -> LookedAt:
    """Read what a ledger holds, and what was looked at by a quarter."""
    upto = states if quarter is None else tuple(s for s in states if s.label and s.label <= quarter_name(quarter))
    newest = recall(ledger)
    looked = {seq for state in upto for rows in state.counted.values() for seq in rows.values()}
    return LookedAt(
        states=upto,
        newest=newest,
        superseded=recall_rows(ledger, looked - {e.seq for e in newest}),
        quarter=quarter,
        as_of=as_of,
        fiscal_year_start=fiscal_year_start,
    )


def _key(evidence: Evidence) -> tuple[Link, str, Design]:
    return evidence.link, evidence.experiment, evidence.design


def _without_copies(evidence: Evidence, before: list[Evidence]) -> Evidence:
    """Mark evidence from the very data of another experiment of the link: one set of customers counts once."""
    if evidence.design is not Design.RANDOMIZED or not evidence.data_digest or evidence.exploratory:
        return evidence
    twin = next((e for e in before if e.data_digest == evidence.data_digest and e.design is evidence.design), None)
    if twin is None:
        return evidence
    return replace(evidence, exploratory=f"its data are those of {twin.experiment}, under another name")
