"""A company with known truth: a whole project folder, from the catalog to the event tables.

Customers live in billing cycles of 28 days, each with a phase of its own. A customer is in one experiment at a time at
most and is assigned at the start of a cycle, so that the measurement window of 28 days is exactly that cycle. The lever
is on in that cycle only. Customers outside experiments contribute past data; experiments have the same size in every
company, so that the truth, and what a careful judge should say, do not depend on the size.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from cpi_experiments.catalog.load import load_catalog
from cpi_experiments.display import Displayed, Row
from cpi_experiments.errors import DataError, nearest
from cpi_experiments.measure.engines.write import ParquetWriter
from cpi_experiments.simulate import events
from cpi_experiments.simulate.population import (
    NEW_YEAR,
    YEAR_DAYS,
    Plan,
    Population,
    generator,
    make_assignments,
    make_customers,
    make_teams,
    populate,
    read_plans,
)
from cpi_experiments.simulate.truth import LINKS, LinkTruth, Truth, World, truths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.resources.abc import Traversable

    from cpi_experiments.simulate.events import Table

#: Customers of each size; a customer leaves about 107 event rows.
CUSTOMERS: Final = {"small": 12_000, "medium": 120_000, "large": 250_000}
CHUNK: Final = 8_000
TABLES: Final = (
    "customers",
    "teams",
    "quotes",
    "orders",
    "tickets",
    "survey_answers",
    "interactions",
    "assignments",
)
_ID_COLUMNS: Final = {
    "quotes": "quote_id",
    "orders": "order_id",
    "tickets": "ticket_id",
    "survey_answers": "answer_id",
    "interactions": "interaction_id",
}
#: Outcomes that are known only from a time on.
_KNOWN_AT: Final = {
    "quoted_at": ("has_error",),
    "decided_at": ("won",),
    "first_reply_at": ("solved_first",),
    "delivered_at": ("whole", "refund"),
}
YEAR_END: Final = YEAR_DAYS * events.DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Company(Displayed):
    """A simulated company on disk.

    Parameters
    ----------
    folder : Path
        The project folder.
    truth : tuple of Truth
        What is true about every link.
    rows : mapping of table to int
    """

    folder: Path
    truth: tuple[Truth, ...]
    rows: Mapping[str, int]

    def _title(self) -> str:
        total = sum(self.rows.values())
        return f"{len(self.truth)} links with known truth, {self.rows['customers']:,} customers, {total:,} rows"

    def _rows(self) -> list[Row]:
        return [
            {
                "link": str(truth.link),
                "kind": truth.kind,
                "effect": truth.effect,
                "sesoi": truth.sesoi,
                "expected": " or ".join(truth.expected),
                "cause": truth.cause,
            }
            for truth in self.truth
        ]


def simulate_company(
    folder: Path,
    *,
    size: Literal["small", "medium", "large"] = "small",
    seed: int = 2026,
    progress: Callable[[int, int], None] | None = None,
    links: tuple[LinkTruth, ...] = LINKS,
) -> Company:
    """Write a project folder of a company whose truth is known.

    Parameters
    ----------
    folder : Path
        New or empty.
    size : {"small", "medium", "large"}
        12,000, 120,000 or 250,000 customers (1.3, 13 or 27 million rows).
    seed : int
        The same size and seed give the same tables. With about one seed in ten the two trials of
        ``quote_hours -> win_rate`` differ by chance so much that a judge who asks p < .10 calls them heterogeneous.
    progress : callable, optional
        Called with (customers done, customers in all) after every chunk.
    links : tuple of LinkTruth
        How the links really work; other worlds of the same company.

    Returns
    -------
    Company

    Raises
    ------
    DataError
        If the folder is not empty, the size is not known, or an effect would push a probability outside (0, 1).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     company = simulate_company(Path(folder) / "insurer")
    >>> company.truth[0].kind, company.rows["customers"]
    ('true', 12000)
    """
    if size not in CUSTOMERS:
        raise DataError(f"size {size!r} is not known", advice=nearest(size, list(CUSTOMERS)))
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DataError(f"{str(folder)!r} is there already and not an empty folder", advice="Choose a new folder.")
    _copy_project(resources.files("cpi_experiments.simulate") / "insurer", folder)
    made = {"size": size, "seed": seed, "version": version("cpi-experiments")}
    (folder / "simulated.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    catalog = load_catalog(folder)
    world = World(divisors={cpi.id: cpi.divisor for cpi in catalog.cpis.values()}, links=links)
    plans = read_plans(folder)
    people = populate(plans, CUSTOMERS[size], rng=generator(seed, "population"))
    rows = _write_tables(folder / "data", _chunks(people, plans, world=world, seed=seed), progress=progress)
    return Company(folder=folder, truth=truths(catalog, links), rows=rows)


def _copy_project(source: Traversable, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if entry.is_dir():
            _copy_project(entry, target / entry.name)
        else:
            (target / entry.name).write_bytes(entry.read_bytes())


def _chunks(
    people: Population, plans: tuple[Plan, ...], *, world: World, seed: int
) -> Iterator[tuple[int, int, Mapping[str, Table]]]:
    """Yield (customers done, customers in all, tables) for each chunk of customers."""
    n = people.phase.size
    for chunk, begin in enumerate(range(0, n, CHUNK)):
        part = people.part(begin, begin + CHUNK)
        customers, visits = make_customers(part, plans, world=world, rng=generator(seed, "customers", chunk))
        tables = _events(visits, world, seed=seed, chunk=chunk)
        yield min(begin + CHUNK, n), n, {"customers": customers, **tables, "assignments": make_assignments(part, plans)}


def _events(visits: events.Visits, world: World, *, seed: int, chunk: int) -> Mapping[str, Table]:
    rng = {name: generator(seed, name, chunk) for name in (*TABLES, "renewals")}
    seen, friends, shown = events.make_interactions(rng["interactions"], visits)
    quotes, hours = events.make_quotes(rng["quotes"], visits, world=world)
    tickets, answers, minutes = events.make_tickets(rng["tickets"], visits, world=world, value_shown=shown)
    orders = events.make_orders(rng["orders"], visits, world=world, quote_hours=hours, friends_seen=friends)
    renewals = events.make_renewals(rng["renewals"], visits, world=world, value_shown=shown, reply_minutes=minutes)
    tables = {
        "quotes": quotes,
        "orders": orders,
        "tickets": tickets,
        "survey_answers": answers,
        "interactions": {name: np.concatenate([seen[name], renewals[name]]) for name in seen},
    }
    return {name: _numbered(_inside_year(table), _ID_COLUMNS[name], chunk=chunk) for name, table in tables.items()}


def _inside_year(table: Table) -> Table:
    """Keep what began in 2026; what had not happened by the end of the year is missing, as in a real export."""
    times = [name for name in table if name.endswith("at")]
    began, *later = times
    kept = (table[began] >= 0) & (table[began] < YEAR_END)
    found = {name: values[kept] for name, values in table.items()}
    for at in later:
        unknown = found[at] >= YEAR_END
        for name in (at, *_KNOWN_AT.get(at, ())):
            found[name] = np.ma.masked_array(found[name], mask=unknown)
    return found


def _numbered(table: Table, column: str, *, chunk: int) -> Table:
    """Put an id in front; ids of one chunk do not depend on the others."""
    n = next(iter(table.values())).size
    return {column: (chunk + 1) * 10_000_000 + np.arange(n), **table}


def _write_tables(
    folder: Path,
    chunks: Iterator[tuple[int, int, Mapping[str, Table]]],
    *,
    progress: Callable[[int, int], None] | None,
) -> Mapping[str, int]:
    with ExitStack() as stack:
        writers = {name: stack.enter_context(ParquetWriter(folder / f"{name}.parquet")) for name in TABLES}
        writers["teams"].append(make_teams())
        for done, n, tables in chunks:
            for name, table in tables.items():
                writers[name].append(_timed(table))
            if progress is not None:
                progress(done, n)
    return {name: writer.rows for name, writer in writers.items()}


def _timed(table: Table) -> Table:
    """Turn seconds of the year into times (UTC)."""
    return {
        name: NEW_YEAR + values.astype("timedelta64[s]") if name.endswith("at") else values
        for name, values in table.items()
    }
