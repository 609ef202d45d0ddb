"""A finding of the loader or of the catalog rules that does not stop the reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cpi_experiments.display import Displayed

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue(Displayed):
    """One finding of the catalog rules.

    Parameters
    ----------
    rule : str
        Short name of the rule.
    severity : {"error", "warning"}
    where : str
        ``file:line``; ``kind:id`` for catalogs made in Python.
    message, remedy : str
        What was found, and what to do.

    Examples
    --------
    >>> print(Issue(rule="cpi-without-link", severity="warning", where="catalog/cpis.yaml:3",
    ...             message="CPI 'a' has no link.", remedy="Claim one."))
    catalog/cpis.yaml:3  warning  CPI 'a' has no link. Claim one.
    """

    rule: str
    severity: Severity
    where: str
    message: str
    remedy: str

    def _title(self) -> str:
        return f"{self.where}  {self.severity:<7}  {self.message} {self.remedy}"

    def __str__(self) -> str:
        return self._title()  # one line a finding, however long: tools read it by line
