"""What is true in the simulated insurer: one table of links and one of levers; data and stated truth both come from it.

The structural equations are linear: a KPI of a customer and billing cycle is its base, plus ``effect`` for each
increment by which the CPI *values that the customer experienced* are better than their reference, plus confounders.
A lever shifts the CPI of every customer who got it by the same number of increments, so the effect of the lever on
the KPI divided by its effect on the CPI equals ``effect`` exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from cpi_experiments.display import Displayed, Row
from cpi_experiments.estimate import Link

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cpi_experiments.catalog.entities import Catalog

#: Day of the year (0 = 1 January 2026) from which effects with a `later` value hold that value.
TURN_DAY: Final = 181  # 1 July


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTruth:
    """How one link really works, and what a careful judge may say about it.

    Parameters
    ----------
    link : str
        ``"cpi -> kpi"``.
    kind : str
        The case that the link stands for.
    effect : float
        KPI units per increment before `TURN_DAY`.
    later : float
        The same from `TURN_DAY` on; NaN if it stays.
    expected : tuple of str
        Acceptable verdict words.
    cause : str
        Usual cause of the verdict; empty when confirmed or when chance decides between causes.
    why : str
        One sentence for readers.
    """

    link: str
    kind: str
    effect: float
    expected: tuple[str, ...]
    why: str
    cause: str = ""
    later: float = math.nan

    @property
    def today(self) -> float:
        """Effect at the review quarter."""
        return self.effect if math.isnan(self.later) else self.later


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth(Displayed):
    """The truth about one link, as the demo, the tests and the calibration read it.

    Parameters
    ----------
    link : Link
    kind : str
        ``true``, ``trivial``, ``null``, ``harmful``, ``confounded``, ``dying``, ``bundle``, ``inert lever``,
        ``weak first stage``, ``true, too little data`` or ``past data only``.
    effect : float
        KPI units per increment at the review quarter.
    sesoi : float
        Smallest effect worth acting on, from the catalog.
    expected : tuple of str
        Acceptable verdict words.
    cause : str
        Usual cause; empty when confirmed or when chance decides between causes.
    why : str
    """

    link: Link
    kind: str
    effect: float
    sesoi: float
    expected: tuple[str, ...]
    cause: str
    why: str

    def _title(self) -> str:
        said = " or ".join(self.expected) + (f" ({self.cause})" if self.cause else "")
        return f"{self.link}: {self.kind}, {self.effect:+g} per increment; expect {said}. {self.why}"

    def _rows(self) -> list[Row]:
        return [
            {
                "link": str(self.link),
                "kind": self.kind,
                "effect": self.effect,
                "sesoi": self.sesoi,
                "expected": " ".join(self.expected),
                "cause": self.cause,
                "why": self.why,
            }
        ]


LINKS: Final = (
    LinkTruth(
        link="quote_hours -> win_rate",
        kind="true",
        effect=0.008,
        expected=("confirmed",),
        why="Two levers in two experiments moved the hours and the win rate together.",
    ),
    LinkTruth(
        link="plan_options -> purchases",
        kind="trivial",
        effect=0.02,
        expected=("refuted",),
        cause="no material effect",
        why="The effect exists, but it is a sixth of what would be worth acting on.",
    ),
    LinkTruth(
        link="first_time_resolution -> nps",
        kind="dying",
        effect=1.0,
        later=0.0,
        expected=("inconclusive",),
        cause="heterogeneous",
        why="It held until June; from July customers took a first-time solution for granted.",
    ),
    LinkTruth(
        link="nothing_broke -> refund_cost",
        kind="true",
        effect=-0.6,
        expected=("confirmed",),
        why="Each broken order costs about 60 EUR of refund; one lever, one experiment.",
    ),
    LinkTruth(
        link="nothing_broke -> purchases",
        kind="null",
        effect=0.0,
        expected=("refuted",),
        cause="no material effect",
        why="Whether an order broke has nothing to do with the next order.",
    ),
    LinkTruth(
        link="friends_seen -> purchases",
        kind="confounded",
        effect=0.0,
        expected=("refuted",),
        cause="no material effect",
        why="Engaged customers see more friends and buy more; showing friends to them sells nothing.",
    ),
    LinkTruth(
        link="value_shown -> renewal",
        kind="harmful",
        effect=-0.025,
        expected=("refuted",),
        cause="harmful",
        why="Showing the value in money reminds customers of what they pay.",
    ),
    LinkTruth(
        link="reply_minutes -> nps",
        kind="bundle",
        effect=0.0,
        expected=("inconclusive",),
        cause="bundle",
        why="The service redesign also solved more problems at first contact, and that did it.",
    ),
    LinkTruth(
        link="delivery_days -> purchases",
        kind="inert lever",
        effect=0.15,
        expected=("inconclusive",),
        cause="lever inert",
        why="The link is true, but the text message did not make any delivery faster.",
    ),
    LinkTruth(
        link="quote_hours -> spend",
        kind="weak first stage",
        effect=0.0,
        expected=("inconclusive",),
        why="The reminder mail moved the hours so little that nothing about size can be learned.",
    ),
    LinkTruth(
        link="reply_minutes -> renewal",
        kind="true, too little data",
        effect=0.008,
        expected=("inconclusive",),
        cause="underpowered",
        why="The link is true, but 300 customers cannot show it.",
    ),
    LinkTruth(
        link="value_shown -> nps",
        kind="past data only",
        effect=2.0,
        expected=("inconclusive",),
        cause="only past data",
        why="No experiment has tested it; past data alone never confirm.",
    ),
)

#: True moves of the levers, in increments of the CPI (+ = better for the customer).
LEVERS: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        "auto_quote": {"quote_hours": 12.0},
        "broker_portal": {"quote_hours": 12.0},
        "reminder_mail": {"quote_hours": 0.7},
        "plan_chooser": {"plan_options": 3.0},
        "knowledge_base": {"first_time_resolution": 30.0},
        "service_redesign": {"reply_minutes": 3.0, "first_time_resolution": 25.0},
        "chat_assist": {"reply_minutes": 3.0},
        "packing": {"nothing_broke": 9.0},
        "delivery_text": {},
        "social_feed": {"friends_seen": 4.0},
        "value_statement": {"value_shown": 5.0},
    }
)

#: Level of each CPI, in its own unit, at which KPIs take their base.
REFERENCE: Final[Mapping[str, float]] = MappingProxyType(
    {
        "quote_hours": 36.0,
        "plan_options": 3.0,
        "first_time_resolution": 0.60,
        "reply_minutes": 75.0,
        "nothing_broke": 0.88,
        "delivery_days": 4.0,
        "friends_seen": 6.0,
        "value_shown": 40.0,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The structural equations: what experienced CPI values do to a KPI.

    Parameters
    ----------
    divisors : mapping of CPI id to float
        Raw units per increment, signed; from the catalog.
    links : tuple of LinkTruth
    levers : mapping of lever id to {CPI id: increments}
    """

    divisors: Mapping[str, float]
    links: tuple[LinkTruth, ...] = LINKS
    levers: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: LEVERS)

    def kpi_shift(
        self, kpi: str, experienced: Mapping[str, NDArray[np.float64]], *, later: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Add up what experienced CPI values do to one KPI.

        Parameters
        ----------
        kpi : str
        experienced : mapping of CPI id to array (n,)
            Values in the CPI's own unit; `REFERENCE` where a customer experienced none.
        later : array of bool (n,)
            Whether it happened from `TURN_DAY` on.

        Returns
        -------
        array (n,)
            KPI units above the base.

        Examples
        --------
        >>> world = World(divisors={"quote_hours": -1.0})
        >>> float(world.kpi_shift("win_rate", {"quote_hours": np.array([26.0])}, later=np.array([False]))[0])
        0.08
        """
        total = np.zeros(later.shape)
        for truth in self.links:
            link = Link.parse(truth.link)
            if link.kpi_id == kpi and link.cpi_id in experienced:
                steps = (experienced[link.cpi_id] - REFERENCE[link.cpi_id]) / self.divisors[link.cpi_id]
                total += np.where(later, truth.today, truth.effect) * steps
        return total

    def lever_move(self, lever: str, cpi: str) -> float:
        """Raw units by which a lever shifts a CPI; 0 for a CPI that it leaves alone.

        Examples
        --------
        >>> World(divisors={"quote_hours": -1.0}).lever_move("auto_quote", "quote_hours")
        -12.0
        """
        steps = self.levers[lever].get(cpi, 0.0)
        return steps * self.divisors[cpi] if steps else 0.0


def truths(catalog: Catalog, links: tuple[LinkTruth, ...] = LINKS) -> tuple[Truth, ...]:
    """State the truth about every link, with the SESOI that the catalog declares.

    Parameters
    ----------
    catalog : Catalog
        Must hold every link.
    links : tuple of LinkTruth

    Raises
    ------
    CatalogError
        If a link is not in the catalog.
    """
    stated = []
    for known in links:
        link = Link.parse(known.link)
        stated.append(
            Truth(
                link=link,
                kind=known.kind,
                effect=known.today,
                sesoi=catalog.sesoi(link),
                expected=known.expected,
                cause=known.cause,
                why=known.why,
            )
        )
    return tuple(stated)
