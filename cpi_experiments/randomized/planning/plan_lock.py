"""Locking analysis plans in the ledger, and what an analysis that does not follow its lock becomes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cpi_experiments.display import plain
from cpi_experiments.estimate import Diagnostic, from_plain
from cpi_experiments.hypotheses.registry import ANALYSE, LOOK
from cpi_experiments.randomized.planning.analysis_plan import AnalysisPlan, changes

if TYPE_CHECKING:
    from cpi_experiments.ledger.store import Ledger

LOCK = "lock"


def lock_plan(plan: AnalysisPlan, ledger: Ledger, *, who: str = "", amend: str = "") -> AnalysisPlan:
    """Freeze the analysis plan of an experiment in the ledger, before its data are looked at.

    A plan that is locked stays as it is: other content changes nothing unless a reason to amend it is given. An
    amendment after effects of the experiment were seen makes its evidence exploratory for good.

    Parameters
    ----------
    plan : AnalysisPlan
    ledger : Ledger
    who : str
    amend : str
        Why a locked plan is changed, in words.

    Returns
    -------
    AnalysisPlan
        The lock that holds, with its time and digest.

    Raises
    ------
    LedgerError
        If the ledger cannot be written.
    """
    digest, old = plan.content_digest(), locked_plans(ledger).get(plan.experiment)
    if old is not None and (old.digest == digest or not amend):
        return old
    seen = (row for action in (ANALYSE, LOOK) for row in ledger.rows(action=action))
    analysed = any(row.payload["experiment"] == plan.experiment for row in seen)
    after = (old.after_data or old.digest) if old is not None and analysed else ""
    if old is None and analysed:
        after = "no plan"
    reason = amend if old is not None else ""
    frozen = replace(plan, locked_at="", digest=digest, after_data=after, reason=reason, seq=0)
    supersedes = old.seq if old is not None else None
    row = ledger.append(LOCK, plan.experiment, plain(frozen), who=who, reason=reason, supersedes=supersedes)
    return replace(frozen, locked_at=row.at, seq=row.seq)


def locked_plans(ledger: Ledger) -> dict[str, AnalysisPlan]:
    """Return the newest lock of every experiment, in order of first lock."""
    found: dict[str, AnalysisPlan] = {}
    for row in ledger.rows(action=LOCK):
        found[row.subject] = replace(from_plain(AnalysisPlan, row.payload), locked_at=row.at, seq=row.seq)
    return found


def follows_lock(plan: AnalysisPlan, locked: AnalysisPlan | None) -> Diagnostic:
    """Say whether an analysis follows the plan that was locked for it.

    Returns
    -------
    Diagnostic
        It does not block; where it fails, the evidence is exploratory and ``advice`` says why.

    Examples
    --------
    >>> plan = AnalysisPlan(experiment="e1", lever="auto", control="manual", allocation={"manual": 1, "auto": 1},
    ...                     randomize="customer_id", table="assignments", start="2026-01-01", end="2026-02-01",
    ...                     links=("hours -> won",), sesoi={"hours -> won": 0.004})
    >>> follows_lock(plan, None).advice
    'The analysis plan of e1 was not locked before the analysis.'
    """
    advice = _why_not(plan, locked)
    return Diagnostic(
        name="analysis plan",
        null="the data were analysed as it was locked before they were looked at",
        passed=not advice,
        advice=advice,
    )


def _why_not(plan: AnalysisPlan, locked: AnalysisPlan | None) -> str:
    if locked is None:
        return f"The analysis plan of {plan.experiment} was not locked before the analysis."
    if locked.after_data:
        return (
            f"The analysis plan of {plan.experiment} was changed after its effects had been seen "
            f"({locked.after_data[:8]} became {locked.digest[:8]}): {locked.reason or 'first lock'}."
        )
    different = changes(locked, plan)
    if different:
        return f"Not as locked ({locked.digest[:8]}): {'; '.join(map(str, different))}."
    return ""
