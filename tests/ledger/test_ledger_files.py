"""Laws of what is no ledger: foreign files, other versions, and paths that lead elsewhere or nowhere."""

import os
import sqlite3

import numpy as np
import pytest

from cpi_experiments.errors import LedgerError
from cpi_experiments.ledger import Ledger, connection

POSIX = pytest.mark.skipif(os.name != "posix", reason="uses POSIX links")


# -- files that are something else -----------------------------------------------------------------------------------


def other_database(path):
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE entries (seq)")
    other.commit()
    other.close()


@pytest.mark.parametrize("mode", ["append", "read"])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda path: path.write_bytes(np.random.default_rng(1).bytes(5000)),
            "not a ledger: the file holds something else",
        ),
        (lambda path: path.write_bytes(b""), "not a ledger: the file is empty"),
        (lambda path: path.write_text("cpis:\n  - id: quote_hours\n"), "not a ledger: the file holds something else"),
        (lambda path: path.write_bytes(b"SQLite format 3\0"), "not a ledger"),
        (other_database, "not a ledger but another SQLite database"),
    ],
)
def test_a_file_that_is_no_ledger_is_left_as_it_is(path, make, said, mode):
    make(path)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    with pytest.raises(LedgerError, match=said) as caught:
        Ledger(path, mode=mode)
    assert caught.value.where == str(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", ["append", "read"])
def test_a_directory_is_no_ledger(tmp_path, mode):
    with pytest.raises(LedgerError, match="not a ledger but a folder"):
        Ledger(tmp_path, mode=mode)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["append", "read"])
@pytest.mark.parametrize(("version", "said"), [(2, "made by a newer version"), (0, "format 0 does not exist")])
def test_another_version_is_refused_without_a_write(filled, path, version, said, mode):
    by_hand = sqlite3.connect(path)
    by_hand.execute(f"PRAGMA user_version = {version}")
    by_hand.close()
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    with pytest.raises(LedgerError, match=said):
        Ledger(path, mode=mode)
    with pytest.raises(LedgerError, match=said):
        filled.append("note", "x", {})
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.parametrize("keep", [100, 4096, 6000])
def test_a_cut_file_is_an_error(filled, path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    try:
        said = str(Ledger(path).verify())
    except LedgerError as error:
        said = str(error)
    assert "damaged" in said or "does not match its hash" in said


def test_a_ledger_whose_rows_do_not_read_through_is_a_finding(filled, path):
    for i in range(40):
        filled.append("note", "x", {"text": f"{i}" * 3000})
    page = 4096 * 30
    path.write_bytes(path.read_bytes()[:page] + b"\xff" * 8192 + path.read_bytes()[page + 8192 :])
    assert filled.verify() != ()


# -- paths -----------------------------------------------------------------------------------------------------------


@POSIX
def test_a_symbolic_link_is_followed_and_shown(filled, path, tmp_path, tamper):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.sqlite"
    link.symlink_to(path)
    linked = Ledger(link)
    assert linked.path == path
    assert linked.append("note", "x", {}).seq == 7
    tamper(path, "DELETE FROM entries WHERE seq = 2")
    with pytest.raises(LedgerError) as caught:
        linked.append("note", "x", {})
    assert caught.value.where == f"{link} (that is {path})"
    assert list(link.parent.iterdir()) == [link]


@POSIX
def test_a_circle_of_links_is_an_error(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(LedgerError, match=r"no usable path|cannot be opened"):
        Ledger(tmp_path / "a")


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, None])
def test_a_name_that_no_disk_takes_is_an_error(tmp_path, name):
    with pytest.raises(LedgerError, match=r"no usable path|cannot be opened"):
        Ledger(name and tmp_path / name)


@pytest.mark.parametrize("mode", ["append", "read"])
def test_a_missing_folder_is_an_error_before_anything(tmp_path, mode):
    with pytest.raises(LedgerError, match="does not exist"):
        Ledger(tmp_path / "absent" / "ledger.sqlite", mode=mode)
    assert list(tmp_path.iterdir()) == []


def test_reading_never_makes_a_ledger(path):
    with pytest.raises(LedgerError, match="there is no ledger"):
        Ledger(path, mode="read")
    assert not path.exists()


def test_a_ledger_made_meanwhile_is_kept(filled, path):
    connection.create(path, where="here")
    assert filled.head().count == 6
    assert list(path.parent.iterdir()) == [path]


def test_a_disk_without_hard_links_is_an_error_that_leaves_nothing(path, monkeypatch):
    def refuse(*paths):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)  # no such disk can be made in a test
    with pytest.raises(LedgerError, match=r"cannot be created \(Operation not permitted\)"):
        Ledger(path)
    assert list(path.parent.iterdir()) == []


def test_an_odd_name_is_a_name(tmp_path):
    ledger = Ledger(tmp_path / "a?mode=ro#b %41 ü.sqlite")
    ledger.append("note", "x", {})
    assert Ledger(ledger.path, mode="read").head().count == 1
    assert list(tmp_path.iterdir()) == [ledger.path]


def test_a_reader_does_not_write_and_a_closed_ledger_does_nothing(filled, path):
    reader = Ledger(path, mode="read")
    with pytest.raises(LedgerError, match="opened for reading"):
        reader.append("note", "x", {})
    with reader:
        assert reader.head().count == 6
    with pytest.raises(LedgerError, match="was closed"):
        reader.head()
    path.unlink()
    with pytest.raises(LedgerError, match="the ledger is gone"):
        filled.append("note", "x", {})
    assert not path.exists()


def test_an_unknown_mode_is_an_error(path):
    with pytest.raises(LedgerError, match="mode 'w' does not exist"):
        Ledger(path, mode="w")
    assert not path.exists()
