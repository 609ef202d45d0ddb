"""What the loader has read but not yet resolved: entities with the lines they stand in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from cpi_experiments.catalog.claimed_link import ClaimedLink
from cpi_experiments.catalog.entities import CPI, KPI, Lever, Team
from cpi_experiments.catalog.yaml_marks import Marked, Place
from cpi_experiments.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Section of a catalog file -> (kind in places, word in messages, dataclass).
SECTIONS: dict[str, tuple[str, str, type[Any]]] = {
    "cpis": ("cpi", "CPI", CPI),
    "kpis": ("kpi", "KPI", KPI),
    "teams": ("team", "team", Team),
    "levers": ("lever", "lever", Lever),
    "links": ("link", "link", ClaimedLink),
}

_Entity = TypeVar("_Entity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Generic[_Entity]):
    """One entity as read: its id, the entity (None if it did not fit), and where it stands.

    Parameters
    ----------
    id, name : str
        Id, and how messages call it: ``CPI 'quote_hours'``.
    entity : object or None
    marked : Marked
        The file.
    place : tuple
        Where in the file.
    """

    id: str
    name: str
    entity: _Entity | None
    marked: Marked
    place: Place

    def where(self, *keys: str | int) -> str:
        """Return ``file:line`` of a field of the entity."""
        return self.marked.where(*self.place, *keys)

    def refuse(self, found: str, *keys: str | int, advice: str = "") -> CatalogError:
        """Make a finding about a field of this entity."""
        return CatalogError(f"{self.name}: {found}", where=self.where(*keys), advice=advice)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """All entries by kind and id, the declared units, and the tables that exist.

    Parameters
    ----------
    entries : dict of kind to dict of id to Entry
    units : tuple of str
        Declared units of count.
    tables : frozenset of str or None
        Tables of the project's data sources; None if there is no project.
    complete : bool
        Whether every file and section could be read; if not, an unknown id proves nothing.
    """

    entries: dict[str, dict[str, Entry[Any]]] = field(
        default_factory=lambda: {key: {} for key, _, _ in SECTIONS.values()}
    )
    units: tuple[str, ...] = ()
    tables: frozenset[str] | None = None
    complete: bool = True

    def ids(self, kind: str) -> list[str]:
        """Every id of a kind, of broken entities too."""
        return list(self.entries[kind])

    def whole(self, kind: str, cls: type[_Entity]) -> Iterator[tuple[Entry[_Entity], _Entity]]:
        """Every entity of a kind that fits its dataclass, with its entry."""
        for entry in self.entries[kind].values():
            if isinstance(entry.entity, cls):
                yield cast("Entry[_Entity]", entry), entry.entity
