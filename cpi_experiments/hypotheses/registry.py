"""Freezing hypotheses in the ledger before the data are looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cpi_experiments.display import plain
from cpi_experiments.estimate import Link, from_plain
from cpi_experiments.hypotheses.hypothesis import Hypothesis

if TYPE_CHECKING:
    from cpi_experiments.ledger.store import Ledger

REGISTER = "register"
ANALYSE = "analyse"
LOOK = "look"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A hypothesis as frozen, and whether data had been analysed under an earlier version of it.

    Parameters
    ----------
    hypothesis : Hypothesis
        With time and digest.
    after_data : str
        Digest of the version under which data were analysed before this one was registered; empty if none was.
    seq : int
        Row of the ledger.
    """

    hypothesis: Hypothesis
    after_data: str = ""
    seq: int = 0


def register(hypothesis: Hypothesis, ledger: Ledger, *, who: str = "", reason: str = "") -> Hypothesis:
    """Freeze a hypothesis in the ledger and return it with time and digest.

    Registering the same content again changes nothing. Other content is a new version; if data were analysed under
    the old one, everything analysed under the new one stays exploratory, and both digests are in the ledger.

    Parameters
    ----------
    hypothesis : Hypothesis
    ledger : Ledger
    who, reason : str

    Raises
    ------
    LedgerError
        If the ledger cannot be written.
    """
    digest = hypothesis.content_digest()
    old = registrations(ledger).get(hypothesis.link)
    if old is not None and old.hypothesis.digest == digest:
        return old.hypothesis
    analysed = old is not None and (
        bool(ledger.rows(action=ANALYSE, subject=str(hypothesis.link))) or _looked_at(ledger, hypothesis.link)
    )
    after_data = (old.after_data or old.hypothesis.digest) if old is not None and analysed else ""
    row = ledger.append(
        REGISTER,
        str(hypothesis.link),
        {"hypothesis": plain(replace(hypothesis, registered_at="", digest=digest)), "after_data": after_data},
        who=who,
        reason=reason or ("the claim changed" if old is not None else ""),
        supersedes=old.seq if old is not None else None,
    )
    return replace(hypothesis, registered_at=row.at, digest=digest)


def _looked_at(ledger: Ledger, link: Link) -> bool:
    """Whether an effect on a link was seen while an experiment ran."""
    return any(row.payload["link"] == str(link) for row in ledger.rows(action=LOOK))


def registrations(ledger: Ledger) -> dict[Link, Registration]:
    """Return the newest registration of every link, in order of first registration."""
    found: dict[Link, Registration] = {}
    for row in ledger.rows(action=REGISTER):
        hypothesis: Hypothesis = from_plain(Hypothesis, row.payload["hypothesis"])
        found[hypothesis.link] = Registration(
            hypothesis=replace(hypothesis, registered_at=row.at),
            after_data=row.payload["after_data"],
            seq=row.seq,
        )
    return found
