"""The nouns of the catalog. Plain frozen dataclasses; `cpi_experiments.catalog.load` reads them from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from cpi_experiments.catalog.claimed_link import ClaimedLink
from cpi_experiments.catalog.issue import Issue
from cpi_experiments.catalog.known_kinds import find_kind
from cpi_experiments.display import Displayed, Row
from cpi_experiments.errors import CatalogError, nearest
from cpi_experiments.estimate import Link
from cpi_experiments.units import Direction, Increment, convert, parse_quantity

if TYPE_CHECKING:
    from cpi_experiments.catalog.indicator_kinds import IndicatorKind

DEFAULT_WINDOW = "28 days"


class Benefit(StrEnum):
    """What the customer gains."""

    FUNCTIONAL = "functional"
    EMOTIONAL = "emotional"
    SOCIAL = "social"


class Function(StrEnum):
    """Business function that can change an outcome."""

    MARKETING = "marketing"
    SALES = "sales"
    PRODUCT = "product"
    CUSTOMER_SERVICE = "customer_service"
    OPERATIONS = "operations"
    FINANCE = "finance"


class DiscoveryMethod(StrEnum):
    """How a CPI was found; the last four are the classic mistakes."""

    CONTEXTUAL_INQUIRY = "contextual_inquiry"
    ETHNOGRAPHY = "ethnography"
    BORROWED = "borrowed"
    INTERNAL_OPINION = "internal_opinion"
    FOCUS_GROUP = "focus_group"
    SURVEY = "survey"

    @property
    def trusted(self) -> bool:
        """Whether customers were watched rather than asked or guessed about."""
        return self in (DiscoveryMethod.CONTEXTUAL_INQUIRY, DiscoveryMethod.ETHNOGRAPHY)


class Cadence(StrEnum):
    """How often a target is looked at."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    YEARLY = "yearly"
    CAMPAIGN = "campaign"


class Aggregate(StrEnum):
    """How events of one customer and period become one number."""

    MEAN = "mean"
    MEDIAN = "median"
    P90 = "p90"
    SUM = "sum"
    COUNT = "count"
    ANY = "any"
    MAX = "max"
    MIN = "min"


class Role(StrEnum):
    """Whether a KPI is to be moved or only to be protected."""

    GOAL = "goal"
    GUARDRAIL = "guardrail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """How, when and with what detail a CPI was found."""

    method: DiscoveryMethod
    when: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How an outcome is computed from events.

    Parameters
    ----------
    table, entity, at : str
        Event table, its column with the customer, its column with the time of the outcome.
    value : str
        Column or whitelisted expression, such as ``hours(requested_at, quoted_at)``.
    aggregate : Aggregate
        How the events of one customer and period become one number; that of the indicator, or the mean. ``p90`` is
        the 90% quantile, ``any`` is 1 if any event has a value other than zero, else 0.
    where : str
        Optional ``column = 'text'`` filter on the events.
    window : str
        How long after an assignment or a period start events count, such as ``28 days``.
    cap : float or None
        Values above are set to it, and counted.
    indicator : str
        Name of a built-in indicator that says what ``value`` is, such as ``nps``; see `KINDS`.
    scale : (low, high) or None
        Lowest and highest answer, where it is not the usual scale of the indicator.
    promise : str
        For ``share_within``: what was promised, such as ``24 hours``.
    top : int
        For ``csat_top_box``: how many of the highest answers count.
    """

    table: str
    entity: str
    at: str
    value: str
    aggregate: Aggregate = None  # type: ignore[assignment]  # told apart from a written one, then filled in
    where: str = ""
    window: str = ""
    cap: float | None = None
    indicator: str = ""
    scale: tuple[float, float] | None = None
    promise: str = ""
    top: int = 1

    def __post_init__(self) -> None:
        kind = self.kind
        chosen = self.aggregate or Aggregate(kind.aggregate if kind else "mean")
        object.__setattr__(self, "aggregate", chosen)
        object.__setattr__(self, "window", self.window or (kind.window if kind else DEFAULT_WINDOW))

    @property
    def kind(self) -> IndicatorKind | None:
        """The built-in indicator, None for a value of one's own."""
        return find_kind(self.indicator) if self.indicator else None

    @property
    def window_days(self) -> float:
        """Length of the window in days."""
        return convert(*parse_quantity(self.window), "day")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an outcome is, where it should be, by when, and how often it is looked at.

    ``since`` is the day on which the baseline stood; ``benchmark`` is a level from outside, such as an industry's, and
    ``benchmark_source`` says whose and of when.
    """

    baseline: float | None = None
    value: float | None = None
    due: str = ""
    since: str = ""
    cadence: Cadence | None = None
    benchmark: float | None = None
    benchmark_source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What one unit of a KPI is worth in money."""

    amount: float
    currency: str
    per: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CPI:
    """An outcome customers say matters to them, measurable in increments they value."""

    id: str
    label: str
    outcome: str
    unit: str
    better: Direction
    increment: Increment
    measure: Measure
    benefit: Benefit
    function: Function
    discovery: Discovery | None = None
    guardrails: tuple[str, ...] = ()
    touchpoint: str = ""
    target: Target | None = None
    override: str = ""

    @property
    def divisor(self) -> float:
        """Raw units per increment, signed so that + is better for the customer."""
        return self.increment.divisor(self.unit, self.better)

    @property
    def step(self) -> str:
        """One customer-valued step in words, such as ``hour faster``."""
        return self.increment.in_words(self.better)


