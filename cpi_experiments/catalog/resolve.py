"""What must hold between entities before there is a catalog: ids, units, sizes, expressions, no circles."""

from __future__ import annotations

import re
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from cpi_experiments.catalog.claimed_link import ClaimedLink
from cpi_experiments.catalog.entities import CPI, KPI, Aggregate, Lever, Target
from cpi_experiments.catalog.expression import parse_expression, parse_filter
from cpi_experiments.catalog.kind_checks import kind_misfits
from cpi_experiments.errors import CatalogError, DesignError, nearest
from cpi_experiments.units import convert, known_units, parse_quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cpi_experiments.catalog.draft import Draft, Entry
    from cpi_experiments.catalog.entities import Measure

_CURRENCY = re.compile(r"[A-Z]{3}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SHARES = {"fraction": 1.0, "percent": 100.0, "pp": 100.0}
_MAX_LABEL = 200


def resolve(draft: Draft) -> list[CatalogError]:
    """Return every finding that needs more than one field or one entity to see."""
    return [finding for check in _CHECKS for finding in check(draft)]


def _indicators(draft: Draft) -> Iterator[tuple[Entry[Any], CPI | KPI]]:
    yield from draft.whole("cpi", CPI)
    yield from draft.whole("kpi", KPI)


def _both_cpi_and_kpi(draft: Draft) -> Iterator[CatalogError]:
    for cpi_id in sorted(set(draft.ids("cpi")) & set(draft.ids("kpi"))):
        here, there = draft.entries["kpi"][cpi_id], draft.entries["cpi"][cpi_id]
        yield here.refuse(
            f"the CPI of {there.where()} has the same id", "id", advice="Give every indicator an id of its own."
        )


def _labels(draft: Draft) -> Iterator[CatalogError]:
    for kind in ("cpi", "kpi", "team", "lever"):
        for entry in draft.entries[kind].values():
            label = getattr(entry.entity, "label", "")
            if len(label) > _MAX_LABEL:
                yield entry.refuse(
                    f"label has {len(label)} characters, more than {_MAX_LABEL}", "label", advice="Shorten it."
                )


def _increments(draft: Draft) -> Iterator[CatalogError]:
    for entry, cpi in draft.whole("cpi", CPI):
        yield from _attempt(entry, "increment", partial(getattr, cpi, "divisor"))


def _measures(draft: Draft) -> Iterator[CatalogError]:
    for entry, indicator in _indicators(draft):
        bad = [*_measure(entry, indicator.measure)]
        yield from bad
        if not bad:
            for path, found, advice in kind_misfits(indicator):
                yield entry.refuse(f"`{path}`: {found}", *path.split("."), advice=advice)


def _measure(entry: Entry[Any], measure: Measure) -> Iterator[CatalogError]:
    for column in ("table", "entity", "at"):
        if not getattr(measure, column).strip():
            yield entry.refuse(f"measure.{column} is empty", "measure", column, advice="Name a table or column.")
    yield from _attempt(entry, "measure.value", partial(parse_expression, measure.value))
    if measure.where:
        yield from _attempt(entry, "measure.where", partial(parse_filter, measure.where))
    yield from _attempt(entry, "measure.window", lambda: _above_zero(measure.window_days, measure.window))


def _attempt(entry: Entry[Any], path: str, action: Callable[[], object]) -> Iterator[CatalogError]:
    """Run one check; a refusal gains the line of the field."""
    try:
        action()
    except (CatalogError, DesignError) as error:
        yield entry.refuse(f"`{path}`: {error.found}", *path.split("."), advice=error.advice)


def _above_zero(size: float, text: str) -> None:
    if not size > 0:
        raise CatalogError(f"{text!r} is not above zero", advice="Give a size above zero.")


def _targets(draft: Draft) -> Iterator[CatalogError]:
    for entry, indicator in _indicators(draft):
        if indicator.target is not None:
            yield from _target(entry, indicator.target, indicator.unit, _bounds(indicator.measure))


def _bounds(measure: Measure) -> tuple[float, float] | None:
    """Return what a mean of this indicator can be; sums have no bounds."""
    kind = measure.kind
    return kind.bounds(measure.scale) if kind and measure.aggregate not in (Aggregate.SUM, Aggregate.COUNT) else None


def _target(entry: Entry[Any], target: Target, unit: str, bounds: tuple[float, float] | None) -> Iterator[CatalogError]:
    top = _SHARES.get(unit)
    for key in ("baseline", "value", "benchmark"):
        level = getattr(target, key)
        if top is not None and level is not None and not 0 <= level <= top:
            advice = f"Write a {unit} between 0 and {top:g}." + (
                f" Is {level:g} a percentage? Write {level / 100:g}." if unit == "fraction" and 1 < level <= 100 else ""
            )
            yield entry.refuse(f"target {key} {level:g} is outside [0, {top:g}]", "target", key, advice=advice)
        elif top is None and level is not None and bounds and not bounds[0] <= level <= bounds[1]:
            allowed = f"[{bounds[0]:g}, {bounds[1]:g}]"
            yield entry.refuse(
                f"target {key} {level:g} is outside {allowed}",
                "target",
                key,
                advice="Write a level that this indicator can have.",
            )
    for key, day in (("since", target.since), ("due", target.due)):
        if day:
            yield from _attempt(entry, f"target.{key}", partial(read_date, day))


def read_date(text: str) -> date:
    """Read an ISO date.

    Raises
    ------
    CatalogError
        If the text is not ``YYYY-MM-DD`` or not a day of the calendar.

    Examples
    --------
    >>> read_date("2027-06-30").year
    2027
    """
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        raise CatalogError(f"{text!r} is not a day of the calendar", advice="Write it like 2027-06-30.") from None
    raise CatalogError(f"{text!r} is not a date", advice="Write it like 2027-06-30.")


def _money(draft: Draft) -> Iterator[CatalogError]:
    for entry, kpi in draft.whole("kpi", KPI):
        if kpi.worth is not None and not _CURRENCY.fullmatch(kpi.worth.currency):
            yield entry.refuse(
                f"currency {kpi.worth.currency!r} is not three capital letters",
                "worth",
                "currency",
                advice="Write it like EUR or USD.",
            )


def _guardrails(draft: Draft) -> Iterator[CatalogError]:
    for entry, cpi in draft.whole("cpi", CPI):
        for number, kpi_id in enumerate(cpi.guardrails):
            yield from _known(draft, entry, "kpi", kpi_id, ("guardrails", number))


def _levers(draft: Draft) -> Iterator[CatalogError]:
    for entry, lever in draft.whole("lever", Lever):
        yield from _known(draft, entry, "team", lever.team, ("team",))
        for cpi_id in lever.moves:
            yield from _known(draft, entry, "cpi", cpi_id, ("moves", cpi_id))


def _links(draft: Draft) -> Iterator[CatalogError]:
    known = {*known_units(), *draft.units}  # another unit was refused already
    units = {kpi.id: kpi.unit for _, kpi in draft.whole("kpi", KPI) if kpi.unit in known}
    for entry, claim in draft.whole("link", ClaimedLink):
        yield from _known(draft, entry, "cpi", claim.cpi, ("cpi",))
        yield from _known(draft, entry, "kpi", claim.kpi, ("kpi",))
        yield from _attempt(entry, "lag", partial(getattr, claim, "lag_days"))
        if claim.kpi in units:
            yield from _attempt(entry, "sesoi", partial(_sesoi, claim, units[claim.kpi], draft.units))
            yield from _attempt(entry, "looks", partial(claim.looks_in, units[claim.kpi], draft.units))


def _sesoi(claim: ClaimedLink, unit: str, declared: tuple[str, ...]) -> None:
    size, written = parse_quantity(claim.sesoi, declared)
    _above_zero(size, claim.sesoi)
    try:
        convert(size, written, unit)
    except CatalogError:
        raise CatalogError(
            f"{claim.sesoi!r} cannot be counted in {unit!r}, the unit of KPI {claim.kpi!r}",
            advice="Write the size in a unit of the same kind.",
        ) from None


def _known(
    draft: Draft, entry: Entry[Any], kind: str, entity_id: str, keys: tuple[str | int, ...]
) -> Iterator[CatalogError]:
    if entity_id in draft.entries[kind] or not draft.complete:
        return
    word = kind.upper() if kind in ("cpi", "kpi") else kind
    other = {"cpi": "kpi", "kpi": "cpi"}.get(kind, kind)
    if other != kind and entity_id in draft.entries[other]:
        yield entry.refuse(f"{entity_id!r} is a {other.upper()}, not a {word}", *keys, advice="A link goes CPI -> KPI.")
        return
    yield entry.refuse(f"{word} {entity_id!r} is not in the catalog", *keys, advice=nearest(entity_id, draft.ids(kind)))


def _circles(draft: Draft) -> Iterator[CatalogError]:
    """Find indicators that read each other instead of events.

    An indicator reads an event table. If no table of the project has that name but an indicator has, it reads that one.
    """
    tables = draft.tables or frozenset()
    reads = {indicator.id: indicator.measure.table for _, indicator in _indicators(draft)}
    steps = {one: table for one, table in reads.items() if table in reads and table not in tables}
    reported: set[str] = set()
    for entry, indicator in _indicators(draft):
        path = [indicator.id]
        while path[-1] in steps and path[-1] not in path[:-1]:
            path.append(steps[path[-1]])
        if len(path) > 1 and path[-1] == path[0] and not reported.intersection(path):
            reported.update(path)
            yield entry.refuse(
                f"is defined by itself: {' -> '.join(path)}",
                "measure",
                "table",
                advice="`table` names an event table. If a table has this name, list it under `sources:` in cpi.yaml.",
            )


_CHECKS: tuple[Callable[[Draft], Iterator[CatalogError]], ...] = (
    _both_cpi_and_kpi,
    _labels,
    _increments,
    _measures,
    _targets,
    _money,
    _guardrails,
    _levers,
    _links,
    _circles,
)
