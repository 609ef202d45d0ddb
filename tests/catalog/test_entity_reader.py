from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from cpi_experiments.catalog.entity_reader import clean_content, read_entity, shown
from cpi_experiments.errors import CatalogError, CpiError, DesignError


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    name: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    id: str
    arms: dict[str, Arm] = field(default_factory=dict)
    size: int = 0
    first: Arm | None = None
    blind: bool = False
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0:
            raise DesignError("size is below zero")


def read(tmp_path, text):
    (tmp_path / "plan.yaml").write_text(text)
    return read_entity(tmp_path / "plan.yaml", Plan, root=tmp_path)


def test_entity_and_lines_come_back(tmp_path):
    plan, marked = read(tmp_path, "id: x\ntags: [a, b]\nfirst: {name: a, weight: 2}\n")
    assert plan == Plan(id="x", tags=("a", "b"), first=Arm(name="a", weight=2.0))
    assert marked.where("first", "weight") == "plan.yaml:3"


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        ("tags: []\n", 1, ["plan file has no `id`"]),
        ("id: x\nszie: 3\n", 2, ["unknown key `szie`", "Did you mean 'size'?"]),
        ("id: x\nfirst:\n  name: a\n  wieght: 2\n", 4, ["unknown key `first.wieght`", "Did you mean 'weight'?"]),
        ("id: x\nfirst: {}\n", 2, ["has no `first.name`", "Add `name: ...`"]),
        ("id: x\nsize: 1.5\n", 2, ["the number 1.5; a whole number is needed"]),
        ("id: x\nsize: '3'\n", 2, ["the text '3'; a whole number"]),
        ("id: x\nblind: no\n", 2, ["the text 'no'; true or false is needed"]),
        ("id: x\narms: [a]\n", 2, ["a list; keys with values is needed"]),
        ("id: x\narms:\n  a: {name: a, extra: 1}\n", 3, ["unknown key `arms.a.extra`", "Known: none"]),
        ("id: x\ntags:\n  - a\n  - 5\n", 4, ["`tags.2` is the number 5; a text is needed"]),
        ("id:\n", 1, ["`id` is empty; a text is needed", "short_name"]),
    ],
)
def test_misfits_are_named_with_line_and_remedy(tmp_path, text, line, parts):
    with pytest.raises(CatalogError) as caught:
        read(tmp_path, text)
    assert caught.value.where == f"plan.yaml:{line}"
    assert [part for part in parts if part not in str(caught.value)] == []


def test_refusal_of_the_class_keeps_its_kind_and_gains_the_file(tmp_path):
    with pytest.raises(DesignError, match=r"plan\.yaml:1: size is below zero"):
        read(tmp_path, "id: x\nsize: -1\n")


def test_two_misfits_are_one_error(tmp_path):
    with pytest.raises(CpiError, match=r"2 errors:\n  plan\.yaml:1: (.|\n)*plan\.yaml:2: "):
        read(tmp_path, "id: 3\nsize: big\n")


def test_long_text_is_shortened_in_messages():
    assert len(shown("x" * 500)) < 80


def test_cleaning_reaches_every_depth():
    content, places = clean_content({"a": [{"b": "x\u202ey"}], "c": "line\nline", "d": 3})
    assert content == {"a": [{"b": "xy"}], "c": "line\nline", "d": 3}
    assert places == [("a", 0, "b")]
