"""Laws of a healthy ledger: what is recorded comes back, in one order, hashed in one way."""

import json
import math
import sqlite3
import threading
import time
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_experiments.display import plain
from cpi_experiments.errors import LedgerError
from cpi_experiments.ledger import Head, Ledger, check_export, store
from cpi_experiments.ledger.chain import GENESIS, canonical

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
CONTENT = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)


def normal(content):
    if isinstance(content, str):
        return unicodedata.normalize("NFC", content)
    if isinstance(content, list):
        return [normal(item) for item in content]
    if isinstance(content, dict):
        return {normal(key): normal(value) for key, value in content.items()}
    return content


def has_twins(content):
    if isinstance(content, list):
        return any(map(has_twins, content))
    if isinstance(content, dict):
        return len({normal(key) for key in content}) < len(content) or any(map(has_twins, content.values()))
    return False


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path):
    with Ledger(path) as opened:
        yield opened


def test_every_column_comes_back_as_recorded(ledger, path):
    first = ledger.append("register", "a -> b", {"sesoi": 0.4}, data_digest="d1", seed=2**127)
    second = ledger.append("amend", "a -> b", {"sesoi": 0.5}, who="Ada", reason="unit was wrong", supersedes=1)
    assert Ledger(path, mode="read").rows() == (first, second)
    assert (first.seq, first.seed, first.data_digest, first.prev_hash) == (1, 2**127, "d1", GENESIS)
    assert (second.supersedes, second.reason, second.prev_hash) == (1, "unit was wrong", first.hash)
    assert second.who == f"{first.who} (Ada)"
    assert first.at.endswith("Z")
    assert len(first.at) == len("2026-11-22T00:00:00.000000Z")
    assert set(first.versions) == {"python", "cpi-experiments", "numpy", "scipy", "duckdb"}
    assert first.tool_version == first.versions["cpi-experiments"]


@settings(max_examples=60, deadline=None)
@given(payload=st.dictionaries(TEXT, CONTENT, max_size=5).filter(lambda content: not has_twins(content)), subject=TEXT)
def test_any_json_payload_round_trips_and_verifies(tmp_path_factory, payload, subject):
    ledger = Ledger(tmp_path_factory.mktemp("any") / "l")
    row = ledger.append("note", f"s{subject}", payload)
    assert ledger.rows()[0].payload == row.payload == normal(payload)
    assert json.dumps(row.payload, sort_keys=True) == json.dumps(normal(payload), sort_keys=True)  # 1 is not 1.0
    assert ledger.rows(subject=f"s{subject}") == (row,)
    assert ledger.verify(anchor=ledger.head()) == ()
    mirror = ledger.path.with_name("mirror.jsonl")
    assert check_export(mirror, anchor=ledger.export_jsonl(mirror)) == ()


@given(st.dictionaries(TEXT, LEAF, max_size=6).filter(lambda content: not has_twins(content)))
def test_canonical_text_is_independent_of_key_order(content):
    assert canonical(dict(reversed(content.items()))) == canonical(content)


def test_equal_looking_text_is_equal_after_normalisation(ledger):
    composed, decomposed = "Z\u00fcrich", "Zu\u0308rich"
    assert composed != decomposed
    assert canonical({decomposed: decomposed}) == canonical({composed: composed})
    ledger.append("note", decomposed, {})
    assert ledger.rows(subject=composed) == ledger.rows(subject=decomposed) != ()


def test_results_pass_through_plain(ledger):
    content = plain({"low": -math.inf, "value": np.float64(0.1), "n": np.int64(3), "pair": (1, 2)})
    assert ledger.append("estimate", "x", content).payload == {"low": "-inf", "value": 0.1, "n": 3, "pair": [1, 2]}


def test_rows_filter_by_action_and_subject(ledger):
    for action, subject in (("a", "x"), ("a", "y"), ("b", "x")):
        ledger.append(action, subject, {})
    assert [row.seq for row in ledger.rows(action="a")] == [1, 2]
    assert [row.seq for row in ledger.rows(subject="x")] == [1, 3]
    assert [row.seq for row in ledger.rows(action="b", subject="x")] == [3]
    assert ledger.rows(action="c") == ()


