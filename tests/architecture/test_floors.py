"""Laws of the house: who may import what, and how heavy a first import is."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "cpi_experiments"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = (
    "numpy",
    "pandas",
    "scipy",
    "statsmodels",
    "linearmodels",
    "matplotlib",
    "duckdb",
    "pydantic",
    "yaml",
    "jinja2",
    "pptx",
)


def imported(path):
    """Every module that a file imports at run time, lazily or not."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_every_room_imports_only_from_the_floors_below():
    result = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 kept, 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("library", "home"),
    [
        ("statsmodels", ("stats",)),
        ("linearmodels", ("stats",)),
        ("matplotlib", ("figures",)),
        ("duckdb", ("measure/engine",)),
        ("sqlglot", ("measure/engine",)),
        ("pyspark", ("measure/engine",)),
        ("jinja2", ("report",)),
        ("yaml", ("catalog",)),
        ("sqlite3", ("ledger",)),
        ("pptx", ("report",)),
    ],
)
def test_a_library_has_one_home(library, home):
    users = [p.relative_to(PACKAGE).as_posix() for p in MODULES if library in imported(p)]
    typed_only = [u for u in users if not u.startswith(home) and not _only_for_types(PACKAGE / u, library)]
    assert typed_only == []


def _only_for_types(path, library):
    """Whether a file names a library only under TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = [
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for child in ast.walk(node)
    ]
    uses = [
        node
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import) and any(a.name.split(".")[0] == library for a in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == library)
    ]
    return all(any(use is child for child in guarded) for use in uses)


@pytest.mark.parametrize(
    "code",
    ["import cpi_experiments", "import cpi_experiments.cli", "import cpi_experiments as c; dir(c); c.__all__"],
)
def test_first_import_loads_nothing_heavy(code):
    script = f"import sys; {code}; print(sorted(m for m in {HEAVY!r} if m in sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_help_loads_nothing_heavy():
    script = (
        "import sys; from cpi_experiments.cli import app\n"
        "try: app(['--help'])\n"
        f"except SystemExit: print(sorted(m for m in {HEAVY!r} if m in sys.modules), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == "[]"
    assert "cpi demo" in result.stdout


def test_a_link_from_a_parquet_file_needs_no_pandas(tmp_path):
    script = (
        "import sys, numpy as np, duckdb\n"
        f"duckdb.sql(\"COPY (SELECT i % 2 AS arm, (i * 37) % 11 - 2.0 * (i % 2) AS hours, (i * 7) % 2 AS won FROM range(400) t(i)) TO '{tmp_path}/t.parquet'\")\n"
        "import cpi_experiments as cpi\n"
        f"print(cpi.link_effect('{tmp_path}/t.parquet', cpi='hours', kpi='won', arm='arm', control=0).estimate.n_obs)\n"
        "print(sorted(m for m in ('pandas', 'scipy.stats', 'statsmodels', 'matplotlib') if m in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split("\n")[:2] == ["400", "[]"]


def test_every_public_name_exists_and_is_documented():
    import cpi_experiments

    assert set(cpi_experiments.__all__) == set(cpi_experiments._HOMES)
    for name in cpi_experiments.__all__:
        assert getattr(cpi_experiments, name).__doc__, name
    assert set(cpi_experiments.__all__) <= set(dir(cpi_experiments))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        cpi_experiments.nothing  # noqa: B018 - the access is the test


def test_no_file_is_over_its_size():
    sizes = {p.relative_to(ROOT).as_posix(): len(p.read_text(encoding="utf-8").splitlines()) for p in MODULES}
    assert {path: lines for path, lines in sizes.items() if lines > 400} == {}


def test_no_room_executes_strings():
    banned = {"eval", "exec", "from_formula", "read_pickle", "load_pickle"}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert name not in banned, f"{path.name}:{node.lineno} {name}"
