"""What can go wrong, in one message: what was found and where, why it matters, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class CpiError(Exception):
    """Base of all errors that a user can cause and mend.

    Parameters
    ----------
    found : str
        What was found, with counts and names; one or two sentences.
    where : str, optional
        ``file:line``, a column or an option.
    advice : str, optional
        What is allowed and what to do next.

    Examples
    --------
    >>> print(DataError("column 'won' is missing", where="trial.csv", advice="Columns: arm, won_at."))
    trial.csv: column 'won' is missing.
      Columns: arm, won_at.
    """

    exit_code = 2

    def __init__(self, found: str, *, where: str = "", advice: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.where = where
        self.advice = advice

    def __str__(self) -> str:
        head = f"{self.where}: {self.found}" if self.where else self.found
        if not head.endswith((".", "?", "!")):
            head += "."
        return f"{head}\n  {self.advice}" if self.advice else head


class CatalogError(CpiError):
    """A catalog, plan or configuration file that cannot be used."""


class DataError(CpiError):
    """Rows or columns that cannot be analysed as they are."""


class DesignError(CpiError):
    """An experiment or a hypothesis that cannot be planned as described."""


class EstimationError(CpiError):
    """An estimate that does not exist for these data."""


class LedgerError(CpiError):
    """A ledger that cannot be opened, written or trusted."""


class ReportError(CpiError):
    """A report that cannot be written."""


class CpiWarning(UserWarning):
    """Something was set aside or adjusted; the result says so too."""


def kind_of(value: object) -> str:
    """Name the type of a value, with its article.

    Examples
    --------
    >>> kind_of([]), kind_of(3), kind_of(None)
    ('a list', 'an int', 'a NoneType')
    """
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIO' or name == 'ndarray' else 'a'} {name}"


def nearest(word: object, allowed: Iterable[object]) -> str:
    """Say which allowed word was probably meant, or list them all.

    Examples
    --------
    >>> nearest("tagret", ["target", "unit"])
    "Did you mean 'target'?"
    >>> nearest("colour", ["target", "unit"])
    'Known: target, unit.'
    >>> nearest(3, ["target", "unit"])  # whatever a file held
    'Known: target, unit.'
    """
    import difflib  # noqa: PLC0415 - only on the way to an error

    known = [str(each) for each in allowed]
    close = difflib.get_close_matches(str(word), known, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(sorted(known)) or 'none'}."
