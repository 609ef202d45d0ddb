"""The verdicts in a terminal: plain text, columns that line up, long reasons folded."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from cpi_experiments.display import number, short
from cpi_experiments.report.amounts import tidy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cpi_experiments.report.sections import VerdictRow

_GAP = 2
_LEAST = 16
_ROOMY = 130  # narrower, each reason stands below its row
_MOST = {"link": 40, "one customer step": 34}


def verdict_table(verdicts: Sequence[VerdictRow], *, width: int = 100) -> str:
    """Lay the verdict table out in ``width`` columns.

    Examples
    --------
    >>> verdict_table(())
    '(no link has a verdict)'
    """
    if not verdicts:
        return "(no link has a verdict)"
    rows = [
        {
            "link": row.label,
            "one customer step": row.step,
            "verdict": row.verdict,
            "grade": row.grade or "-",
            "why": row.why,
        }
        for row in verdicts
    ]
    if width >= _ROOMY:
        return "\n".join(_grid(rows, folded=("why", "link", "one customer step"), width=width))
    table = [{name: text for name, text in row.items() if name != "why"} for row in rows]
    head, *blocks = _grid(table, folded=("one customer step", "link"), width=width)
    reasons = (["    " + line for line in _fold(_ascii(row["why"]), width - 4)] for row in rows)
    return "\n".join([head, *("\n".join([block, *why]) for block, why in zip(blocks, reasons, strict=True))])


def truth_table(verdicts: Sequence[VerdictRow], truth: Iterable[Mapping[str, Any]], *, width: int = 100) -> str:
    """Put each verdict beside the truth of a simulated company.

    Parameters
    ----------
    verdicts : sequence of VerdictRow
    truth : iterable of mapping
        Keys ``link`` ("cpi -> kpi"), ``kind`` (what was planted), ``effect`` (KPI units per customer step) and
        ``expected`` (a verdict word, or several).
    width : int

    Examples
    --------
    >>> print(truth_table((), [{"link": "a -> b", "kind": "true", "effect": 0.01, "expected": "confirmed"}]))
    link    planted  truth  found  verdict     agrees  cause
    a -> b  true     0.01   -      not judged  no      no verdict was given
    <BLANKLINE>
    0 of 1 verdicts agree with the truth.
    """
    by_link = {row.link: row for row in verdicts}
    rows = [_beside(item, by_link.get(str(item["link"]))) for item in truth]
    agreed = sum(row["agrees"] == "yes" for row in rows)
    if agreed == len(rows):  # the last line says it for all
        rows = [{name: text for name, text in row.items() if name not in ("agrees", "cause")} for row in rows]
    folded = [name for name in ("cause", "link", "planted") if rows and name in rows[0]]
    table = _grid(rows, folded=folded, width=width) if rows else ["(no truth)"]
    return "\n".join(table) + f"\n\n{agreed} of {len(rows)} verdicts agree with the truth."


def _beside(item: Mapping[str, Any], row: VerdictRow | None) -> dict[str, str]:
    expected = item["expected"]
    words = expected.replace(",", " ").split() if isinstance(expected, str) else [str(word) for word in expected]
    found = row.verdict if row else "not judged"
    agrees = found in words
    effect = float(item["effect"])
    return {
        "link": tidy(str(item["link"])),
        "planted": tidy(str(item["kind"])),
        "truth": number(effect * row.factor, row.digits, sign=True) if row else short(effect),
        "found": number(row.effect * row.factor, row.digits, sign=True) if row and row.effect == row.effect else "-",
        "verdict": found,
        "agrees": "yes" if agrees else "no",
        "cause": "" if agrees else _cause(row, words),
    }


def _cause(row: VerdictRow | None, words: Sequence[str]) -> str:
    if row is None:
        return "no verdict was given"
    return f"expected {' or '.join(words)}; {row.cause or row.why}"


def _grid(rows: Sequence[Mapping[str, str]], *, folded: Sequence[str], width: int) -> list[str]:
    """Lay out head and rows, each a block of lines.

    If they do not fit, the folded columns share what the others leave; the first of them takes the rest.
    """
    names = list(rows[0])
    shown = [{name: _ascii(row[name]) for name in names} for row in rows]
    widths = _widths(names, shown, folded=folded, width=width)
    blocks = [_line({name: name for name in names}, widths)]
    for row in shown:
        cells = {name: _fold(row[name], widths[name]) for name in names}
        tall = max(len(cell) for cell in cells.values())
        lines = [
            _line({name: cells[name][at] if at < len(cells[name]) else "" for name in names}, widths)
            for at in range(tall)
        ]
        blocks.append("\n".join(lines))
    return blocks


def _widths(
    names: Sequence[str], rows: Sequence[Mapping[str, str]], *, folded: Sequence[str], width: int
) -> dict[str, int]:
    widths = {name: max(_columns(text) for text in (name, *(row[name] for row in rows))) for name in names}
    room = width - _GAP * (len(names) - 1)
    if sum(widths.values()) <= room:
        return widths
    rest, *bounded = folded
    for name in bounded:
        widths[name] = min(widths[name], max(len(name), _MOST.get(name, _LEAST)))
    for name in reversed(bounded):
        over = sum(widths.values()) - widths[rest] + _LEAST - room
        widths[name] = max(len(name), min(_LEAST, widths[name]), widths[name] - max(over, 0))
    left = room - (sum(widths.values()) - widths[rest])
    widths[rest] = max(min(widths[rest], left), len(rest))
    return widths


def _line(cells: Mapping[str, str], widths: Mapping[str, int]) -> str:
    padded = (text + " " * (widths[name] - _columns(text)) for name, text in cells.items())
    return (" " * _GAP).join(padded).rstrip()


def _ascii(text: str) -> str:
    return text.replace("−", "-").replace("→", "->")


def _columns(text: str) -> int:
    """Columns of a terminal that a text takes: two for wide characters, none for marks that combine."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _fold(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        rest, joined = word, f"{lines[-1]} {word}" if lines[-1] else word
        if _columns(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        while _columns(rest) > width and len(rest) > 1:
            lines[-1], rest = _cut(rest, width)
            lines.append("")
        lines[-1] = rest
    return lines


def _cut(text: str, width: int) -> tuple[str, str]:
    """Split a word where its columns run out; at least one character goes to the front."""
    size = 1
    while size < len(text) - 1 and _columns(text[: size + 1]) <= width:
        size += 1
    return text[:size], text[size:]
