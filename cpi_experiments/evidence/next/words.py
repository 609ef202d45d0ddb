"""Short texts of the ranking: amounts, chances, and names folded so that a table fits its width."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from cpi_experiments.display import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = 2
_LEAST = 12


def amount(value: float) -> str:
    """Write an amount in few characters.

    Examples
    --------
    >>> amount(1_234_567), amount(84_200), amount(950.4), amount(0.0123), amount(-2_500), amount(1e9)
    ('1.2M', '84k', '950', '0.012', '-2.5k', '1bn')
    """
    for size, mark in ((1e12, "tn"), (1e9, "bn"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * size:
            return _short(value / size) + mark
    return _short(value)


def _short(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 99.5 else f"{value:.0f}"


def chance(share: float) -> str:
    """Write a chance; none is certain.

    Examples
    --------
    >>> chance(0.314), chance(0.0004), chance(0.9999)
    ('31%', 'under 1%', 'over 99%')
    """
    if share < 0.01:
        return "under 1%"
    return "over 99%" if share > 0.99 else percent(share)


def _lines(text: str, width: int) -> list[str]:
    """Break a name, best before its arrow."""
    lines = textwrap.wrap(text.replace("-> ", "->\xa0"), width) or [""]
    return [line.replace("\xa0", " ") for line in lines]


def folded(rows: Sequence[dict[str, str]], names: tuple[str, str], *, width: int) -> list[dict[str, str]]:
    """Fold two columns of names into several lines each, so that a table fits a width.

    Examples
    --------
    >>> rows = [{"link": "quote_hours -> win_rate", "lever": "auto_quote", "n": "1,200"}]
    >>> for row in folded(rows, ("link", "lever"), width=34):
    ...     print(row)
    {'link': 'quote_hours', 'lever': 'auto_quote', 'n': '1,200'}
    {'link': '-> win_rate', 'lever': '', 'n': ''}
    """
    if not rows:
        return []
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    room = width - sum(size for name, size in widths.items() if name not in names) - _GAP * (len(widths) - 1)
    first, second = names
    narrow = min(widths[second], max(_LEAST, room - widths[first], room * 2 // 5))
    sizes = {first: max(room - narrow, _LEAST), second: narrow}
    lines = []
    for row in rows:
        parts = {name: _lines(row[name], sizes[name]) for name in names}
        for i in range(max(map(len, parts.values()))):
            line = dict.fromkeys(row, "") if i else dict(row)
            lines.append(line | {name: parts[name][i] if i < len(parts[name]) else "" for name in names})
    return lines