def test_head_of_an_empty_ledger_is_zero(ledger):
    assert ledger.head() == Head(count=0, hash=GENESIS)
    assert ledger.verify(anchor=ledger.head()) == ()
    assert ledger.rows() == ()


def test_head_and_row_print_in_one_line(ledger):
    row = ledger.append("note", "x", {})
    assert str(ledger.head()) == f"{row.hash[:8]} (1 entry)"
    assert str(row).endswith(f"note x  {row.hash[:8]}")
    assert repr(ledger).endswith("ledger.sqlite', mode='append')")


def test_equal_content_twice_gives_two_hashes(ledger):
    assert ledger.append("note", "x", {"a": 1}).hash != ledger.append("note", "x", {"a": 1}).hash


def test_at_rest_a_ledger_is_one_file(ledger, path):
    ledger.append("note", "x", {})
    assert [file.name for file in path.parent.iterdir()] == ["ledger.sqlite"]


def test_reading_leaves_file_and_folder_as_they_were(ledger, path):
    ledger.append("note", "x", {})
    before = (path.read_bytes(), path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns)
    reader = Ledger(path, mode="read")
    assert (reader.head().count, len(reader.rows()), reader.verify()) == (1, 1, ())
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns) == before


def test_a_reader_sees_rows_of_a_writer_that_has_not_closed(ledger, path):
    ledger.append("note", "x", {})
    with sqlite3.connect(path) as writer:  # keeps the log beside the file
        writer.execute("SELECT count(*) FROM entries").fetchone()
        ledger.append("note", "y", {})
        assert path.with_name("ledger.sqlite-wal").stat().st_size > 0
        assert [row.subject for row in Ledger(path, mode="read").rows()] == ["x", "y"]
    writer.close()


def test_threads_share_one_ledger(ledger):
    threads = [threading.Thread(target=lambda: [ledger.append("t", "x", {}) for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.head().count == 40
    assert ledger.verify() == ()


@pytest.mark.slow  # a time holds only on a machine that is not busy with other tests
def test_an_append_takes_at_most_20_ms_in_19_of_20_cases(ledger):
    rounds = []
    for _ in range(5):  # the best of five, since other processes may hold the machine
        times = []
        for _ in range(40):
            start = time.perf_counter()
            ledger.append("note", "x", {"values": [0.1] * 100})
            times.append(time.perf_counter() - start)
        rounds.append(sorted(times)[37])
    assert min(rounds) < 0.020


def test_a_package_that_is_not_installed_has_an_unknown_version(monkeypatch):
    monkeypatch.setattr(store, "_PACKAGES", ("cpi-experiments", "no-such-package"))
    assert store._versions.__wrapped__()["no-such-package"] == "unknown"


# -- what cannot be recorded -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"a": [{"b": math.nan}]}, r"payload\.a\[0\]\.b is nan"),
        ({"a": np.float64("nan")}, r"payload\.a is nan"),
        ({"a": -math.inf}, r"payload\.a is -inf"),
        ({"a": np.int64(1)}, r"payload\.a is a int64"),
        ({"a": (1, 2)}, r"payload\.a is a tuple"),
        ({1: 2}, "key 1 of payload is a int, not text"),
        ({"u\u0308": 1, "\u00fc": 2}, "two keys"),
        ({"a": "\ud800"}, "half a character"),
        ({"a": 10**4000}, "bits"),
        ([1], "the payload is a list"),
        (json.loads("[" * 150 + "]" * 150), "nested deeper"),
    ],
)
def test_content_that_json_cannot_hold_is_named_and_not_recorded(ledger, payload, said):
    with pytest.raises(LedgerError, match=said):
        ledger.append("note", "x", payload)
    assert ledger.head().count == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"action": " "}, "action is empty"),
        ({"subject": ""}, "subject is empty"),
        ({"subject": 7}, "subject is a int, not text"),
        ({"seed": 1.0}, "seed is 1.0, not an integer"),
        ({"seed": True}, "seed is True"),
        ({"supersedes": 1}, "without a reason"),
        ({"supersedes": 1, "reason": "slip"}, "no such row"),
        ({"supersedes": 1.0, "reason": "slip"}, "supersedes is 1.0"),
        ({"data_digest": None}, "data_digest is a NoneType"),
    ],
)
def test_arguments_that_make_no_sense_record_nothing(ledger, arguments, said):
    with pytest.raises(LedgerError, match=said):
        ledger.append(**{"action": "note", "subject": "x", "payload": {}, **arguments})
    assert ledger.head().count == 0


