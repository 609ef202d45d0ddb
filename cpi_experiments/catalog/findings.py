"""Many findings, one error: a file is read to its end before anything is said about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from cpi_experiments.errors import CatalogError, CpiError

if TYPE_CHECKING:
    from collections.abc import Sequence

_Entity = TypeVar("_Entity")


class CatalogFindingsError(CatalogError):
    """Several findings at once.

    Parameters
    ----------
    findings : sequence of CpiError
        Each with its own place, text and advice.

    Examples
    --------
    >>> first = CatalogError("no unit", where="a.yaml:3")
    >>> print(CatalogFindingsError([first, CatalogError("no id", where="b.yaml:9")]))
    2 errors:
      a.yaml:3: no unit.
      b.yaml:9: no id.
    """

    def __init__(self, findings: Sequence[CpiError]) -> None:
        self.findings = tuple(findings)
        lines = [line for finding in findings for line in str(finding).splitlines()]
        super().__init__(f"{len(findings)} errors", advice="\n  ".join(lines))

    def __str__(self) -> str:
        return f"{self.found}:\n  {self.advice}"


def require(entity: _Entity | None, findings: Sequence[CpiError]) -> _Entity:
    """Return what was read, or raise every finding; there are findings exactly if there is no entity."""
    raise_all(findings)
    return cast("_Entity", entity)


def raise_all(findings: Sequence[CpiError]) -> None:
    """Raise nothing, the one finding, or all of them together.

    Raises
    ------
    CatalogError
        If there is any finding.

    Examples
    --------
    >>> raise_all([])
    """
    if len(findings) == 1:
        raise findings[0]
    if findings:
        raise CatalogFindingsError(findings)
