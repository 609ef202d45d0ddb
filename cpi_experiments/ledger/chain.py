"""What a row is, how it is written down in one way only, and how rows hang together by SHA-256."""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cpi_experiments.display import Displayed, clean_text
from cpi_experiments.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Hash before the first row, and head of an empty ledger.
GENESIS = "0" * 64
#: Columns in the order of the table; every one but the last is covered by the hash.
COLUMNS = (
    "seq",
    "at",
    "who",
    "tool_version",
    "versions",
    "action",
    "subject",
    "payload",
    "data_digest",
    "seed",
    "supersedes",
    "reason",
    "prev_hash",
    "hash",
)
_DEEPEST = 100
_MOST_BITS = 10_000  # Python refuses to write much longer integers in decimals
_PLAIN_ADVICE = "The ledger takes text, numbers, true/false, None, lists and dicts; pass results through plain() first."


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Displayed):
    """One entry of the ledger, as it was recorded.

    Parameters
    ----------
    seq : int
        Place in the ledger; 1, 2, 3, ... without gaps.
    at : str
        UTC time of recording, ISO 8601 with microseconds and ``Z``.
    who : str
        User of the operating system, then a given name in brackets.
    tool_version : str
        Version of this package that wrote the row.
    versions : dict of str
        Versions of Python and of the libraries that compute.
    action, subject : str
        What was done, and to what; the rooms above choose the words.
    payload : dict
        The recorded content.
    data_digest : str
        Hash of the data behind the content, empty if there are none.
    seed : int or None
        Seed of the random numbers, if any were drawn.
    supersedes : int or None
        Earlier row that this one corrects.
    reason : str
        Why it was corrected, or any remark.
    prev_hash, hash : str
        SHA-256 of the row before and of this one.
    """

    seq: int
    at: str
    who: str
    tool_version: str
    versions: dict[str, str]
    action: str
    subject: str
    payload: dict[str, Any]
    data_digest: str
    seed: int | None
    supersedes: int | None
    reason: str
    prev_hash: str
    hash: str

    def _title(self) -> str:
        return clean_text(f"{self.seq}  {self.at}  {self.who}  {self.action} {self.subject}  {self.hash[:8]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head(Displayed):
    """Number of rows and hash of the last one: what a report prints to anchor the ledger outside of its file.

    Parameters
    ----------
    count : int
        Number of rows.
    hash : str
        Hash of the last row, or its first eight digits or more, as printed; zeros when there is no row.

    Raises
    ------
    LedgerError
        If the count is negative or the hash is not 8 to 64 hexadecimal digits.

    Examples
    --------
    >>> print(Head(count=218, hash="9f31c2aa"))
    9f31c2aa (218 entries)
    """

    count: int
    hash: str

    def __post_init__(self) -> None:
        if not (8 <= len(self.hash) <= 64 and set(self.hash) <= set("0123456789abcdef")):
            raise LedgerError(
                f"{self.hash!r} is not the hash of a ledger's head",
                advice="Copy 8 to 64 hexadecimal digits (0-9, a-f) from the foot of a report.",
            )
        if self.count < 0:
            raise LedgerError(f"a ledger cannot have {self.count} entries", advice="Copy the number from a report.")

    def _title(self) -> str:
        return f"{self.hash[:8]} ({self.count:,} {'entry' if self.count == 1 else 'entries'})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Displayed):
    """Something wrong with a ledger or an export.

    Parameters
    ----------
    seq : int
        Row concerned; 0 for the file as a whole.
    problem : str
        What is wrong, in words.
    """

    seq: int
    problem: str

    def _title(self) -> str:
        return f"row {self.seq}: {self.problem}" if self.seq else f"file: {self.problem}"


# -- one way to write content ----------------------------------------------------------------------------------------


def clean_string(text: object, *, name: str) -> str:
    """Return text in Unicode normal form C; anything that UTF-8 cannot hold is an error."""
    if not isinstance(text, str):
        raise LedgerError(f"{name} is a {type(text).__name__}, not text", advice="Pass text.")
    try:
        return unicodedata.normalize("NFC", text).encode().decode()
    except UnicodeEncodeError as error:
        raise LedgerError(
            f"{name} holds half a character (a lone surrogate) at position {error.start}",
            advice="Read the source with its right encoding, then record it again.",
        ) from None


def canonical(content: object, *, name: str = "payload") -> str:
    """Write JSON content in the one way that is hashed.

    Keys are sorted, floats written by ``repr``, text in Unicode normal form C; so equal content has equal text.

    Parameters
    ----------
    content : dict, list, str, int, float, bool or None
        Plain JSON content.
    name : str, optional
        Name of the content in an error.

    Raises
    ------
    LedgerError
        If a number is not finite, a key is not text, or something is no JSON content; the place is named.

    Examples
    --------
    >>> canonical({"b": [1, 0.1], "a": None})
    '{"a":null,"b":[1,0.1]}'
    """
    return json.dumps(
        _clean(content, name, 0), sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":")
    )


