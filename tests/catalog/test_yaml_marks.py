from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_experiments.catalog.yaml_marks import MAX_BYTES, parse_yaml, read_yaml
from cpi_experiments.errors import CatalogError

WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(max_size=12).filter(str.isprintable),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"), ("on", "on"), ("yes", "yes"), ("12:30", "12:30"), ("2026-03", "2026-03"), ("2026-03-01", "2026-03-01"), ("1_000", "1_000"),
        ("1,000", "1,000"), ("'010'", "010"), ('"1e3"', "1e3"), ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("-12", -12), ("+3", 3), ("0", 0), ("0.25", 0.25), ("-.5", -0.5), ("1.", 1.0), ("|-\n  a\n  b", "a\nb"), ("<<", "<<"), ("1.2.3", "1.2.3"),
    ],
)  # fmt: skip
def test_types_follow_yaml_1_2(text, value):
    read = parse_yaml(f"key: {text}\n", file="f.yaml").content["key"]
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("1.0e3", "Write 1000"), ("1e3", "Write 1000"), ("-2.5E-2", "Write -0.025"), ("0x1F", "Write 31"), ("0o17", "Write 15"), ("010", "Write 10"),
        ("00.5", "Write 0.5"), ("1e99", "Write the number out"), (".inf", "leave the key out"), (".NaN", "leave the key out"), ("1" * 40, None),
        ("1." + "1" * 40, "Quote it"),
    ],
)  # fmt: skip
def test_numbers_that_tools_read_differently_are_refused(text, advice):
    if advice is None:
        advice = "Quote it"
    with pytest.raises(CatalogError, match=r"f\.yaml:2: ") as caught:
        parse_yaml(f"a: 1\nkey: {text}\n", file="f.yaml")
    assert advice in caught.value.advice


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: 1\n? [x]\n: 2\n", 2, "a key is a list"),
        ("- a\n", 1, "holds a list"),
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "not readable as YAML"),
        ("a: 'open\n", 1, "not readable as YAML"),
        ("a: \x07\n", 1, "not readable as YAML"),
        ("a: !!str 5\n", 1, "tags are not allowed"),
        ("a: ! 5\n", 1, "tags are not allowed"),
        ("b: 1\na: &x 5\n", 2, "anchors and aliases"),
        ("b: 1\na: {c: 1, d: 2, c: 3}\n", 2, "'c' stands twice, in line 2 and line 2"),
        ("", 1, "the file is empty"),
        ("~\n", 1, "the file is empty"),
        ("7\n", 1, "single text or number"),
    ],
)
def test_structure_is_refused_with_its_line(text, line, found):
    with pytest.raises(CatalogError, match=found) as caught:
        parse_yaml(text, file="f.yaml")
    assert caught.value.where == f"f.yaml:{line}"


def test_every_key_and_item_has_its_line():
    marked = parse_yaml("a:\n  - x: 1\n    y: {z: 2,\n      w: 3}\n  - 5\n", file="f.yaml")
    assert marked.where("a") == "f.yaml:1"
    assert marked.where("a", 0) == "f.yaml:2"
    assert marked.where("a", 0, "y", "w") == "f.yaml:4"
    assert marked.where("a", 1) == "f.yaml:5"
    assert marked.where("a", 0, "missing", "deeper") == "f.yaml:2"
    assert marked.where("nowhere") == "f.yaml:1"


def test_twenty_levels_are_allowed_and_twenty_one_are_not():
    assert parse_yaml("a: " + "[" * 19 + "]" * 19, file="f").content["a"]
    with pytest.raises(CatalogError, match="deeper than 20"):
        parse_yaml("a: " + "[" * 20 + "]" * 20, file="f")


def test_bytes_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: caf\xe9\n")
    (tmp_path / "large.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(CatalogError, match=r"latin.yaml:2: byte 12 is not UTF-8"):
        read_yaml(tmp_path / "latin.yaml", root=tmp_path)
    with pytest.raises(CatalogError, match=r"large.yaml: the file has 1,048,577 bytes(.|\n)*Split"):
        read_yaml(tmp_path / "large.yaml", root=tmp_path)
    with pytest.raises(CatalogError, match=r"folder.yaml: the file cannot be read"):
        read_yaml(tmp_path / "folder.yaml", root=tmp_path)
    assert read_yaml(tmp_path / "bom.yaml", root=tmp_path / "other").content == {"a": 1}


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(WORDS, PLAIN, min_size=1, max_size=4))
def test_plain_content_survives(content):
    assert parse_yaml(json.dumps(content, ensure_ascii=False), file="f").content == content


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_no_text_raises_anything_but_a_catalog_error(text):
    try:
        marked = parse_yaml(text, file="f")
    except CatalogError as error:
        assert error.where.startswith("f:")  # noqa: PT017 - most texts are refused
    else:
        assert marked.content
