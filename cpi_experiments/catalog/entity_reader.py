"""From plain YAML content to a dataclass: strict types, no unknown keys, every finding with file and line."""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass
from functools import cache
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from cpi_experiments.catalog.findings import require
from cpi_experiments.catalog.yaml_marks import Marked, Place, read_yaml
from cpi_experiments.display import clean_text
from cpi_experiments.errors import CatalogError, CpiError, nearest

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from pathlib import Path

_Entity = TypeVar("_Entity")
_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

#: What to write where a required key is missing or holds the wrong kind.
_ADVICE: Final = {
    "id": "Write `id: short_name` (a-z, 0-9, _ and -).",
    "better": "Write `better: lower` or `better: higher`: which way the outcome gets better.",
    "increment": "Write the step customers value, such as `increment: 1 hour`.",
    "outcome": 'Write a sentence customers say, such as `outcome: "I get a price while I am still looking"`.',
    "measure": "Write `measure: {table: ..., entity: ..., at: ..., value: ..., aggregate: ...}`.",
    "sesoi": "Write the smallest effect per increment worth acting on, such as `sesoi: 0.4 pp`.",
    "expect": "Write `expect: positive` or `expect: negative`: the sign of the KPI per increment.",
    "discovery": "Write `discovery: {method: contextual_inquiry, when: 2026-03, note: ...}`.",
    "unit": "Write the unit of the measured value, such as `unit: hour` or `unit: fraction`.",
    "because": "Write why customers would react, in one sentence.",
}
_NEEDS: Final = {
    "string_type": ("a text", "Quote it if it is meant as text."),
    "float_type": ("a number", "Write a plain number such as 0.2: no quotes, decimal point, no thousands marks."),
    "int_type": ("a whole number", "Write a plain whole number such as 12."),
    "bool_type": ("true or false", "Write true or false."),
    "tuple_type": ("a list", "Write [one, two], or one `- item` a line."),
    "list_type": ("a list", "Write [one, two], or one `- item` a line."),
    "dict_type": ("keys with values", "Write {key: value}, or one `key: value` a line."),
    "mapping_type": ("keys with values", "Write {key: value}, or one `key: value` a line."),
    "dataclass_type": ("keys with values", "Write {key: value}, or one `key: value` a line."),
    "enum": ("one of a few words", ""),
}


def read_entity(path: Path, cls: type[_Entity], *, root: Path) -> tuple[_Entity, Marked]:
    """Read one YAML file whose keys are the fields of one dataclass.

    Parameters
    ----------
    path : Path
        The file.
    cls : type
        A dataclass; its annotations are the allowed types.
    root : Path
        Folder that messages name the file relative to.

    Returns
    -------
    entity, marked
        The dataclass, and the content with ``marked.where(key)`` for later messages.

    Raises
    ------
    CatalogError
        If the file cannot be read or does not fit; every finding is listed. A refusal of the class itself keeps its own
        kind (such as DesignError) and gains the file.
    """
    marked = read_yaml(path, root=root)
    content, _ = clean_content(marked.content)
    entity, findings = check_entity(content, cls, marked=marked, place=(), name=f"{cls.__name__.lower()} file")
    return require(entity, findings), marked


def check_entity(
    content: Mapping[str, Any], cls: type[_Entity], *, marked: Marked, place: Place, name: str
) -> tuple[_Entity | None, list[CpiError]]:
    """Make a dataclass of plain content, or say everything that does not fit.

    Parameters
    ----------
    content : mapping
        Keys and values; may differ from ``marked.content`` where a value was already parsed.
    cls : type
        The dataclass.
    marked : Marked
        Lines of the file.
    place : tuple
        Where the content stands in the file.
    name : str
        How messages call it, such as ``CPI 'quote_hours'``.
    """
    try:
        return _adapter(cast("Hashable", cls)).validate_json(json.dumps([content]))[0], []
    except ValidationError as error:
        return None, [
            _finding(dict(problem), cls, marked=marked, place=place, name=name)
            for problem in error.errors(include_url=False, include_context=True)
        ]
    except CpiError as error:
        error.where = error.where or marked.where(*place)
        return None, [error]


def clean_content(content: dict[str, Any]) -> tuple[dict[str, Any], list[Place]]:
    """Take control characters and bidi overrides out of every text.

    Returns
    -------
    content, places
        The clean content, and where something was taken out.

    Examples
    --------
    >>> clean_content({"label": "Sales" + chr(0x202E)})
    ({'label': 'Sales'}, [('label',)])
    """
    changed: list[Place] = []

    def clean(part: Any, place: Place) -> Any:  # noqa: ANN401 - any plain content
        if isinstance(part, str):
            if part.isprintable():
                return part
            text = clean_text(part)
            if text != part:
                changed.append(place)
            return text
        if isinstance(part, dict):
            return {key: clean(value, (*place, key)) for key, value in part.items()}
        if isinstance(part, list):
            return [clean(item, (*place, number)) for number, item in enumerate(part)]
        return part

    return {key: clean(value, (key,)) for key, value in content.items()}, changed


@cache
def _adapter(cls: Hashable) -> TypeAdapter[list[Any]]:
    # Through JSON, strict reading takes a list for a tuple and a word for an enum, and nothing else for anything.
    # In a list, because pydantic takes no configuration beside a bare dataclass.
    return TypeAdapter(cast("type[list[Any]]", GenericAlias(list, (cls,))), config=_STRICT)


def _finding(problem: dict[str, Any], cls: type, *, marked: Marked, place: Place, name: str) -> CpiError:
    loc: Place = problem["loc"][1:]  # the list around the entity
    key = next((str(part) for part in reversed(loc) if isinstance(part, str)), "")
    path = ".".join(str(part + 1) if isinstance(part, int) else part for part in loc)
    if problem["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        advice = _ADVICE.get(key, f"Add `{key}: ...`.")
        return CatalogError(f"{name} has no `{path}`", where=marked.where(*place, *loc[:-1]), advice=advice)
    where = marked.where(*place, *loc)
    if problem["type"] == "unexpected_keyword_argument":
        allowed = _fields_at(cls, loc[:-1])
        return CatalogError(f"{name} has an unknown key `{path}`", where=where, advice=nearest(key, allowed))
    need, advice = _NEEDS.get(problem["type"], (str(problem["msg"]), ""))
    if problem["type"] == "enum":
        allowed = re.findall(r"'([^']*)'", str(problem["ctx"]["expected"]))
        advice = f"{nearest(str(problem['input']), allowed)} Allowed: {', '.join(allowed)}."
    elif problem["input"] is None or problem["type"].startswith("dataclass"):
        advice = _ADVICE.get(key, advice)
    return CatalogError(f"{name}: `{path}` is {shown(problem['input'])}; {need} is needed", where=where, advice=advice)


def shown(value: object) -> str:
    """Say in words what was read.

    Examples
    --------
    >>> shown("NO"), shown(None), shown(True), shown([1])
    ("the text 'NO'", 'empty', 'true', 'a list')
    """
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {value if len(value) <= 60 else value[:57] + '...'!r}"
    return "a list" if isinstance(value, list) else "keys with values"


def _fields_at(cls: type, loc: Sequence[str | int]) -> list[str]:
    for part in loc:
        hint = get_type_hints(cls).get(str(part))
        nested = [option for option in (hint, *get_args(hint)) if isinstance(option, type) and is_dataclass(option)]
        if not nested:
            return []
        cls = nested[0]
    return [field.name for field in fields(cls)]
