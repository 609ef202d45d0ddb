from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_experiments.catalog.load import load_catalog
from cpi_experiments.catalog.starter_project import STARTER
from cpi_experiments.catalog.yaml_marks import read_yaml
from cpi_experiments.errors import CatalogError
from cpi_experiments.estimate import Link

if TYPE_CHECKING:
    from cpi_experiments.catalog.entities import Catalog

LINK = Link(cpi_id="quote_hours", kpi_id="win_rate")
PARTS = [
    (section, item)
    for file in sorted((STARTER / "catalog").glob("*.yaml"))
    for section, items in read_yaml(file, root=STARTER).content.items()
    for item in items
]


def contents(catalog: Catalog) -> tuple[object, ...]:
    return (catalog.cpis, catalog.kpis, catalog.teams, catalog.levers, catalog.links, catalog.units)


def test_places_tell_file_and_line_of_entities_and_fields(write_catalog):
    places = load_catalog(write_catalog()).places
    assert places["cpi:quote_hours"] == "shop.yaml:2"
    assert places["link:quote_hours -> win_rate"] == "shop.yaml:26"
    assert places["kpi:win_rate.target"] == "shop.yaml:19"
    assert load_catalog(STARTER).places["link:quote_hours -> win_rate"] == "catalog/links.yaml:3"


def test_values_arrive_in_their_own_types(write_catalog):
    catalog = load_catalog(
        write_catalog(("unit: hour\n", "unit: hours\n"), ("increment: 1 hour", "increment: 30 minutes"))
    )
    assert catalog.cpi("quote_hours").unit == "hour"
    assert catalog.cpi("quote_hours").divisor == -0.5
    assert catalog.sesoi(LINK) == 0.004
    assert catalog.claimed(LINK).lag_days == (0, 28)
    assert catalog.lever_sign("auto_quote", "quote_hours") == 1


def test_declared_units_count(write_catalog):
    path = write_catalog(
        ("cpis:\n", "units: [parsec]\ncpis:\n"),
        ("unit: hour\n", "unit: parsecs\n"),
        ("increment: 1 hour", "increment: 2 parsecs"),
    )
    cpi = load_catalog(path).cpi("quote_hours")
    assert (cpi.unit, str(cpi.increment), cpi.divisor) == ("parsec", "2 parsec", -2.0)


@settings(max_examples=25, deadline=None)
@given(st.permutations(PARTS), st.lists(st.integers(0, 3), min_size=len(PARTS), max_size=len(PARTS)))
def test_order_and_split_over_files_never_matter(tmp_path_factory, parts, file_of_part):
    folder = tmp_path_factory.mktemp("split")
    for number in set(file_of_part):
        sections: dict[str, list[object]] = {}
        for (section, item), chosen in zip(parts, file_of_part, strict=True):
            if chosen == number:
                sections.setdefault(section, []).append(item)
        (folder / f"{number}.yaml").write_text(json.dumps(sections))
    assert contents(load_catalog(folder)) == contents(load_catalog(STARTER))


def test_project_folder_catalog_folder_and_file_all_load(tmp_path, write_catalog):
    project = tmp_path / "shop"
    shutil.copytree(STARTER, project)
    expected = contents(load_catalog(STARTER))
    assert contents(load_catalog(project / "cpi.yaml")) == expected
    (project / "catalog").rename(project / "claims")
    (project / "cpi.yaml").write_text((project / "cpi.yaml").read_text().replace("catalog: catalog", "catalog: claims"))
    assert contents(load_catalog(project)) == expected
    assert contents(load_catalog(project / "claims")) == expected
    (project / "claims").rename(project / "catalog")
    (project / "cpi.yaml").unlink()
    assert contents(load_catalog(str(project))) == expected
    (project / "catalog" / ".hidden.yaml").write_text("not: a catalog")
    assert contents(load_catalog(project / "catalog")) == expected


def test_places_do_not_depend_on_where_the_command_was_started(tmp_path, monkeypatch):
    shutil.copytree(STARTER, tmp_path / "shop")
    monkeypatch.chdir(tmp_path)
    assert load_catalog("shop") == load_catalog(tmp_path / "shop")
    assert load_catalog("shop").places["cpi:quote_hours"] == "catalog/cpis.yaml:4"


def test_a_mistake_is_told_once_and_hides_no_other(write_catalog):
    path = write_catalog(
        ("unit: hour\n", "unit: parsec/h\n"),
        ("unit: fraction", "unit: parsec/h"),
        ("increment: 1 hour", "increment: 0 hour"),
        ("hours(requested_at, quoted_at)", "quoted_at.x"),
        ("value: won", "value: won.x"),
    )
    with pytest.raises(CatalogError) as caught:
        load_catalog(path)
    assert [finding.where for finding in caught.value.findings] == [f"shop.yaml:{line}" for line in (8, 10, 11, 16, 18)]


def test_folders_without_a_catalog_are_refused_with_advice(tmp_path):
    with pytest.raises(CatalogError, match=r"no \.yaml file in (.|\n)*cpi init"):
        load_catalog(tmp_path)
    with pytest.raises(CatalogError, match=r"neither a folder nor a file(.|\n)*cpi init"):
        load_catalog(tmp_path / "nowhere")


def test_indicator_without_a_source_is_warned_about(tmp_path):
    project = tmp_path / "shop"
    shutil.copytree(STARTER, project)
    settings_file = project / "cpi.yaml"
    settings_file.write_text(settings_file.read_text().replace("  tickets:", "  ticketz:"))
    issues = [issue for issue in load_catalog(project).lint() if issue.rule == "no-data"]
    assert [issue.where for issue in issues] == ["catalog/cpis.yaml:36"]
    assert "Did you mean 'ticketz'?" in issues[0].remedy


def test_table_that_is_a_source_may_share_its_name_with_an_indicator(tmp_path):
    project = tmp_path / "shop"
    shutil.copytree(STARTER, project)
    cpis = project / "catalog" / "cpis.yaml"
    cpis.write_text(cpis.read_text().replace("id: first_time_resolution", "id: tickets"))
    for name in ("links", "teams_levers"):
        file = project / "catalog" / f"{name}.yaml"
        file.write_text(file.read_text().replace("first_time_resolution", "tickets"))
    assert load_catalog(project).cpi("tickets").measure.table == "tickets"


def test_empty_sections_are_allowed(write_catalog):
    text = write_catalog().read_text().split("links:")[0] + "links:\n"
    path = write_catalog(name="other.yaml")
    path.write_text(text)
    assert load_catalog(path).links == {}
