"""The project folder: `cpi.yaml`, where its data lie, and the quarters of its fiscal year."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from cpi_experiments.catalog.contract import Contract
from cpi_experiments.catalog.contract_reader import lost_references, read_contracts
from cpi_experiments.catalog.entity_reader import check_entity, clean_content
from cpi_experiments.catalog.findings import raise_all, require
from cpi_experiments.catalog.yaml_marks import Marked, read_yaml
from cpi_experiments.display import Displayed
from cpi_experiments.errors import CatalogError, CpiError, DataError, DesignError, nearest

SETTINGS_FILE: Final = "cpi.yaml"
DATA_FILES: Final = (".csv", ".csv.gz", ".parquet")

_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_WILD = re.compile(r"[*?\[]")
_PICKLES = (".pkl", ".pickle", ".joblib", ".p", ".dill", ".npy", ".npz")
_QUARTER = re.compile(r"(\d{4})-?Q([1-4])")
_LATE: Final = ("planned", "reactive")
_NO_KEYS: Final = {
    "root": "The root is the folder itself.",
    "contracts": "Say it under the table: `sources: {quotes: {path: ..., key: [...]}}`.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project(Displayed):
    """The settings of a project folder; every path in it is relative to that folder.

    Parameters
    ----------
    root : Path
        The folder.
    name : str
        Short name, a-z, 0-9, _ and -.
    time_zone : str
        Zone in which days and quarters are cut, such as ``Europe/Berlin``.
    fiscal_year_start : int
        First month of the fiscal year, 1 to 12.
    currency : str
        Three capital letters.
    fdr : float
        Share of confirmed links that may be false, between 0 and 1.
    slots : int or None
        Places in the portfolio for eight quarters; the links at their start and a fifth more where it is not said.
    late_links : str
        Why links are added later: ``planned`` (for reasons unrelated to the evidence) or ``reactive`` (because of it,
        which asks more of every link).
    sources : mapping of table to path
        CSV or Parquet files, or patterns such as ``data/quotes_*.parquet``.
    contracts : mapping of table to Contract
        What the rows of a source must look like, where that is said.
    catalog, experiments, ledger, reports : str
        Where these lie.
    """

    root: Path
    name: str
    time_zone: str = "UTC"
    fiscal_year_start: int = 1
    currency: str = "EUR"
    fdr: float = 0.10
    slots: int | None = None
    late_links: str = "planned"
    sources: Mapping[str, str] = field(default_factory=dict)
    contracts: Mapping[str, Contract] = field(default_factory=dict)
    catalog: str = "catalog"
    experiments: str = "experiments"
    ledger: str = "ledger.sqlite"
    reports: str = "reports"

    @property
    def catalog_path(self) -> Path:
        """Folder of the catalog files."""
        return self.root / self.catalog

    @property
    def experiments_path(self) -> Path:
        """Folder of the experiment plans."""
        return self.root / self.experiments

    @property
    def ledger_path(self) -> Path:
        """File of the ledger."""
        return self.root / self.ledger

    @property
    def moments_path(self) -> Path:
        """Folder of the moments of analysed trials, beside the ledger."""
        return self.ledger_path.parent / "moments"

    @property
    def reports_path(self) -> Path:
        """Folder of the reports."""
        return self.root / self.reports

    def source_files(self, table: str) -> tuple[Path, ...]:
        """Return the files of a table, sorted; links are followed and must stay inside the project folder.

        Raises
        ------
        DataError
            If the table is not a source, or no file is there.
        CatalogError
            If a file lies outside the project folder.
        """
        if table not in self.sources:
            raise DataError(
                f"table {table!r} is not a source", where=SETTINGS_FILE, advice=nearest(table, list(self.sources))
            )
        pattern = self.sources[table]
        files = tuple(file for file in _matches(self.root, pattern) if file.is_file())
        if not files:
            raise DataError(
                f"source {table!r} has no file: {pattern!r} is not in the project folder",
                where=SETTINGS_FILE,
                advice="Put the file there, or change the path under `sources:`.",
            )
        for file in files:
            _check_inside(self.root, file, f"source {table!r}")
        return files

    def quarter(self, text: str) -> Quarter:
        """Read a quarter of this project's fiscal year."""
        return Quarter.parse(str(text), fiscal_year_start=self.fiscal_year_start)

    def _title(self) -> str:
        return f"{self.name}: {len(self.sources)} sources, {self.time_zone}, {self.currency}, FDR {self.fdr:g}"


