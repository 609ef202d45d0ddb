"""What the look at a table found: findings that name columns and counts, never a customer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from cpi_experiments.display import Displayed, percent
from cpi_experiments.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.display import Row

Severity = Literal["error", "warning", "info"]
#: In the form of `measure.events.Loss`: column, reason, rows.
Loss = tuple[str, str, int]

_ORDER: Final = {"error": 0, "warning": 1, "info": 2}
_MOST_ERRORS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Displayed):
    """One finding about one table.

    Parameters
    ----------
    rule : str
        Short name of the rule, such as ``future-rows``.
    severity : {"error", "warning", "info"}
        An error stops; a warning stands beside every result; an info is for whoever knows the data.
    table, column : str
        Where; the column is empty for whole rows, and names several with commas.
    rows, of : int
        Rows that the finding is about, and rows that were looked at.
    found, advice : str
        What was found, and what to do. They never hold a text of the table unless the contract calls its column public.
    reason : str
        Why rows are set aside; empty if they are kept.
    set_aside : int
        Rows that are set aside for this reason and for no earlier one.

    Examples
    --------
    >>> print(Finding(rule="future-rows", severity="warning", table="orders", column="bought_at", rows=3, of=1000,
    ...               found="3 of 1,000 rows lie after 2026-03-31", advice="They are set aside."))
    warning  orders.bought_at: 3 of 1,000 rows lie after 2026-03-31. They are set
    aside.
    """

    rule: str
    severity: Severity
    table: str
    column: str = ""
    rows: int = 0
    of: int = 0
    found: str
    advice: str
    reason: str = ""
    set_aside: int = 0

    @property
    def share(self) -> float:
        """Rows in all rows, between 0 and 1."""
        return self.rows / self.of if self.of else 0.0

    @property
    def where(self) -> str:
        """Table and column."""
        return f"{self.table}.{self.column}" if self.column else self.table

    def _title(self) -> str:
        return f"{self.severity:<7}  {self.where}: {self.found}. {self.advice}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenRule:
    """One way in which a row can be wrong.

    Parameters
    ----------
    rule, column : str
        As in `Finding`.
    condition : str
        SQL that is true for the rows.
    reason : str
        A few words for losses and the quarantine; never a value.
    limit : float
        Largest share of rows.
    found : str
        Completes "3 of 100 rows ...".
    advice : str
        What to do.
    """

    rule: str
    column: str
    condition: str
    reason: str
    limit: float
    found: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport(Displayed):
    """Everything found about one table, the worst first.

    Parameters
    ----------
    table : str
    rows : int
        Rows of the table.
    findings : tuple of Finding

    Examples
    --------
    >>> report = QualityReport(table="orders", rows=10, findings=())
    >>> report.passed, str(report)
    (True, 'orders: 10 rows, nothing found')
    """

    table: str
    rows: int
    findings: tuple[Finding, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no finding is an error."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that stop."""
        return tuple(each for each in self.findings if each.severity == "error")

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Rows that are set aside, each under its first reason: (column, reason, rows), as panels carry them."""
        return tuple((e.column or e.table, e.reason, e.set_aside) for e in self.findings if e.set_aside)

    @property
    def alarms(self) -> tuple[str, ...]:
        """Errors and warnings as sentences for a review."""
        return tuple(f"{e.where}: {e.found}. {e.advice}" for e in self.findings if e.severity != "info")

    def named(self, rule: str) -> tuple[Finding, ...]:
        """Return the findings of one rule."""
        return tuple(each for each in self.findings if each.rule == rule)

    def raise_if_bad(self) -> None:
        """Raise every error together.

        Raises
        ------
        DataError
            If there is an error.
        """
        errors = self.errors
        if len(errors) == 1:
            raise DataError(errors[0].found, where=errors[0].where, advice=errors[0].advice)
        if errors:
            lines = [f"{each.where}: {each.found}. {each.advice}" for each in errors[:_MOST_ERRORS]]
            more = [f"... {len(errors) - _MOST_ERRORS} more"] if len(errors) > _MOST_ERRORS else []
            found = f"{len(errors)} rules of the table are broken by more rows than allowed"
            raise DataError(found, where=self.table, advice="\n  ".join([*lines, *more]))

    def _title(self) -> str:
        counts = {word: sum(each.severity == word for each in self.findings) for word in _ORDER}
        words = {"error": "errors", "warning": "warnings", "info": "notes"}
        told = [f"{n} {words[word]}" if n != 1 else f"1 {words[word][:-1]}" for word, n in counts.items() if n]
        return f"{self.table}: {self.rows:,} rows, {', '.join(told) or 'nothing found'}"

    def _rows(self) -> list[Row]:
        return [
            {
                "severity": each.severity,
                "rule": each.rule,
                "column": each.column,
                "rows": each.rows,
                "share": each.share,
                "found": each.found,
                "advice": each.advice,
            }
            for each in self.findings
        ]

    def __str__(self) -> str:
        return "\n".join([self._title(), *(str(each) for each in self.findings)])


def worst_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Order findings: errors, warnings, notes; inside, as they were found."""
    return tuple(sorted(findings, key=lambda each: _ORDER[each.severity]))


def share_text(rows: int, of: int) -> str:
    """Write a count with its share.

    Examples
    --------
    >>> share_text(3, 1000), share_text(1, 10**6)
    ('3 of 1,000 rows (0.3%)', '1 of 1,000,000 rows (< 0.1%)')
    """
    share = rows / of if of else 0.0
    text = "< 0.1%" if 0 < share < 0.0005 else percent(share, 1)
    return f"{rows:,} of {of:,} rows ({text})"
