"""Contracts of a project: each stands beside the path of its source in ``cpi.yaml``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from cpi_experiments.catalog.contract import Contract, errors_of
from cpi_experiments.catalog.entity_reader import check_entity, shown
from cpi_experiments.errors import CatalogError, CpiError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cpi_experiments.catalog.yaml_marks import Marked


def read_contracts(content: dict[str, Any], marked: Marked) -> tuple[dict[str, Contract], list[CpiError]]:
    """Take the contracts out of the sources, which keep their paths.

    Parameters
    ----------
    content : dict
        Of ``cpi.yaml``; its ``sources`` become plain paths.
    marked : Marked
        Lines of the file.

    Returns
    -------
    contracts, findings
        By table; and everything that does not fit.
    """
    contracts: dict[str, Contract] = {}
    findings: list[CpiError] = []
    sources = content.get("sources")
    for table, entry in list(sources.items()) if isinstance(sources, dict) else ():
        if not isinstance(entry, dict):
            continue
        place = ("sources", table)
        promised = {key: value for key, value in entry.items() if key != "path"}
        contract, wrong = check_entity(promised, Contract, marked=marked, place=place, name=f"source {table!r}")
        findings += [*_path_errors(table, entry, marked), *wrong]
        if contract is not None:
            contracts[table] = contract
            findings += errors_of(contract, partial(marked.where, *place))
        path = entry.get("path")
        content["sources"] = {**content["sources"], table: path if isinstance(path, str) else ""}
    return contracts, findings


def _path_errors(table: str, entry: Mapping[str, Any], marked: Marked) -> list[CpiError]:
    if isinstance(entry.get("path"), str):
        return []
    found = f"`path` is {shown(entry['path'])}; a text is needed" if "path" in entry else "there is no `path`"
    where = marked.where("sources", table, "path")
    advice = f"Write `path: data/{table}.csv` beside the contract."
    return [CatalogError(f"source {table!r}: {found}", where=where, advice=advice)]


def lost_references(contracts: Mapping[str, Contract], sources: Iterable[str], marked: Marked) -> list[CpiError]:
    """Find references to tables that are no source."""
    known = list(sources)
    return [
        CatalogError(
            f"{other!r} is not a source",
            where=marked.where("sources", table, "references", column),
            advice=nearest(other, known),
        )
        for table, contract in contracts.items()
        for column, (other, _) in contract.foreign.items()
        if other not in known
    ]
