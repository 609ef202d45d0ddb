"""Laws of the hash chain: hands in the rows are blocked, or found with the row's place."""

import sqlite3

import numpy as np
import pytest

from cpi_experiments.display import plain
from cpi_experiments.errors import LedgerError
from cpi_experiments.ledger import Head, Ledger
from cpi_experiments.ledger.chain import GENESIS, check_chain, seal


def problems(findings):
    return [(finding.seq, finding.problem) for finding in findings]


@pytest.mark.parametrize("column", ["at", "who", "payload", "reason", "seed", "versions", "data_digest", "action"])
def test_an_edited_row_is_found_in_every_column(filled, path, column, tamper):
    tamper(path, f"UPDATE entries SET {column} = coalesce({column}, '') || '1' WHERE seq = 3")
    assert (3, "content does not match its hash: changed after it was recorded") in problems(filled.verify())


def test_an_edited_row_with_a_new_hash_is_found_by_the_next(filled, path, tamper):
    row = sqlite3.connect(path)
    row.row_factory = sqlite3.Row
    record = dict(row.execute("SELECT * FROM entries WHERE seq = 3").fetchone(), payload='{"value":9}')
    row.close()
    change = f"payload = '{record['payload']}', hash = '{seal(record)}'"
    tamper(path, f"UPDATE entries SET {change} WHERE seq = 3")
    assert problems(filled.verify()) == [(4, "does not follow row 3: that row or this one was replaced")]


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM entries WHERE seq = 3", [(3, "row 3 is missing")]),
        ("DELETE FROM entries WHERE seq IN (1, 3, 4)", [(1, "row 1 is missing"), (3, "rows 3 to 4 are missing")]),
        ("UPDATE entries SET seq = -1 WHERE seq = 1", [(-1, "row -1 was put before the first row or twice")]),
        ("UPDATE entries SET payload = x'00ff' WHERE seq = 2", [(2, "content does not match its hash")]),
        ("UPDATE entries SET who = cast(x'ff41' AS TEXT) WHERE seq = 2", [(2, "content does not match its hash")]),
        ("UPDATE entries SET hash = 'x' WHERE seq = 6", [(6, "content does not match its hash")]),
    ],
)
def test_a_row_deleted_or_mangled_is_found_with_its_place(filled, path, statement, found, tamper):
    tamper(path, statement)
    findings = problems(filled.verify())
    assert all(any(seq == at and said.startswith(text) for at, said in findings) for seq, text in found), findings


def test_removed_last_rows_are_found_by_an_anchor_alone(filled, path, tamper):
    head = filled.head()
    tamper(path, "DELETE FROM entries WHERE seq > 4")
    assert filled.verify() == ()
    assert problems(filled.verify(anchor=head)) == [
        (5, "an earlier report saw 6 rows, the file ends at row 4: rows were removed")
    ]
    assert problems(filled.verify(anchor=Head(count=6, hash=head.hash[:8])))[0][0] == 5


def test_rewritten_last_rows_are_found_by_the_printed_head(filled, path, tamper):
    printed = Head(count=6, hash=filled.head().hash[:8])
    assert filled.verify(anchor=printed) == ()
    tamper(path, "DELETE FROM entries WHERE seq > 4")
    for i in range(3):
        filled.append("note", f"other {i}", {})
    assert filled.verify() == ()
    findings = filled.verify(anchor=printed)
    assert [finding.seq for finding in findings] == [6]
    assert str(findings[0]).startswith("row 6: an earlier report saw")


def test_removed_rows_cannot_be_exported_over_the_mirror(filled, path, tmp_path, tamper):
    filled.export_jsonl(tmp_path / "mirror.jsonl")
    tamper(path, "DELETE FROM entries WHERE seq > 4")
    with pytest.raises(LedgerError, match="not an earlier export"):
        filled.export_jsonl(tmp_path / "mirror.jsonl")


def test_nothing_is_chained_to_or_exported_from_a_damaged_ledger(filled, path, tmp_path, tamper):
    tamper(path, "UPDATE entries SET hash = 'x', payload = '{' WHERE seq = 6")
    reopened = Ledger(path)
    for attempt in (lambda: reopened.append("note", "x", {}), reopened.head):
        with pytest.raises(LedgerError, match="rows were changed or removed"):
            attempt()
    with pytest.raises(LedgerError, match="row 6 cannot be read"):
        reopened.rows()
    with pytest.raises(LedgerError, match="not exported: 1 finding"):
        reopened.export_jsonl(tmp_path / "mirror.jsonl")
    tamper(path, "UPDATE entries SET payload = '[]' WHERE seq = 6")
    with pytest.raises(LedgerError, match="row 6 cannot be read"):
        reopened.rows()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR REPLACE INTO entries SELECT * FROM entries WHERE seq = 3",
        "REPLACE INTO entries SELECT * FROM entries WHERE seq = 6",
        "UPDATE entries SET who = 'Eve' WHERE seq = 3",
        "UPDATE OR REPLACE entries SET seq = 4 WHERE seq = 3",
        "DELETE FROM entries",
        "INSERT INTO entries VALUES (9, '', '', '', '', '', '', '', '', NULL, NULL, '', '', '')",
    ],
)
@pytest.mark.parametrize("recursive", ["ON", "OFF"])
def test_rows_cannot_be_replaced_changed_or_removed_by_hand(filled, path, statement, recursive):
    by_hand = sqlite3.connect(path)
    by_hand.execute(f"PRAGMA recursive_triggers = {recursive}")
    with pytest.raises(sqlite3.IntegrityError, match="ledger"):
        by_hand.execute(statement)
    by_hand.close()
    assert filled.verify() == ()
    assert filled.head().count == 6


def test_dropped_rules_are_found(filled, path):
    by_hand = sqlite3.connect(path)
    by_hand.execute("DROP TRIGGER entries_no_delete")
    by_hand.close()
    assert problems(filled.verify()) == [(0, "the table or the rules that keep it append-only were changed")]
    assert str(filled.verify()[0]).startswith("file: the table")


def test_a_place_that_is_no_number_is_a_finding(filled):
    records = [{**plain(row), "seq": None} for row in filled.rows()]
    assert problems(check_chain(records))[0] == (1, "the place of a row is None, not a number")


def test_a_flipped_bit_is_found_or_changed_nothing(filled, path):
    whole, rows = path.read_bytes(), filled.rows()
    rng = np.random.default_rng(7)
    found = 0
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        clean = False
        try:
            ledger = Ledger(path, mode="read")
            clean = ledger.verify() == ()
            assert (ledger.rows() == rows) >= clean
        except LedgerError:
            assert not clean
        found += not clean
    assert found > 30


def test_a_damaged_table_definition_is_an_error_or_a_finding(filled, path):
    whole = path.read_bytes()
    for before, after in (
        (b"  supersedes INTEGER REF", b"  suPersedes INTEGER REF"),
        (b"  supersedes INTEGER REF", b"  superseded INTEGER REF"),
        (b"INTEGER PRIMARY KEY", b"INTEGES PRIMARY KEY"),
        (b"CREATE TABLE entries", b"CREATE TABLE \xffntries"),
    ):
        assert before in whole
        path.write_bytes(whole.replace(before, after))
        try:
            ledger = Ledger(path, mode="read")
            findings = ledger.verify()
            ledger.rows()
        except LedgerError as error:
            findings = (error,)
        assert findings
    path.write_bytes(whole)
    assert filled.verify() == ()


def test_genesis_is_no_hash_of_a_row(filled):
    assert filled.rows()[0].prev_hash == GENESIS
    assert GENESIS not in {row.hash for row in filled.rows()}
