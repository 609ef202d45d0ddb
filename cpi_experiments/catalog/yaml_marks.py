"""YAML as plain content with a line number for every key and item; nothing but plain content is allowed in.

Read from the stream of events, not from PyYAML's constructor: types follow YAML 1.2 (``NO``, ``on`` and ``12:30`` are
text), a key stands once, and tags, anchors and deep nesting stop the reading before anything is built.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import yaml

from cpi_experiments.errors import CatalogError

if TYPE_CHECKING:
    from pathlib import Path

#: Where something stands in a file: keys and item numbers from the top.
Place = tuple[str | int, ...]

MAX_BYTES: Final = 1_048_576
MAX_DEPTH: Final = 20

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)")
_ODD_NUMBER = re.compile(
    r"[-+]?(0[0-9]+(\.[0-9]*)?|0o[0-7]+|0x[0-9a-fA-F]+|(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+)"
)
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """Plain content of one file and the line of every key and item in it.

    Parameters
    ----------
    content : dict
        Dicts with text keys, lists, text, numbers, true, false and None.
    lines : mapping from place to line
        Lines count from 1; a place is the path of keys and item numbers.
    file : str
        Name of the file in messages, relative to the project folder.
    """

    content: dict[str, Any]
    lines: Mapping[Place, int]
    file: str

    def where(self, *place: str | int) -> str:
        """Return ``file:line`` of a place, or of the nearest place that holds it."""
        for end in range(len(place), 0, -1):
            if place[:end] in self.lines:
                return f"{self.file}:{self.lines[place[:end]]}"
        return f"{self.file}:{self.lines[()]}"


def read_yaml(path: Path, *, root: Path) -> Marked:
    """Read one YAML file strictly.

    Parameters
    ----------
    path : Path
        The file.
    root : Path
        Folder that messages name the file relative to.

    Raises
    ------
    CatalogError
        If the file is missing, empty, too large, not UTF-8, not YAML, not keys with content, or holds a tag, an anchor,
        an alias, a key twice, nesting deeper than 20, or a number that tools read differently.
    """
    file = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    return parse_yaml(_text(path, file), file=file)


def parse_yaml(text: str, *, file: str) -> Marked:
    """Read YAML text strictly; see `read_yaml`.

    Examples
    --------
    >>> marked = parse_yaml("country: NO", file="a.yaml")
    >>> marked.content, marked.where("country")
    ({'country': 'NO'}, 'a.yaml:1')
    """
    builder = _Builder(file)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.YAMLError as error:
        raise _unreadable(error, text, file) from None
    if not builder.documents or builder.content is None:
        raise CatalogError(
            "the file is empty", where=f"{file}:1", advice="Write at least one section, such as `cpis:`, or remove it."
        )
    if not isinstance(builder.content, dict):
        kind = "a list" if isinstance(builder.content, list) else "a single text or number"
        raise CatalogError(
            f"the file holds {kind}, not keys with content", where=f"{file}:1", advice="Start with a key: `cpis:`."
        )
    return Marked(content=builder.content, lines=builder.lines, file=file)


def _text(path: Path, file: str) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CatalogError(
                f"the file has {path.stat().st_size:,} bytes, more than {MAX_BYTES:,}",
                where=file,
                advice="Split it over several files; the catalog reads every .yaml file of its folder.",
            )
        raw = path.read_bytes()
    except FileNotFoundError:
        raise CatalogError(
            "the file does not exist", where=file, advice="Check the path, or make a project with `cpi init NAME`."
        ) from None
    except OSError as error:
        raise CatalogError(f"the file cannot be read ({error.strerror})", where=file) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise CatalogError(
            f"byte {error.start + 1:,} is not UTF-8", where=f"{file}:{line}", advice="Save the file as UTF-8."
        ) from None


def _unreadable(error: yaml.YAMLError, text: str, file: str) -> CatalogError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark is not None else text.count("\n", 0, getattr(error, "position", 0) or 0) + 1
    line = min(line, len(text.splitlines()) or 1)  # a file that breaks off is reported one line below its end
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it breaks off"
    return CatalogError(
        f"not readable as YAML: {problem}",
        where=f"{file}:{line}",
        advice="Look here and one line above: indentation, a missing colon, an unclosed quote or bracket.",
    )


class _Builder:
    """Builds content from events; the stack holds each open list or dict with its place."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.content: Any = None
        self.lines: dict[Place, int] = {}
        self.documents = 0
        self._stack: list[tuple[dict[str, Any] | list[Any], Place]] = []
        self._keys: list[str | None] = []  # the key that waits for its value, one entry for each open dict or list

    def take(self, event: yaml.Event) -> None:
        """Add one event."""
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise self._error(event, "a second document begins", "One file holds one document: remove `---`.")
        elif isinstance(event, yaml.NodeEvent):
            self._refuse(event)
            self._take_node(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._stack.pop()
            self._keys.pop()

    def _refuse(self, event: yaml.NodeEvent) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self._error(
                event, f"anchors and aliases are not allowed ({event.anchor!r})", "Write the content out."
            )
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise self._error(event, "tags are not allowed", f"Remove {tag!r}; only plain text and numbers are read.")
        if len(self._stack) >= MAX_DEPTH and not isinstance(event, yaml.ScalarEvent):
            raise self._error(event, f"nested deeper than {MAX_DEPTH}", "A catalog needs four levels: flatten it.")

    def _take_node(self, event: yaml.NodeEvent) -> None:
        if self._stack and isinstance(self._stack[-1][0], dict) and self._keys[-1] is None:
            self._open_key(event)
            return
        place = self._next_place(event)
        if isinstance(event, yaml.ScalarEvent):
            self._put(self._scalar(event))
            return
        opened: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._put(opened)
        self._stack.append((opened, place))
        self._keys.append(None)

    def _open_key(self, event: yaml.NodeEvent) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._error(event, "a key is a list or has keys itself", "A key is one word, such as `target:`.")
        holder, place = self._stack[-1]
        key = str(event.value)
        here = (*place, key)
        if key in holder:
            raise self._error(
                event,
                f"key {key!r} stands twice, in line {self.lines[here]} and line {_line(event)}",
                "Keep one of them.",
            )
        self.lines[here] = _line(event)
        self._keys[-1] = key

    def _next_place(self, event: yaml.NodeEvent) -> Place:
        if not self._stack:
            self.lines[()] = _line(event)
            return ()
        holder, place = self._stack[-1]
        if isinstance(holder, dict):
            return (*place, cast("str", self._keys[-1]))
        here = (*place, len(holder))
        self.lines[here] = _line(event)
        return here

    def _put(self, content: object) -> None:
        if not self._stack:
            self.content = content
            return
        holder = self._stack[-1][0]
        if isinstance(holder, dict):
            holder[cast("str", self._keys[-1])] = content
            self._keys[-1] = None
        else:
            holder.append(content)

    def _scalar(self, event: yaml.ScalarEvent) -> Any:  # noqa: ANN401 - text, number, truth value or None
        text = str(event.value)
        if not event.implicit[0]:  # quoted or block text
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text) and len(text) <= 18:
            return int(text)
        if _DECIMAL.fullmatch(text):
            return self._decimal(event, text)
        if _ODD_NUMBER.fullmatch(text):
            raise self._error(event, f"{text} is read differently by different tools", _plain_number(text))
        if _NOT_FINITE.fullmatch(text):
            raise self._error(event, f"{text} is not a finite number", "Write a number, or leave the key out.")
        return text

    def _decimal(self, event: yaml.ScalarEvent, text: str) -> float:
        value = float(text)
        if math.isfinite(value) and len(text) <= 18:
            return value
        raise self._error(
            event, f"{text[:30]} has too many digits for a number", f'Quote it ("{text[:30]}") if it is text.'
        )

    def _error(self, event: yaml.Event, found: str, advice: str) -> CatalogError:
        return CatalogError(f"{found}, line {_line(event)}", where=f"{self.file}:{_line(event)}", advice=advice)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1


def _plain_number(text: str) -> str:
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text.lstrip("+"))
    if digits[:2] in ("0x", "0o"):
        value: float = int(digits, 0)
    else:
        value = float(digits)
    if not abs(value) < 1e15 or 0 < abs(value) < 1e-15:
        return f'Write the number out, or quote it ("{text}") if it is text.'
    plain = f"{value:.15f}".rstrip("0").rstrip(".")
    return f'Write {sign}{plain}, or quote it ("{text}") if it is text.'
