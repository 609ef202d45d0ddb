"""Read a catalog from YAML files: every finding of every file at once, each with file, line and advice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpi_experiments.catalog.claimed_link import ClaimedLink
from cpi_experiments.catalog.draft import SECTIONS, Draft, Entry
from cpi_experiments.catalog.entities import CPI, KPI, Catalog, Lever, Team
from cpi_experiments.catalog.entity_reader import check_entity, clean_content, shown
from cpi_experiments.catalog.findings import CatalogFindingsError, raise_all
from cpi_experiments.catalog.issue import Issue
from cpi_experiments.catalog.known_kinds import find_kind
from cpi_experiments.catalog.project import SETTINGS_FILE, load_project
from cpi_experiments.catalog.resolve import resolve
from cpi_experiments.catalog.yaml_marks import Marked, Place, read_yaml
from cpi_experiments.errors import CatalogError, CpiError, nearest
from cpi_experiments.units import Increment, check_unit

if TYPE_CHECKING:
    from collections.abc import Iterator

_SLUG = re.compile(r"[a-z0-9_-]{1,64}")
_UNIT = re.compile(r"[A-Za-z_]{1,40}")
_ONE_LINE = ("label", "outcome", "because", "touchpoint", "override", "population")


def load_catalog(path: Path | str) -> Catalog:
    """Read the catalog of a project folder, of a folder of YAML files, or of one file.

    Parameters
    ----------
    path : Path or str
        A folder with ``cpi.yaml`` (its ``catalog`` folder is read), a folder of ``.yaml`` files, or one file. Sections
        may be split over files in any way.

    Returns
    -------
    Catalog
        With ``places`` filled: ``cpi:quote_hours`` -> ``catalog/cpis.yaml:3``, ``link:a -> b``, and every field, such
        as ``cpi:quote_hours.target``.

    Raises
    ------
    CatalogError
        With every finding: unreadable files, unknown keys, wrong types, unknown or doubled ids, unknown units,
        increments and sizes that are not above zero, expressions that are not allowed, definitions that go in circles.

    Examples
    --------
    >>> from cpi_experiments.catalog.starter_project import STARTER
    >>> print(load_catalog(STARTER).cpi("quote_hours").increment)
    1 hour
    """
    files, root, tables = _files(Path(path).absolute())
    findings: list[CpiError] = []
    read = [marked for file in files if (marked := _read(file, root, findings)) is not None]
    complete = not findings
    draft = Draft(units=tuple(sorted(set(_units(read, findings)))), tables=tables, complete=complete)
    remarks: list[Issue] = []
    for marked in read:
        _add_file(draft, marked, findings=findings, remarks=remarks)
    findings.extend(resolve(draft))
    raise_all(sorted(findings, key=lambda finding: _in_order(finding.where)))
    remarks.extend(_without_source(draft))
    return _catalog(draft, remarks)


def _files(path: Path) -> tuple[list[Path], Path, frozenset[str] | None]:
    """Return the files, the folder that messages start from, and the tables of the project."""
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        if path.name == SETTINGS_FILE:
            return _files(path.parent)
        return [path], path.parent, None
    if not path.is_dir():
        raise CatalogError(f"{str(path)!r} is neither a folder nor a file", advice="Make a project: `cpi init NAME`.")
    folder, tables = path, None
    if (path / SETTINGS_FILE).is_file():
        project = load_project(path)
        folder, tables = project.catalog_path, frozenset(project.sources)
    elif (path / "catalog").is_dir():
        folder = path / "catalog"
    files = sorted(
        file for file in folder.rglob("*.y*ml") if file.suffix in (".yaml", ".yml") and not file.name.startswith(".")
    )
    if not files:
        raise CatalogError(f"no .yaml file in {str(folder)!r}", advice="Make a project with `cpi init NAME`.")
    return files, path, tables


def _read(file: Path, root: Path, findings: list[CpiError]) -> Marked | None:
    try:
        marked = read_yaml(file, root=root)
    except CatalogError as error:
        findings.append(error)
        return None
    allowed = ["units", *SECTIONS]
    findings.extend(
        CatalogError(f"unknown section `{key}`", where=marked.where(key), advice=nearest(key, allowed))
        for key in marked.content
        if key not in allowed
    )
    return marked


def _items(marked: Marked, section: str, findings: list[CpiError]) -> list[Any]:
    items = marked.content.get(section)
    if items is None or isinstance(items, list):
        return items or []
    advice = "Begin each entry with `- `."
    findings.append(
        CatalogError(f"`{section}` is {shown(items)}, not a list", where=marked.where(section), advice=advice)
    )
    return []


def _units(read: list[Marked], findings: list[CpiError]) -> Iterator[str]:
    for marked in read:
        for number, unit in enumerate(_items(marked, "units", findings)):
            if isinstance(unit, str) and _UNIT.fullmatch(unit):
                yield unit
                continue
            found = f"unit {unit!r} is not a word" if isinstance(unit, str) else f"a unit is {shown(unit)}"
            findings.append(
                CatalogError(
                    found, where=marked.where("units", number), advice="Use letters and _, up to 40: `room_night`."
                )
            )


def _add_file(draft: Draft, marked: Marked, *, findings: list[CpiError], remarks: list[Issue]) -> None:
    for section in SECTIONS:
        for number, item in enumerate(_items(marked, section, findings)):
            place = (section, number)
            if isinstance(item, dict):
                _add_item(
                    draft, item, Entry(id="", name=section, entity=None, marked=marked, place=place), findings, remarks
                )
                continue
            found = f"entry {number + 1} of `{section}` is {shown(item)}; keys with values are needed"
            findings.append(CatalogError(found, where=marked.where(*place), advice="Write `- {id: ..., ...}`."))


def _add_item(
    draft: Draft, item: dict[str, Any], at: Entry[Any], findings: list[CpiError], remarks: list[Issue]
) -> None:
    kind, word, cls = SECTIONS[at.name]
    content, cleaned = clean_content(item)
    entity_id, name = _identity(content, kind, word, at)
    entry: Entry[Any] = Entry(id=entity_id, name=name, entity=None, marked=at.marked, place=at.place)
    found = [*_slug(content, kind, entry), *_prepare(content, draft.units, entry)]
    entity, misfits = check_entity(content, cls, marked=at.marked, place=at.place, name=name)
    findings.extend([*found, *misfits])
    remarks.extend(_cleaned(entry, place) for place in cleaned)
    earlier = draft.entries[kind].get(entity_id)
    if earlier is not None:
        findings.append(
            entry.refuse(
                f"stands twice, in {earlier.where()} and {entry.where()}", advice="Remove one or give it another id."
            )
        )
        return
    draft.entries[kind][entity_id] = Entry(id=entity_id, name=name, entity=entity, marked=at.marked, place=at.place)


def _identity(content: dict[str, Any], kind: str, word: str, at: Entry[Any]) -> tuple[str, str]:
    if kind == "link" and isinstance(content.get("cpi"), str) and isinstance(content.get("kpi"), str):
        entity_id = f"{content.get('cpi')} -> {content.get('kpi')}"
        return entity_id, f"link {entity_id!r}"
    written = content.get("id")
    if isinstance(written, str):
        return written, f"{word} {written!r}"
    return f"{word} of {at.where()}", f"the {word}"


def _slug(content: dict[str, Any], kind: str, entry: Entry[Any]) -> Iterator[CatalogError]:
    entity_id = content.get("id")
    if kind != "link" and isinstance(entity_id, str) and not _SLUG.fullmatch(entity_id):
        yield entry.refuse(
            "the id is not allowed", "id", advice="An id is 1 to 64 of a-z, 0-9, _ and -: [a-z0-9_-]{1,64}."
        )


def _prepare(content: dict[str, Any], units: tuple[str, ...], entry: Entry[Any]) -> Iterator[CatalogError]:
    """Bring content into the form of the dataclasses: one-line texts, canonical units, parsed increments."""
    for key in _ONE_LINE:
        if isinstance(content.get(key), str):
            content[key] = " ".join(content[key].split())
    yield from _known_indicator(content, entry)
    unit = content.get("unit")
    refused = False
    if isinstance(unit, str):
        try:
            content["unit"] = check_unit(unit, units)
        except CatalogError as error:
            refused = True
            yield entry.refuse(error.found, "unit", advice=error.advice)
    if "increment" in content:
        step = Increment(size=1.0, unit=str(content.get("unit")))  # stands in for a refused one: nothing is told twice
        try:
            written = Increment.parse(_quantity(content["increment"]), units)
            step = step if refused else written
        except CatalogError as error:
            yield entry.refuse(error.found, "increment", advice=error.advice)
        content["increment"] = {"size": step.size, "unit": step.unit}


def _known_indicator(content: dict[str, Any], entry: Entry[Any]) -> Iterator[CatalogError]:
    measure = content.get("measure")
    if not isinstance(measure, dict) or not isinstance(measure.get("indicator"), str) or not measure["indicator"]:
        return
    name = measure["indicator"]
    try:
        find_kind(name)
    except CatalogError as error:
        del measure["indicator"]  # so that nothing is told twice; `content` is a copy
        yield entry.refuse(f"`measure.indicator`: {error.found}", "measure", "indicator", advice=error.advice)


def _quantity(written: object) -> str:
    if isinstance(written, str):
        return written
    raise CatalogError(f"increment is {shown(written)}, not a number and a unit", advice='Write it like "1 hour".')


def _cleaned(entry: Entry[Any], place: Place) -> Issue:
    return Issue(
        rule="clean-text",
        severity="warning",
        where=entry.where(*place),
        message=f"{entry.name}: `{'.'.join(map(str, place))}` held invisible control or direction characters.",
        remedy="They were taken out; retype the text.",
    )


def _without_source(draft: Draft) -> Iterator[Issue]:
    if draft.tables is None:
        return
    for kind, cls in (("cpi", CPI), ("kpi", KPI)):
        for entry, indicator in draft.whole(kind, cls):
            table = indicator.measure.table  # type: ignore[attr-defined]  # both have a measure
            if table not in draft.tables:
                yield Issue(
                    rule="no-data",
                    severity="warning",
                    where=entry.where("measure", "table"),
                    message=f"{entry.name}: table {table!r} is not among the sources of {SETTINGS_FILE}.",
                    remedy=f"Add it under `sources:`. {nearest(table, sorted(draft.tables))}",
                )


def _catalog(draft: Draft, remarks: list[Issue]) -> Catalog:
    places: dict[str, str] = {}
    for kind, entries in draft.entries.items():
        for entry in entries.values():
            places[f"{kind}:{entry.id}"] = entry.where()
            places.update({f"{kind}:{entry.id}.{key}": entry.where(key) for key in _keys(entry)})
    return Catalog(
        cpis={entry.id: entity for entry, entity in draft.whole("cpi", CPI)},
        kpis={entry.id: entity for entry, entity in draft.whole("kpi", KPI)},
        teams={entry.id: entity for entry, entity in draft.whole("team", Team)},
        levers={entry.id: entity for entry, entity in draft.whole("lever", Lever)},
        links={claim.link: claim for _, claim in draft.whole("link", ClaimedLink)},
        units=draft.units,
        places=places,
        remarks=tuple(remarks),
    )


def _keys(entry: Entry[Any]) -> list[str]:
    section, number = entry.place
    return list(entry.marked.content[str(section)][number])


def _in_order(where: str) -> tuple[str, int]:
    file, _, line = where.rpartition(":")
    return (file, int(line)) if line.isdigit() else (where, 0)


__all__ = ["CatalogFindingsError", "load_catalog"]
