"""Fixtures of the ledger's tests."""

import sqlite3

import pytest

from cpi_experiments.ledger import Ledger


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def filled(path):
    ledger = Ledger(path)
    for i in range(6):
        ledger.append("note", f"s{i}", {"value": i})
    return ledger


@pytest.fixture
def tamper():
    return change_by_hand


def change_by_hand(path, *statements):
    """Change the file behind the ledger's back, rules switched off."""
    by_hand = sqlite3.connect(path)
    rules = by_hand.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in rules:
        by_hand.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        by_hand.execute(statement)
    for _, sql in rules:
        by_hand.execute(sql)
    by_hand.commit()
    by_hand.close()
