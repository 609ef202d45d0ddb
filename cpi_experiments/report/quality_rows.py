"""Can we trust the numbers: every check of the evidence, and every row that was not used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpi_experiments.display import p_text
from cpi_experiments.report.amounts import tidy
from cpi_experiments.report.sections import CheckRow, DroppedRow
from cpi_experiments.wording import review as wording

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.estimate import Diagnostic, Estimate, Link
    from cpi_experiments.evidence.verdict import Evidence


def _parts(item: Evidence) -> tuple[Estimate, ...]:
    return tuple(part for part in (item.estimate, item.first_stage, item.reduced_form) if part is not None)


def _source(item: Evidence, names: Mapping[Link, str]) -> str:
    return tidy(item.experiment) or f"past data, {names.get(item.link, tidy(str(item.link)))}"


def check_rows(evidence: Sequence[Evidence], names: Mapping[Link, str]) -> tuple[CheckRow, ...]:
    """List every check once, Blocked first, then Watch; sample ratios are always shown in the body.

    Parameters
    ----------
    evidence : sequence of Evidence
    names : mapping of Link to str
        Labels of the links of this review.
    """
    found: dict[str, tuple[str, Diagnostic, list[str]]] = {}
    loose: list[CheckRow] = []
    for item in evidence:
        where, link = _source(item, names), names.get(item.link, tidy(str(item.link)))
        # that past data are no proof is said where they are shown; it is no check
        checks = [check for part in _parts(item) for check in part.diagnostics if check.name != "past data"]
        for check in checks:
            entry = found.setdefault(f"{where}|{check.name}|{check.statistic}|{check.advice}", (where, check, []))
            if link not in entry[2]:
                entry[2].append(link)
        if item.blocked and not any(check.blocks and not check.passed for check in checks):
            loose.append(_blocked_row(where, tidy(item.blocked), link))
    rows = [*loose, *(_check_row(where, check, links) for where, check, links in found.values())]
    return tuple(sorted(rows, key=lambda row: (("Blocked", "Watch", "OK").index(row.state), row.where)))


def _blocked_row(where: str, reason: str, link: str) -> CheckRow:
    return CheckRow(
        where=where,
        name="evidence",
        state="Blocked",
        symbol=wording.SYMBOLS["Blocked"],
        note=f"{wording.readable(reason) or 'See the appendix'} (blocks {link})",
        detail=reason,
        p_text="",
        headline=True,
    )


def _check_row(where: str, check: Diagnostic, links: Sequence[str]) -> CheckRow:
    state = "OK" if check.passed else "Blocked" if check.blocks else "Watch"
    said = tidy(check.null if check.passed else check.advice or check.null)
    note = wording.readable(said) or "See the appendix"
    name = tidy(check.name)
    return CheckRow(
        where=where,
        name=wording.readable(name) or "a check of the appendix",
        state=state,
        symbol=wording.SYMBOLS[state],
        note=f"{note} (blocks {', '.join(links)})" if state == "Blocked" else note,
        detail=f"{name}: {said}",
        p_text="" if check.p_value != check.p_value else p_text(check.p_value),
        headline=state != "OK" or "sample ratio" in name.lower(),
    )


def dropped_rows(
    evidence: Sequence[Evidence], losses: Sequence[tuple[str, str, int]], names: Mapping[Link, str]
) -> tuple[DroppedRow, ...]:
    """List rows not used, by source: those lost while measuring, then those of each analysis, each reason once.

    ``losses`` are those of a panel: (indicator, reason, rows).
    Analyses of one source that drop the same rows for the same reason are counted once.
    """
    found: dict[str, dict[tuple[str, int], None]] = {}
    for where, reason, count in losses:
        if count:
            found.setdefault(f"measuring {tidy(where)}", {})[tidy(reason), int(count)] = None
    for item in evidence:
        lost = [(tidy(reason), int(count)) for part in _parts(item) for reason, count in part.dropped if count]
        if lost:
            found.setdefault(_source(item, names), {}).update(dict.fromkeys(lost))
    return tuple(
        DroppedRow(
            where=where,
            rows=sum(count for _, count in lost),
            reasons="; ".join(f"{reason}: {count:,}" for reason, count in lost),
        )
        for where, lost in found.items()
    )
