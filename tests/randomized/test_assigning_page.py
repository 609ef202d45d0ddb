"""The page on assignment: its test vectors, a second implementation of its four steps, its example."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cpi_experiments.randomized.assigning.hashing import edges_of, hashes, positions, slices

PAGE = Path(__file__).resolve().parents[2] / "docs" / "assignment.md"
ROW = re.compile(r"\| `(\".*?\")` \| `(\".*\")` \| `([0-9a-f]{16})` \| ([0-9.e-]+) \| (\w+) \| (\w) \|")
VECTORS = [
    (json.loads(salt), json.loads(unit), h, float(position), arm, third)
    for salt, unit, h, position, arm, third in ROW.findall(PAGE.read_text(encoding="utf-8"))
]
THREE = {"a": 0.2, "b": 0.3, "c": 0.5}
NODE = """
const crypto = require("crypto");
const out = JSON.parse(process.argv[1]).map(([salt, id, weights]) => {
  const h = crypto.createHash("sha256").update(salt + ":" + id, "utf8").digest().readBigUInt64BE(0);
  const position = Number(h) / 2 ** 64;
  const total = weights.reduce((sum, [, w]) => sum + w, 0);
  let edge = 0;
  const edges = weights.map(([, w]) => (edge += w / total));
  const arm = edges.findIndex((e, j) => j === edges.length - 1 || position < e);
  return [h.toString(16).padStart(16, "0"), position, weights[arm][0]];
});
console.log(JSON.stringify(out));
"""


def by_the_page(unit, salt, allocation):
    """The four steps again, from the text, with nothing of the package."""
    from hashlib import sha256

    h = sha256(f"{salt}:{unit}".encode()).hexdigest()[:16]
    position = int(h, 16) / 2**64
    total = 0.0
    for weight in allocation.values():
        total += weight
    edge = 0.0
    for arm, weight in allocation.items():
        edge += weight / total
        if position < edge:
            return h, position, arm
    return h, position, arm


def test_the_page_has_vectors_of_every_kind():
    units = [unit for _, unit, *_ in VECTORS]
    assert len(VECTORS) >= 15
    assert {"7", "007", " ", "=1+1", "a:b"} < set(units)
    assert sum(not unit.isascii() for unit in units) >= 4
    assert max(map(len, units)) >= 100


@pytest.mark.parametrize(("salt", "unit", "h", "position", "arm", "third"), VECTORS)
def test_the_vectors_of_the_page_hold(salt, unit, h, position, arm, third):
    assert f"{int(hashes([unit], salt=salt)[0]):016x}" == h
    found = positions([unit], salt=salt)
    assert found[0] == position
    assert slices(found, {"manual": 1, "auto": 1}) == [arm]
    assert slices(found, THREE) == [third]
    assert by_the_page(unit, salt, THREE) == (h, position, third)


def test_a_second_implementation_gives_the_same_arms():
    allocation = {"a": 0.1, "b": 0.7, "c": 0.2, "d": 1 / 3}
    units = [f"unit-{j}" for j in range(5_000)]
    assert slices(positions(units, salt="s"), allocation) == [by_the_page(unit, "s", allocation)[2] for unit in units]


@pytest.mark.skipif(not shutil.which("node"), reason="needs node: another language is the point")
def test_another_language_gives_the_same_arms():
    asked = [[salt, unit, list(THREE.items())] for salt, unit, *_ in VECTORS]
    asked += [["s", f"u{j}", [["a", 0.1], ["b", 0.7], ["c", 1 / 3]]] for j in range(500)]
    run = subprocess.run(
        [shutil.which("node"), "-e", NODE, json.dumps(asked)], capture_output=True, text=True, check=True
    )
    for (salt, unit, weights), (h, position, arm) in zip(asked, json.loads(run.stdout), strict=True):
        assert (h, position, arm) == by_the_page(unit, salt, dict(weights))
        assert slices(positions([unit], salt=salt), dict(weights)) == [arm]


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="needs sha256sum")
def test_the_shells_line_shows_the_hash():
    line = re.search(r"`(printf .*?)`", PAGE.read_text(encoding="utf-8")).group(1)
    run = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == next(h for salt, unit, h, *_ in VECTORS if (salt, unit) == ("demo", "customer-1"))


def test_edges_are_added_from_left_to_right():
    assert edges_of({"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}).tolist()[:2] == [0.1 / 1.0, 0.1 + 0.2]
    total = 0.1 + 0.7 + 0.2  # 0.9999999999999999: sum() would give 1.0 in newer Pythons
    assert edges_of({"a": 0.1, "b": 0.7, "c": 0.2}).tolist() == [0.1 / total, 0.1 / total + 0.7 / total, 1.0]


def test_the_example_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL).group(1)
    exec(compile(code, "assignment.md", "exec"), {})  # noqa: S102 - the page's own example
    assert "1,000 units: joint test p" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["auto-quote.csv", "auto-quote.csv.json"]
