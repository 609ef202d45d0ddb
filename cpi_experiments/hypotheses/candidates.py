"""Every CPI x KPI pair that the catalog allows, as candidates for hypotheses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.catalog.entities import Catalog, Role
from cpi_experiments.display import Displayed, Row
from cpi_experiments.estimate import Link
from cpi_experiments.hypotheses.hypothesis import Hypothesis

if TYPE_CHECKING:
    from cpi_experiments.catalog.entities import Measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(Displayed):
    """A pair of CPI and KPI, and what is still missing before it can be registered.

    Parameters
    ----------
    link : Link
    claimed : bool
        Whether the catalog claims it, with sign and SESOI.
    levers : tuple of str
        Levers that could move the CPI in an experiment.
    missing : str
        What has to be added to the catalog before it can be registered; empty if nothing.
    """

    link: Link
    claimed: bool
    levers: tuple[str, ...]
    missing: str = ""

    def _rows(self) -> list[Row]:
        return [
            {
                "link": str(self.link),
                "claimed": self.claimed,
                "levers": ", ".join(self.levers),
                "missing": self.missing,
            }
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates(Displayed):
    """All candidates; the family size is their number, however few are registered later."""

    rows: tuple[Candidate, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def _title(self) -> str:
        claimed = sum(row.claimed for row in self.rows)
        return f"{len(self.rows)} pairs of CPI and KPI, {claimed} of them claimed."

    def _rows(self) -> list[Row]:
        return [line for row in self.rows for line in row._rows()]  # noqa: SLF001 - rows of the same family


def candidates(catalog: Catalog) -> Candidates:
    """Build every CPI x KPI pair that the catalog allows.

    Guardrail KPIs and pairs computed from the same columns of the same table (true by construction) are left out.

    Parameters
    ----------
    catalog : Catalog

    Returns
    -------
    Candidates
        Claimed links first, each group in catalog order.
    """
    pairs = []
    for cpi in catalog.cpis.values():
        levers = tuple(lever.id for lever in catalog.levers.values() if cpi.id in lever.moves)
        for kpi in catalog.kpis.values():
            link = Link(cpi_id=cpi.id, kpi_id=kpi.id)
            if kpi.role is Role.GUARDRAIL or _same(cpi.measure, kpi.measure):
                continue
            claimed = link in catalog.links
            missing = "" if claimed else "claim it under `links:` with because, expect and sesoi"
            if claimed and not levers:
                missing = "a lever that moves the CPI, to test it in an experiment"
            pairs.append(Candidate(link=link, claimed=claimed, levers=levers, missing=missing))
    return Candidates(rows=tuple(sorted(pairs, key=lambda pair: not pair.claimed)))


def hypothesis_of(catalog: Catalog, link: Link) -> Hypothesis:
    """Turn a claimed link into a hypothesis, ready to be registered.

    Raises
    ------
    CatalogError
        If the catalog does not claim the link.
    """
    claim = catalog.claimed(link)
    return Hypothesis(
        link=link,
        expected_sign=claim.expect.number,
        sesoi=catalog.sesoi(link),
        lag_days=claim.lag_days,
        population=claim.population,
        adjustment=claim.adjust_for,
        looks=catalog.looks(link),
    )


def _same(one: Measure, other: Measure) -> bool:
    return (one.table, one.value, one.where, one.aggregate) == (other.table, other.value, other.where, other.aggregate)
