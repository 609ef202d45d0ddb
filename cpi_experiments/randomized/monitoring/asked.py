"""What a caller may ask of a running trial: outcomes, caps, which way is better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cpi_experiments.errors import DataError, DesignError, nearest
from cpi_experiments.randomized.effects.outcomes import Mean, Outcome, Ratio, as_outcome
from cpi_experiments.stats.student import ALTERNATIVES


def read_outcomes(
    outcomes: Any,  # noqa: ANN401 - one, several, or none
    cpi: str | None,
    kpi: str | None,
) -> list[Outcome]:
    """Read outcomes that sums can answer; the KPI of a link is one of them.

    Raises
    ------
    DesignError, DataError
        If there is none, a link lacks an end, or the rows themselves would be needed.

    Examples
    --------
    >>> read_outcomes("won", None, None), read_outcomes((), "hours", "won")
    ([Mean(column='won', cap=None)], [Mean(column='won', cap=None)])
    """
    if (cpi is None) != (kpi is None):
        raise DesignError("a link needs both `cpi` and `kpi`", advice='Such as cpi="quote_hours", kpi="won".')
    found: list[Outcome] = []
    single = isinstance(outcomes, str) or not isinstance(outcomes, Sequence)
    for each in map(as_outcome, [outcomes] if single else outcomes):
        if not isinstance(each, Mean | Ratio):
            raise DesignError(
                f"{each.name} cannot be monitored: sums do not answer it",
                advice="Monitor a mean, a proportion or a ratio; read quantiles and ranks once, at the planned end.",
            )
        found.append(each)
    if kpi is not None and Mean(kpi) not in found:
        found.append(Mean(kpi))
    if not found:
        raise DataError("no outcome is named", advice='Give outcomes=["won"], or cpi= and kpi= for a link.')
    if cpi is not None and cpi == kpi:
        raise DataError(f"column {cpi!r} is both CPI and KPI", advice="A link runs from one column to another.")
    return list(dict.fromkeys(found))


def read_caps(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Return the caps as numbers; one a column, as all looks come from one scan.

    Raises
    ------
    DesignError
        If a cap is a percentile, or a column has two.

    Examples
    --------
    >>> read_caps([Mean("revenue", cap=500)])
    {'revenue': 500.0}
    """
    caps: dict[str, float] = {}
    plain = {name for each in outcomes for name in each.columns if each.cap is None or name != each.capped}
    for each in outcomes:
        if each.cap is None:
            continue
        if isinstance(each.cap, str):
            raise DesignError(
                f"cap {each.cap!r} of {each.capped!r} would change from look to look",
                advice="Register the cap as a number, such as the percentile of last quarter.",
            )
        if each.capped in plain or caps.get(each.capped, each.cap) != each.cap:
            raise DesignError(
                f"column {each.capped!r} is asked for with and without its cap", advice="Name one of them."
            )
        caps[each.capped] = float(each.cap)
    return caps


def read_sides(better: str | Mapping[str, str], known: Sequence[str]) -> dict[str, str]:
    """Read which way every column is better.

    Raises
    ------
    DesignError
        If a side or a name is not known.

    Examples
    --------
    >>> read_sides({"complaints": "lower"}, ["won", "complaints"])
    {'complaints': 'lower'}
    """
    found = dict.fromkeys(known, better) if isinstance(better, str) else dict(better)
    for name, side in found.items():
        if side not in ("higher", "lower"):
            raise DesignError(f"better {side!r} is neither higher nor lower", where=f"column {name!r}")
        if name not in known:
            raise DesignError(f"better names {name!r}, which is not asked for", advice=nearest(name, list(known)))
    return found


def check_numbers(*, alpha: float, futility: float, alternative: str, increment: float) -> None:
    """Refuse numbers that no plan has.

    Raises
    ------
    DesignError
        Naming the number and what is allowed.
    """
    if not 0 < alpha < 0.5:
        raise DesignError(f"alpha {alpha:g} is not between 0 and 0.5", advice="Did you mean 0.05?")
    if not 0 <= futility < 1:
        raise DesignError(f"futility {futility:g} is not a chance", advice="Such as 0.1; 0 switches it off.")
    if alternative not in ALTERNATIVES:
        raise DesignError(f"alternative {alternative!r} is not known", advice=f"Known: {', '.join(ALTERNATIVES)}.")
    if not (math.isfinite(increment) and increment != 0):
        raise DesignError(
            f"increment {increment} is not a step", advice="Give raw CPI units, negative if lower is better."
        )
