from __future__ import annotations

import pytest

from cpi_experiments.catalog.entity_reader import read_entity
from cpi_experiments.catalog.load import load_catalog
from cpi_experiments.catalog.project import load_project
from cpi_experiments.catalog.starter_project import STARTER, write_starter
from cpi_experiments.errors import CatalogError
from cpi_experiments.randomized.experiment import Experiment


def test_starter_loads_and_has_no_finding(tmp_path):
    files = write_starter(tmp_path / "insurer", name="insurer")
    assert [str(file.relative_to(tmp_path / "insurer")) for file in files] == [
        "catalog/cpis.yaml", "catalog/kpis.yaml", "catalog/links.yaml", "catalog/teams_levers.yaml", "cpi.yaml", "data/README.txt", "experiments/auto_quote.yaml",
    ]  # fmt: skip
    project = load_project(tmp_path / "insurer")
    catalog = load_catalog(tmp_path / "insurer")
    assert project.name == "insurer"
    assert catalog.lint() == ()
    plan, _ = read_entity(project.experiments_path / "auto_quote.yaml", Experiment, root=project.root)
    assert plan.lever in catalog.levers
    assert {str(link) for link in plan.links} <= {str(link) for link in catalog.links}
    assert plan.table in project.sources
    assert list(tmp_path.iterdir()) == [tmp_path / "insurer"]


def test_every_line_of_the_starter_is_commented():
    bare = [
        f"{file.name}:{number}"
        for file in STARTER.rglob("*.yaml")
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if line.strip() and "#" not in line and not line.endswith(":")
    ]
    assert bare == []


def test_readme_names_every_table_and_column_that_the_starter_reads():
    catalog, text = load_catalog(STARTER), (STARTER / "data" / "README.txt").read_text()
    for indicator in (*catalog.cpis.values(), *catalog.kpis.values()):
        line = next(line for line in text.splitlines() if line.startswith(f"{indicator.measure.table}.csv"))
        assert indicator.measure.at in line
        assert indicator.measure.entity in line


def test_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "new").mkdir()
    assert len(write_starter(tmp_path / "new", name="new")) == 7


@pytest.mark.parametrize(
    ("target", "name", "found"),
    [
        ("full", "shop", "holds 1 files"),
        ("file", "shop", "is not a folder"),
        ("no/where", "shop", "does not exist"),
        ("new", "My Shop", "name 'My Shop' is not allowed"),
        ("new", "../x", "is not allowed"),
        ("x" * 300, "shop", "cannot be written"),
    ],
)
def test_nothing_is_written_where_it_must_not_be(tmp_path, target, name, found):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CatalogError, match=found):
        write_starter(tmp_path / target, name=name)
    assert sorted(tmp_path.rglob("*")) == before
