"""What a comparison compares: the mean of a column, or a ratio of two means, winsorised at a cap where one is named."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

from cpi_experiments.errors import DesignError
from cpi_experiments.randomized.effects.row_outcomes import Quantile, Rank, check_column

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Pair = tuple[str, str]
#: A number, or a percentile of all arms together such as "p99".
Cap = float | str
_PERCENTILE = re.compile(r"p\d{2}(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of a column over units: amounts, flags (a proportion) and counts (a rate per unit) alike.

    Parameters
    ----------
    column : str
    cap : float or str, optional
        Larger values count as this much (winsorised): a number, or ``"p99"``, the 99th percentile of all arms together.
        The estimand is then the mean of the capped values. Choose the cap before the results are seen.

    Raises
    ------
    DesignError
        If the cap is neither.

    Examples
    --------
    >>> Mean("won").name, Mean("revenue", cap=500).name
    ('won', 'revenue, at most 500')
    """

    column: str
    cap: Cap | None = None

    def __post_init__(self) -> None:
        check_column(self.column)
        _check_cap(self.cap, self.column)

    @property
    def name(self) -> str:
        """How the outcome is called in results."""
        return _capped_name(self.column, self.cap)

    @property
    def capped(self) -> str:
        """Column that the cap is for."""
        return self.column

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that must not be missing."""
        return (self.column,)


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio of two means over units, such as orders per visit.

    Parameters
    ----------
    numerator, denominator : str
    cap : float or str, optional
        Larger values of the numerator count as this much; see `Mean`.

    Raises
    ------
    DesignError
        If the cap is neither a number nor a percentile.

    Examples
    --------
    >>> Ratio("orders", "visits").name
    'orders / visits'
    """

    numerator: str
    denominator: str
    cap: Cap | None = None

    def __post_init__(self) -> None:
        check_column(self.numerator)
        check_column(self.denominator)
        _check_cap(self.cap, self.numerator)
        if self.cap is not None and self.numerator == self.denominator:
            raise DesignError(f"a ratio of {self.numerator!r} to itself has no cap", advice="Name two columns.")

    @property
    def name(self) -> str:
        """How the outcome is called in results."""
        return f"{_capped_name(self.numerator, self.cap)} / {self.denominator}"

    @property
    def capped(self) -> str:
        """Column that the cap is for."""
        return self.numerator

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that must not be missing."""
        return (self.numerator, self.denominator)


#: What sums can answer.
Outcome = Mean | Ratio
#: What a comparison can be asked for; quantiles and ranks need the rows.
AnyOutcome = Mean | Ratio | Quantile | Rank


def as_outcome(outcome: str | AnyOutcome) -> AnyOutcome:
    """Read a column name as the mean of that column.

    Raises
    ------
    DesignError
        If it is no outcome.

    Examples
    --------
    >>> as_outcome("won")
    Mean(column='won', cap=None)
    """
    if isinstance(outcome, str):
        return Mean(outcome)
    if not isinstance(outcome, AnyOutcome):
        raise DesignError(
            f"{outcome!r} is no outcome",
            advice='Give a column name, Mean("revenue", cap=500), Ratio("orders", "visits"), Quantile("hours", 0.9) or '
            'Rank("hours").',
        )
    return outcome


def _check_cap(cap: Cap | None, column: str) -> None:
    fine = (
        cap is None
        or (isinstance(cap, str) and _PERCENTILE.fullmatch(cap) is not None and float(cap[1:]) >= 50)
        or (not isinstance(cap, str | bool) and math.isfinite(cap))
    )
    if not fine:
        raise DesignError(
            f"cap {cap!r} of {column!r} is neither a number nor a percentile",
            advice='Such as 500, or "p99" for the 99th percentile of all arms together; from "p50" to below "p100".',
        )


def _capped_name(column: str, cap: Cap | None) -> str:
    if cap is None:
        return column
    return f"{column}, at most {cap if isinstance(cap, str) else f'{cap:,g}'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Outcomes that one scan can answer: every column is summed with one cap, or with none."""

    caps: dict[str, Cap]
    plain: set[str]
    outcomes: list[Outcome]

    def fits(self, outcome: Outcome) -> bool:
        """Whether the scan sums the outcome's columns as the outcome needs them."""
        caps = {} if outcome.cap is None else {outcome.capped: outcome.cap}
        free = all(name not in self.plain and self.caps.get(name, cap) == cap for name, cap in caps.items())
        return free and not any(name in self.caps for name in outcome.columns if name not in caps)

    def take(self, outcome: Outcome) -> None:
        """Add an outcome that fits."""
        if outcome.cap is not None:
            self.caps[outcome.capped] = outcome.cap
        self.plain.update(name for name in outcome.columns if name not in self.caps)
        self.outcomes.append(outcome)


def scans_of(outcomes: Iterable[Outcome]) -> list[Scan]:
    """Deal outcomes to as few scans as sum every column with one cap.

    Examples
    --------
    >>> [scan.caps for scan in scans_of([Mean("won"), Mean("revenue", cap=500)])]
    [{'revenue': 500}]
    >>> [scan.caps for scan in scans_of([Mean("revenue", cap=500), Mean("revenue"), Ratio("orders", "revenue")])]
    [{}, {'revenue': 500}]
    """
    scans: list[Scan] = []
    for outcome in sorted(outcomes, key=lambda each: each.cap is not None):
        scan = next((each for each in scans if each.fits(outcome)), None)
        if scan is None:
            scan = Scan(caps={}, plain=set(), outcomes=[])
            scans.append(scan)
        scan.take(outcome)
    return scans


def pairs_of_outcome(columns: Sequence[str], covariates: Sequence[str], *, clustered: bool) -> list[Pair]:
    """List the products of columns that one estimate needs.

    Variances of units need every product of the outcome's own columns; clusters need none of them, as their totals
    are enough. Covariates need their products with each other and with the outcome.

    Examples
    --------
    >>> pairs_of_outcome(["won"], ["before"], clustered=False)
    [('won', 'won'), ('won', 'before'), ('before', 'before')]
    >>> pairs_of_outcome(["orders", "visits"], [], clustered=True)
    []
    """
    own = [] if clustered else list(combinations_with_replacement(columns, 2))
    with_covariates = [(name, covariate) for name in columns for covariate in covariates]
    return [*own, *with_covariates, *combinations_with_replacement(covariates, 2)]


def all_pairs(outcomes: Iterable[Sequence[str]], covariates: Sequence[str], *, clustered: bool) -> list[Pair]:
    """List the products that several estimates need together, each once.

    Examples
    --------
    >>> all_pairs([["won"], ["hours", "won"]], [], clustered=False)
    [('won', 'won'), ('hours', 'hours'), ('hours', 'won')]
    """
    found: dict[frozenset[str], Pair] = {}
    for columns in outcomes:
        for pair in pairs_of_outcome(columns, covariates, clustered=clustered):
            found.setdefault(frozenset(pair), pair)
    return list(found.values())