@dataclass(frozen=True, slots=True, kw_only=True)
class KPI:
    """An outcome the company cares about; it keeps its own unit and sign."""

    id: str
    label: str
    unit: str
    better: Direction
    measure: Measure
    role: Role = Role.GOAL
    target: Target | None = None
    worth: Worth | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A team that can own a CPI."""

    id: str
    label: str
    function: Function


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """Something a team can change that should move a CPI.

    ``moves`` maps each CPI to the direction in which its raw value should go.
    """

    id: str
    label: str
    team: str
    moves: Mapping[str, Direction] = field(default_factory=dict)
    randomize: str = ""
    cost: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an event table lives: a CSV or Parquet file (or glob) relative to the project folder."""

    table: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog(Displayed):
    """Everything the company claims; the only object that resolves ids.

    Parameters
    ----------
    cpis, kpis, teams, levers : mapping from id
    links : mapping from Link to ClaimedLink
    units : tuple of str
        Declared units of count.
    places : mapping from ``kind:id`` to ``file:line``
        Where each entity was read; empty for catalogs made in Python. ``kind:id.field`` holds the line of a field.
    remarks : tuple of Issue
        What the loader mended and warns about; part of `lint`.
    """

    cpis: Mapping[str, CPI]
    kpis: Mapping[str, KPI]
    teams: Mapping[str, Team] = field(default_factory=dict)
    levers: Mapping[str, Lever] = field(default_factory=dict)
    links: Mapping[Link, ClaimedLink] = field(default_factory=dict)
    units: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[Issue, ...] = ()

    def cpi(self, cpi_id: str) -> CPI:
        """Return a CPI by id, or raise with the nearest ids."""
        return _get(self.cpis, cpi_id, "CPI")

    def kpi(self, kpi_id: str) -> KPI:
        """Return a KPI by id, or raise with the nearest ids."""
        return _get(self.kpis, kpi_id, "KPI")

    def team(self, team_id: str) -> Team:
        """Return a team by id, or raise with the nearest ids."""
        return _get(self.teams, team_id, "team")

    def lever(self, lever_id: str) -> Lever:
        """Return a lever by id, or raise with the nearest ids."""
        return _get(self.levers, lever_id, "lever")

    def claimed(self, link: Link) -> ClaimedLink:
        """Return the claim of a link, or raise with the nearest links."""
        return _get({str(key): value for key, value in self.links.items()}, str(link), "link")

    def sesoi(self, link: Link) -> float:
        """Smallest effect worth acting on, in KPI units per increment (a size, above zero)."""
        return convert(*parse_quantity(self.claimed(link).sesoi, self.units), self.kpi(link.kpi_id).unit)

    def looks(self, link: Link) -> str:
        """Write the declared looks of a link, a standard error counted in the KPI's own unit: ``capped 0.002``.

        Raises
        ------
        CatalogError, DesignError
            If the looks are not known or their standard error has no unit of the KPI.
        """
        return self.claimed(link).looks_in(self.kpi(link.kpi_id).unit, self.units)

    def lever_sign(self, lever_id: str, cpi_id: str) -> int:
        """+1 if the lever should move the CPI toward better for the customer, else -1."""
        moves = self.lever(lever_id).moves
        direction = _get(moves, cpi_id, f"CPI moved by lever {lever_id!r}")
        return 1 if direction is self.cpi(cpi_id).better else -1

    def lint(self) -> tuple[Issue, ...]:
        """Return every finding of the catalog rules, in order of place."""
        from cpi_experiments.catalog.rules import lint  # noqa: PLC0415 - the rules import the entities

        return lint(self)

    def _title(self) -> str:
        return f"{len(self.cpis)} CPIs, {len(self.kpis)} KPIs, {len(self.levers)} levers, {len(self.links)} links"

    def _rows(self) -> list[Row]:
        return [
            {
                "cpi": cpi.id,
                "outcome": cpi.outcome,
                "increment": str(cpi.increment),
                "better": cpi.better.value,
                "levers": ", ".join(lever.id for lever in self.levers.values() if cpi.id in lever.moves),
                "kpis": ", ".join(link.kpi_id for link in self.links if link.cpi_id == cpi.id),
            }
            for cpi in self.cpis.values()
        ]


_Entity = TypeVar("_Entity")


def _get(entities: Mapping[str, _Entity], entity_id: str, kind: str) -> _Entity:
    if entity_id in entities:
        return entities[entity_id]
    raise CatalogError(f"{kind} {entity_id!r} is not in the catalog", advice=nearest(entity_id, list(entities)))
