"""Evidence in and out of the ledger: what counts, what is exploratory, and which analysis is the current one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cpi_experiments.display import plain
from cpi_experiments.estimate import from_plain
from cpi_experiments.evidence.verdict import Design, Evidence, Verdict
from cpi_experiments.hypotheses.registry import ANALYSE, LOOK, registrations

if TYPE_CHECKING:
    from collections.abc import Collection

    from cpi_experiments.hypotheses.registry import Registration
    from cpi_experiments.ledger.chain import Row
    from cpi_experiments.ledger.store import Ledger

VERDICT = "verdict"


def record(ledger: Ledger, evidence: Evidence, *, who: str = "") -> Evidence:
    """Append evidence to the ledger, marked exploratory if no registration covers it.

    An analysis of the same link and experiment (or of past data) supersedes the earlier one: it counts once.

    Parameters
    ----------
    ledger : Ledger
    evidence : Evidence
    who : str

    Returns
    -------
    Evidence
        With row number and time of the ledger.

    Raises
    ------
    LedgerError
        If the ledger cannot be written; nothing is recorded then.
    """
    registration = registrations(ledger).get(evidence.link)
    before = [row for row in ledger.rows(action=ANALYSE, subject=str(evidence.link)) if _key(row) == _of(evidence)]
    seen = _seen_before(registration, before) or _watched_before(ledger, registration, evidence)
    why = why_exploratory(registration, evidence) or seen or evidence.exploratory
    marked = replace(evidence, exploratory=why)
    row = ledger.append(
        ANALYSE,
        str(evidence.link),
        plain(marked),
        who=who,
        data_digest=evidence.data_digest,
        reason="analysed again" if before else "",
        supersedes=before[-1].seq if before else None,
    )
    return replace(marked, seq=row.seq, recorded_at=row.at, who=row.who)


def recall(ledger: Ledger) -> tuple[Evidence, ...]:
    """Return the current evidence: the newest analysis of every link and experiment, in ledger order."""
    newest: dict[tuple[str, str, str], Row] = {}
    for row in ledger.rows(action=ANALYSE):
        newest[row.subject, *_key(row)] = row
    return tuple(
        replace(from_plain(Evidence, row.payload), seq=row.seq, recorded_at=row.at, who=row.who)
        for row in newest.values()
    )


def record_verdicts(ledger: Ledger, verdicts: tuple[Verdict, ...], *, quarter: str, who: str = "") -> None:
    """Append the verdicts of a quarter that are new: recomputed at each look, they never overwrite each other."""
    last = {row.subject: row.payload for row in ledger.rows(action=VERDICT)}
    for verdict in verdicts:
        if last.get(str(verdict.link)) == plain({"quarter": quarter, **verdict.to_dict()}):
            continue
        ledger.append(VERDICT, str(verdict.link), {"quarter": quarter, **verdict.to_dict()}, who=who)


def earlier_verdicts(ledger: Ledger, *, before: str) -> dict[str, tuple[str, ...]]:
    """Return the history of every link: the newest verdict of each earlier quarter in a few words.

    Parameters
    ----------
    ledger : Ledger
    before : str
        Quarter that is judged now, such as ``2026Q4``; empty takes all.
    """
    found: dict[str, dict[str, str]] = {}
    for row in ledger.rows(action=VERDICT):
        quarter, said = row.payload["quarter"], row.payload
        mine = found.setdefault(row.subject, {})
        told_then = quarter >= max(mine, default="")  # an old quarter that is judged again does not rewrite history
        if told_then and (not before or quarter < before):
            grade = f", {said['grade']}" if said["grade"] else ""
            mine[quarter] = f"{quarter} {said['verdict']}{grade}"
    return {link: tuple(words for _, words in sorted(quarters.items())) for link, quarters in found.items()}


def recall_rows(ledger: Ledger, seqs: Collection[int]) -> dict[int, Evidence]:
    """Return the evidence of some rows of the ledger by their number, whatever superseded it since."""
    found: dict[int, Evidence] = {}
    for row in ledger.rows(action=ANALYSE) if seqs else ():
        if row.seq in seqs:
            evidence: Evidence = from_plain(Evidence, row.payload)
            found[row.seq] = replace(evidence, seq=row.seq, recorded_at=row.at, who=row.who)
    return found


def why_exploratory(registration: Registration | None, evidence: Evidence) -> str:
    """Say why evidence of a link does not count under its newest registration; empty if it does."""
    if registration is None:
        return "the link was not registered before the analysis"
    digest = registration.hypothesis.digest
    if registration.after_data:
        return (
            f"the registration was changed after data had been looked at ({registration.after_data[:8]} became "
            f"{digest[:8]})"
        )
    if evidence.hypothesis_digest != digest:
        return f"analysed under {evidence.hypothesis_digest[:8] or 'no registration'}, registered is {digest[:8]}"
    return ""


def _seen_before(registration: Registration | None, before: list[Row]) -> str:
    early = next((row for row in before if registration is not None and row.seq < registration.seq), None)
    return f"its data were analysed before the link was registered (row {early.seq})" if early else ""


def _watched_before(ledger: Ledger, registration: Registration | None, evidence: Evidence) -> str:
    """Say that effects of the experiment were looked at while it ran, before the link was registered."""
    if registration is None or not evidence.experiment:
        return ""
    looks = (row for row in ledger.rows(action=LOOK, subject=evidence.experiment) if row.seq < registration.seq)
    early = next((row for row in looks if row.payload["link"] == str(evidence.link)), None)
    return f"its effects were looked at before the link was registered (row {early.seq})" if early else ""


def _key(row: Row) -> tuple[str, str]:
    return row.payload["design"], row.payload["experiment"]


def _of(evidence: Evidence) -> tuple[str, str]:
    return Design(evidence.design).value, evidence.experiment
