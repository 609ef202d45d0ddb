"""The plans of a project: one experiment a file, checked against the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpi_experiments.catalog.entity_reader import read_entity
from cpi_experiments.catalog.expression import parse_filter
from cpi_experiments.catalog.resolve import read_date
from cpi_experiments.errors import CatalogError
from cpi_experiments.randomized.experiment import Experiment

if TYPE_CHECKING:
    from pathlib import Path

    from cpi_experiments.catalog.entities import Catalog


def read_plans(folder: Path, catalog: Catalog, *, root: Path) -> dict[str, Experiment]:
    """Read every plan of a folder.

    Returns
    -------
    dict of id to Experiment

    Raises
    ------
    CatalogError
        If a plan cannot be used, or its lever is not said to move the CPI that it tests; it names file and line.
    """
    plans: dict[str, Experiment] = {}
    for path in sorted(folder.glob("*.y*ml")):
        plan, _ = read_entity(path, Experiment, root=root)
        _check_plan(plan, catalog, path.name)
        plans[plan.id] = plan
    return plans


def _check_plan(plan: Experiment, catalog: Catalog, file: str) -> None:
    try:
        read_date(plan.start), read_date(plan.end)
        _check_links(plan, catalog)
    except CatalogError as error:
        raise CatalogError(error.found, where=f"experiments/{file}", advice=error.advice) from error


def _check_links(plan: Experiment, catalog: Catalog) -> None:
    for kpi in plan.guardrails:
        catalog.kpi(kpi)
    if plan.exclude:
        parse_filter(plan.exclude)
    lever = catalog.lever(plan.lever)
    for link in plan.links:
        catalog.claimed(link)
        if link.cpi_id not in lever.moves:
            raise CatalogError(
                f"lever {lever.id!r} is not said to move {link.cpi_id!r}",
                advice=f"It moves {', '.join(lever.moves) or 'nothing'}: add it under `moves:` or drop the hypothesis.",
            )