def load_project(folder: Path | str) -> Project:
    """Read ``cpi.yaml`` of a project folder.

    Parameters
    ----------
    folder : Path or str
        The folder; paths in the file are relative to it, never to the working directory.

    Raises
    ------
    CatalogError
        If the file is missing or holds an unknown key, zone, currency or rate, or a source that is remote, not a CSV or
        Parquet file, or outside the folder.

    Examples
    --------
    >>> from cpi_experiments.catalog.starter_project import STARTER
    >>> load_project(STARTER).quarter("2026Q4").start
    datetime.date(2026, 10, 1)
    """
    root = Path(folder).absolute()
    if not (root / SETTINGS_FILE).is_file():
        raise CatalogError(
            f"{str(folder)!r} is not a project folder: it has no {SETTINGS_FILE}",
            advice="Go to the folder of your project, or make one with `cpi init NAME`.",
        )
    marked = read_yaml(root / SETTINGS_FILE, root=root)
    content, _ = clean_content(marked.content)
    for key, advice in _NO_KEYS.items():
        if key in content:
            raise CatalogError(f"unknown key `{key}`", where=marked.where(key), advice=advice)
    contracts, wrong = read_contracts(content, marked)
    project, findings = check_entity(
        {**content, "root": str(root)}, Project, marked=marked, place=(), name="the project"
    )
    project = replace(require(project, [*findings, *wrong]), contracts=contracts)
    raise_all(
        [
            *_check_settings(project, marked),
            *_check_paths(project, marked),
            *lost_references(project.contracts, project.sources, marked),
        ]
    )
    return project


def _check_settings(project: Project, marked: Marked) -> list[CpiError]:
    checks = (
        ("name", _NAME.fullmatch(project.name), "is not a short name", "Use 1 to 64 of a-z, 0-9, _ and -."),
        ("time_zone", _zone_exists(project.time_zone), "is not a time zone", _zone_advice(project.time_zone)),
        ("fiscal_year_start", 1 <= project.fiscal_year_start <= 12, "is not a month", "Write 1 for January to 12."),
        ("currency", re.fullmatch("[A-Z]{3}", project.currency), "is not three capital letters", "Write EUR or USD."),
        ("fdr", 0 < project.fdr < 1, "is not between 0 and 1", _rate_advice(project.fdr)),
        ("slots", project.slots is None or project.slots >= 1, "is not a number of places", "Write 1 or more."),
        ("late_links", project.late_links in _LATE, "is not known", "Write planned or reactive."),
    )
    return [
        CatalogError(f"`{key}: {getattr(project, key)}` {found}", where=marked.where(key), advice=advice)
        for key, good, found, advice in checks
        if not good
    ]