def test_a_payload_that_is_data_is_not_recorded(ledger, monkeypatch):
    monkeypatch.setattr(store, "MOST_CHARACTERS", 1000)
    with pytest.raises(LedgerError, match="1,008 characters, allowed are 1,000"):
        ledger.append("note", "x", {"a": "y" * 1000})
    assert ledger.head().count == 0


def test_superseding_names_the_rows_there_are(ledger):
    ledger.append("note", "x", {})
    with pytest.raises(LedgerError, match="The ledger has rows 1 to 1"):
        ledger.append("note", "x", {}, supersedes=2, reason="slip")


def test_a_user_without_a_name_can_record(ledger, monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54321)
    assert ledger.append("note", "x", {}, who="Ada").who == "unknown user (Ada)"


@pytest.mark.parametrize(("count", "digest"), [(1, "9f31"), (1, "z" * 64), (-1, "9f31c2aa"), (1, "")])
def test_a_head_that_no_report_printed_is_an_error(count, digest):
    with pytest.raises(LedgerError, match=r"head|entries"):
        Head(count=count, hash=digest)


# -- the mirror ------------------------------------------------------------------------------------------------------


@pytest.fixture
def mirror(ledger, tmp_path):
    for value in (0.1, 1, -0.0, "\u2028", None):
        ledger.append("note", "x", {"value": value}, seed=5)
    ledger.export_jsonl(tmp_path / "mirror.jsonl")
    return tmp_path / "mirror.jsonl"


def test_an_export_checks_without_the_ledger_and_grows_with_it(ledger, mirror):
    before = mirror.read_bytes()
    ledger.append("note", "y", {})
    head = ledger.export_jsonl(mirror)
    assert mirror.read_bytes().startswith(before)
    assert check_export(mirror, anchor=head) == ()
    assert head == ledger.head()
    assert json.loads(before.splitlines()[0])["payload"] == {"value": 0.1}


def test_an_export_of_an_empty_ledger_is_an_empty_file(ledger, tmp_path):
    assert ledger.export_jsonl(tmp_path / "m").count == 0
    assert check_export(tmp_path / "m") == ()


def test_an_export_never_replaces_what_it_did_not_write(ledger, mirror, tmp_path):
    other = Ledger(tmp_path / "other.sqlite")
    content = mirror.read_bytes()
    for target in (mirror, ledger.path):
        with pytest.raises(LedgerError, match="not an earlier export"):
            other.export_jsonl(target)
    assert mirror.read_bytes() == content
    assert ledger.verify() == ()
    with pytest.raises(LedgerError, match="cannot be written"):
        ledger.export_jsonl(tmp_path / "absent" / "mirror.jsonl")


@pytest.mark.parametrize(
    ("damage", "seq", "said"),
    [
        (lambda lines: [*lines[:4], lines[4][:50]], 5, "torn"),
        (lambda lines: [*lines[:2], lines[2][:50], *lines[3:]], 3, "not a row"),
        (lambda lines: [*lines[:2], b"5\n", *lines[3:]], 3, "missing"),
        (lambda lines: [*lines[:2], b"[]\n", *lines[3:]], 3, "not a row"),
        (lambda lines: [*lines[:2], lines[2].replace(b"-0.0", b"0.0"), *lines[3:]], 3, "does not match its hash"),
        (lambda lines: [*lines[:2], lines[2].replace(b"-0.0", b"NaN"), *lines[3:]], 3, "not a row"),
        (lambda lines: [*lines[:2], *lines[3:]], 3, "row 3 is missing"),
        (lambda lines: lines[:3], 4, "rows were removed"),
    ],
)
def test_a_damaged_export_names_the_row(ledger, mirror, damage, seq, said):
    mirror.write_bytes(b"".join(damage(mirror.read_bytes().splitlines(keepends=True))))
    findings = check_export(mirror, anchor=ledger.head())
    assert any(finding.seq == seq and said in finding.problem for finding in findings), findings


def test_an_export_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(LedgerError, match="cannot be read"):
        check_export(tmp_path / "absent.jsonl")
