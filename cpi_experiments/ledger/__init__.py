"""An append-only ledger with a hash chain; it stores rows and knows no nouns of the toolkit."""

from cpi_experiments.ledger.chain import Finding, Head, Row
from cpi_experiments.ledger.export import check_export
from cpi_experiments.ledger.store import Ledger

__all__ = ["Finding", "Head", "Ledger", "Row", "check_export"]