def _zone_exists(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _zone_advice(name: str) -> str:
    hint = "" if _zone_exists(name) else nearest(name, sorted(available_timezones()))
    return f"{hint} " * hint.startswith("Did") + "Write it like UTC or Europe/Berlin."


def _rate_advice(rate: float) -> str:
    likely = rate / 100 if 1 <= rate < 100 else 0.1
    return f"Did you mean {likely:g}?"


def _check_paths(project: Project, marked: Marked) -> list[CpiError]:
    findings: list[CpiError] = []
    paths = [((key,), getattr(project, key)) for key in ("catalog", "experiments", "ledger", "reports")]
    for place, path in [*paths, *((("sources", table), path) for table, path in project.sources.items())]:
        try:
            _check_path(project.root, path, ".".join(place))
            if place[0] == "sources":
                _check_source(project.root, place[1], path)
        except CatalogError as error:
            error.where = marked.where(*place, "path")  # its own line where the source has a contract as well
            findings.append(error)
    return findings


def _check_path(root: Path, path: str, name: str) -> None:
    if _SCHEME.match(path) or path.startswith("//"):
        scheme = re.split("[:/]", path)[0]  # never the rest: it may hold a password
        raise CatalogError(
            f"`{name}` is a remote or absolute address ({scheme}:...)",
            advice="Only files inside the project folder are read: copy the data there.",
        )
    if not path.strip() or Path(path).is_absolute():
        raise CatalogError(
            f"`{name}: {path}` is empty or absolute", advice="Write a path relative to the project folder."
        )
    fixed = _WILD.split(path)[0]
    _check_inside(root, root / fixed, f"`{name}: {path}`")
    if ".." in Path(path).parts:
        raise CatalogError(f"`{name}: {path}` holds `..`", advice="Write the path without it.")


def _check_source(root: Path, table: str, path: str) -> None:
    if not _TABLE.fullmatch(table):
        raise CatalogError(f"table name {table!r} is not allowed", advice="Use letters, digits and _, up to 64.")
    if path.lower().endswith(_PICKLES):
        raise CatalogError(
            f"`{table}: {path}` is a pickle or array file, which could run code when it is read",
            advice=f"Save the data as one of {', '.join(DATA_FILES)}.",
        )
    if not path.lower().endswith(DATA_FILES):
        raise CatalogError(
            f"`{table}: {path}` is of an unsupported kind", advice=f"Supported: {', '.join(DATA_FILES)}."
        )
    for file in _matches(root, path):
        _check_inside(root, file, f"`{table}: {path}`")


def _matches(root: Path, pattern: str) -> list[Path]:
    if not _WILD.search(pattern):
        return [root / pattern]
    if any("**" in part and part != "**" for part in Path(pattern).parts):  # newer Pythons would read it as `*`
        raise CatalogError(f"{pattern!r} is not a file pattern", advice="Use * and ? in names.")
    try:
        return sorted(root.glob(pattern))
    except ValueError as error:
        raise CatalogError(f"{pattern!r} is not a file pattern ({error})", advice="Use * and ? in names.") from None


def _check_inside(root: Path, path: Path, name: str) -> None:
    try:
        real = path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links; Python 3.13 leaves it as it is
        raise CatalogError(f"{name} is no usable path ({error})", advice="Name a file in the project.") from None
    if not real.is_relative_to(root.resolve()):
        raise CatalogError(
            f"{name} leads outside the project folder, to {str(real)!r}",
            advice="Only files inside the project folder are read: copy the data there.",
        )


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Quarter:
    """A quarter of a fiscal year, named after the calendar year in which that fiscal year starts.

    Parameters
    ----------
    year, number : int
        Fiscal year and quarter, 1 to 4.
    fiscal_year_start : int
        First month of the fiscal year.

    Raises
    ------
    DesignError
        If there is no such quarter.

    Examples
    --------
    >>> quarter = Quarter.parse("2026Q4", fiscal_year_start=4)
    >>> str(quarter), quarter.start.isoformat(), quarter.end.isoformat(), str(quarter.previous)
    ('2026Q4', '2027-01-01', '2027-04-01', '2026Q3')
    """

    year: int
    number: int
    fiscal_year_start: int = 1

    def __post_init__(self) -> None:
        if not (1 <= self.number <= 4 and 1 <= self.fiscal_year_start <= 12 and 1 <= self.year <= 9997):
            raise DesignError(
                f"quarter {self.number} of {self.year} with a fiscal year from month {self.fiscal_year_start}",
                advice="Quarters are 1 to 4 and months 1 to 12.",
            )

    @classmethod
    def parse(cls, text: str, *, fiscal_year_start: int = 1) -> Quarter:
        """Read ``2026Q4``.

        Raises
        ------
        DesignError
            If the text is not a year and a quarter from Q1 to Q4.
        """
        match = _QUARTER.fullmatch(text.strip().upper())
        if match is None or not 1 < int(match.group(1)) < 9998:
            raise DesignError(f"{text!r} is not a quarter", advice="Write a year and Q1 to Q4, such as 2026Q4.")
        return cls(year=int(match.group(1)), number=int(match.group(2)), fiscal_year_start=fiscal_year_start)

    @classmethod
    def of(cls, day: date, *, fiscal_year_start: int = 1) -> Quarter:
        """Return the quarter that holds a day.

        Examples
        --------
        >>> str(Quarter.of(date(2027, 3, 31), fiscal_year_start=4))
        '2026Q4'
        """
        months = day.year * 12 + day.month - fiscal_year_start
        return cls(year=months // 12, number=months % 12 // 3 + 1, fiscal_year_start=fiscal_year_start)

    def __str__(self) -> str:
        return f"{self.year}Q{self.number}"

    @property
    def start(self) -> date:
        """First day."""
        return self._first_day(self.number - 1)

    @property
    def end(self) -> date:
        """First day after the quarter."""
        return self._first_day(self.number)

    @property
    def last(self) -> date:
        """Last day."""
        return self.end - timedelta(days=1)

    @property
    def previous(self) -> Quarter:
        """The quarter before."""
        year, number = (self.year, self.number - 1) if self.number > 1 else (self.year - 1, 4)
        return Quarter(year=year, number=number, fiscal_year_start=self.fiscal_year_start)

    def _first_day(self, quarters: int) -> date:
        months = self.year * 12 + self.fiscal_year_start - 1 + 3 * quarters
        return date(months // 12, months % 12 + 1, 1)