def _clean(content: object, name: str, depth: int) -> object:
    if depth > _DEEPEST:
        raise LedgerError(f"the payload is nested deeper than {_DEEPEST} levels", advice="Record flatter content.")
    if isinstance(content, str):
        return clean_string(content, name=name)
    if isinstance(content, list):
        return [_clean(item, f"{name}[{i}]", depth + 1) for i, item in enumerate(content)]
    if isinstance(content, Mapping):
        return _clean_mapping(content, name, depth)
    return _clean_scalar(content, name)


def _clean_mapping(content: Mapping[Any, Any], name: str, depth: int) -> dict[str, object]:
    cleaned: dict[str, object] = {}
    for key, value in content.items():
        text = clean_string(key, name=f"key {key!r} of {name}")
        if text in cleaned:
            raise LedgerError(
                f"{name} has two keys that are both {text!r} in Unicode normal form C", advice="Rename one of them."
            )
        cleaned[text] = _clean(value, f"{name}.{text}", depth + 1)
    return cleaned


def _clean_scalar(content: object, name: str) -> bool | int | float | None:
    if content is None or isinstance(content, bool):
        return content
    if isinstance(content, int) and content.bit_length() <= _MOST_BITS:
        return int(content)
    if isinstance(content, float) and math.isfinite(content):
        return float(content)
    if isinstance(content, float):
        raise LedgerError(
            f"{name} is {float(content)}, which JSON cannot hold; nothing was recorded",
            advice="Find out why the number does not exist, or record None and say so.",
        )
    if isinstance(content, int):
        raise LedgerError(f"{name} is an integer of {content.bit_length():,} bits", advice="Record it as text.")
    raise LedgerError(f"{name} is a {type(content).__name__}; nothing was recorded", advice=_PLAIN_ADVICE)


# -- the chain -------------------------------------------------------------------------------------------------------


def seal(record: Mapping[str, object]) -> str:
    """Hash every column of a stored row but its hash; empty if a column holds what the ledger never writes."""
    content = {name: record[name] for name in COLUMNS[:-1]}
    if not all(value is None or type(value) in (str, int) for value in content.values()):
        return ""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()


def as_row(record: Mapping[str, Any], *, where: str) -> Row:
    """Turn a stored row into a `Row`; a row that cannot be read is an error that names it."""
    try:
        content = {name: record[name] for name in COLUMNS}
        content["versions"] = json.loads(record["versions"])
        content["payload"] = json.loads(record["payload"])
        content["seed"] = None if record["seed"] is None else int(record["seed"])
        plain_maps = isinstance(content["versions"], dict) and isinstance(content["payload"], dict)
    except (TypeError, ValueError, RecursionError):
        plain_maps = False
    if not plain_maps:
        raise LedgerError(
            f"row {record['seq']} cannot be read: it was changed after it was recorded",
            where=where,
            advice="Run verify and restore the file from a copy.",
        )
    return Row(**content)


def check_chain(records: Iterable[Mapping[str, Any]], *, anchor: Head | None = None) -> tuple[Finding, ...]:
    """Derive every hash again and compare.

    Parameters
    ----------
    records : iterable of mappings
        Stored rows in order of ``seq``.
    anchor : Head, optional
        Head printed by an earlier report or export; without it nobody can know whether the last rows were removed.

    Returns
    -------
    tuple of Finding
        Empty if the chain is intact.
    """
    findings: list[Finding] = []
    last, prev_hash = 0, GENESIS
    for record in records:
        findings += _check_record(record, last, prev_hash)
        last, prev_hash = record["seq"] if type(record["seq"]) is int else last, record["hash"]
        if anchor is not None and last == anchor.count and not str(prev_hash).startswith(anchor.hash):
            problem = f"an earlier report saw hash {anchor.hash[:8]} here; the history was rewritten since"
            findings.append(Finding(seq=last, problem=problem))
    if anchor is not None and anchor.count > last:
        problem = f"an earlier report saw {anchor.count:,} rows, the file ends at row {last:,}: rows were removed"
        findings.append(Finding(seq=last + 1, problem=problem))
    return tuple(findings)


def _check_record(record: Mapping[str, Any], before: int, prev_hash: str) -> list[Finding]:
    seq, findings = record["seq"], []
    if type(seq) is not int:
        return [Finding(seq=before + 1, problem=f"the place of a row is {seq!r}, not a number")]
    if seq > before + 1:
        missing = f"row {before + 1} is" if seq == before + 2 else f"rows {before + 1} to {seq - 1} are"
        findings.append(Finding(seq=before + 1, problem=f"{missing} missing"))
    elif seq != before + 1:
        findings.append(Finding(seq=seq, problem=f"row {seq} was put before the first row or twice"))
    elif record["prev_hash"] != prev_hash:
        findings.append(Finding(seq=seq, problem=f"does not follow row {before}: that row or this one was replaced"))
    if seal(record) != record["hash"]:
        findings.append(Finding(seq=seq, problem="content does not match its hash: changed after it was recorded"))
    return findings
