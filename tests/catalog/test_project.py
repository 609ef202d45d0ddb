from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_experiments.catalog.project import Quarter, load_project
from cpi_experiments.errors import CatalogError, DataError, DesignError

GOOD = """\
name: shop
time_zone: Europe/Berlin
fiscal_year_start: 4
currency: USD
fdr: 0.05
sources:
  quotes: data/quotes_*.csv
  tickets: data/tickets.parquet
"""


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "shop"
    (root / "data").mkdir(parents=True)
    (root / "cpi.yaml").write_text(GOOD)
    for name in ("quotes_2.csv", "quotes_1.csv", "tickets.parquet"):
        (root / "data" / name).write_text("x")
    return root


def test_settings_and_paths_are_relative_to_the_folder(folder, tmp_path, monkeypatch):  # G12
    monkeypatch.chdir(tmp_path)
    project = load_project("shop")
    monkeypatch.chdir("/")
    assert project.root == folder
    assert [file.name for file in project.source_files("quotes")] == ["quotes_1.csv", "quotes_2.csv"]
    assert project.ledger_path == folder / "ledger.sqlite"
    assert project.reports_path == folder / "reports"
    assert project.catalog_path == folder / "catalog"
    assert project.experiments_path == folder / "experiments"
    assert project.quarter("2026Q1").start == date(2026, 4, 1)
    assert str(project) == "shop: 2 sources, Europe/Berlin, USD, FDR 0.05"


@pytest.mark.parametrize(
    ("old", "new", "line", "parts"),
    [
        ("fdr: 0.05", "fdr: 5", 5, ["`fdr: 5.0` is not between 0 and 1", "Did you mean 0.05?"]),  # G07
        ("fdr: 0.05", "fdr: 1", 5, ["Did you mean 0.01?"]),  # G07
        ("fdr: 0.05", "fdr: 0", 5, ["Did you mean 0.1?"]),  # G07
        ("fdr: 0.05", "fdr: -1", 5, ["not between 0 and 1"]),  # G07
        ("fdr: 0.05", "fdr: 0.05\nslots: 0", 6, ["`slots: 0` is not a number of places"]),
        ("fdr: 0.05", "fdr: 0.05\nlate_links: often", 6, ["`late_links: often` is not known", "planned or reactive"]),
        ("fdr: 0.05", "fdr: five", 5, ["the text 'five'; a number is needed"]),  # G07
        ("fdr:", "fdrr:", 5, ["unknown key `fdrr`", "Did you mean 'fdr'?"]),
        ("name: shop", "root: /", 1, ["unknown key `root`"]),
        ("name: shop", "name: My Shop", 1, ["not a short name"]),
        ("name: shop", "reports: ''", 1, ["has no `name`"]),
        ("name: shop", "name: shop\nreports: ''", 2, ["empty or absolute"]),
        ("Europe/Berlin", "Europe/Berlim", 2, ["not a time zone", "Did you mean 'Europe/Berlin'?"]),
        ("Europe/Berlin", "../../etc/passwd", 2, ["not a time zone", "Write it like UTC"]),
        ("start: 4", "start: 13", 3, ["not a month"]),
        ("currency: USD", "currency: usd", 4, ["three capital letters"]),
        ("data/tickets.parquet", "../tickets.parquet", 8, ["outside the project folder"]),
        ("data/tickets.parquet", "data/../data/tickets.parquet", 8, ["holds `..`"]),
        ("data/tickets.parquet", "data/link.parquet", 8, ["outside the project folder", "copy the data"]),
        ("data/quotes_*.csv", "data/lin*.csv", 7, ["outside the project folder"]),
        ("data/tickets.parquet", "/data/tickets.parquet", 8, ["absolute"]),
        ("data/tickets.parquet", "s3://bucket/x.parquet", 8, ["remote", "s3:"]),
        ("data/tickets.parquet", "https://bob:S3CRET@h/x.csv", 8, ["remote", "https:"]),
        ("data/tickets.parquet", "//host/x.csv", 8, ["remote"]),
        ("data/tickets.parquet", "data/x.pkl", 8, ["pickle", ".parquet"]),
        ("data/tickets.parquet", "data/x.joblib", 8, ["pickle"]),
        ("data/tickets.parquet", "data/x.xlsx", 8, ["unsupported kind", ".csv, .csv.gz, .parquet"]),
        ("  tickets:", "  'my table':", 8, ["table name 'my table' is not allowed"]),
        ("data/quotes_*.csv", "data/**x.csv", 7, ["not a file pattern"]),
        ("currency: USD", "ledger: ../x.sqlite", 4, ["outside the project folder"]),
    ],
)  # fmt: skip
def test_bad_settings_say_what_where_and_how_to_mend(folder, tmp_path, old, new, line, parts):
    (tmp_path / "outside.parquet").write_text("x")
    for name in ("link.parquet", "link.csv"):
        (folder / "data" / name).symlink_to(tmp_path / "outside.parquet")
    assert old in GOOD
    (folder / "cpi.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(CatalogError) as caught:
        load_project(folder)
    assert caught.value.where == f"cpi.yaml:{line}"
    assert [part for part in parts if part not in str(caught.value)] == []
    assert "S3CRET" not in str(caught.value)


def test_several_findings_are_told_at_once(folder):
    (folder / "cpi.yaml").write_text(
        GOOD.replace("0.05", "5").replace("USD", "usd").replace("tickets.parquet", "x.pkl")
    )
    with pytest.raises(CatalogError, match="3 errors"):
        load_project(folder)


def test_folder_without_settings_is_no_project(tmp_path):
    with pytest.raises(CatalogError, match=r"no cpi.yaml(.|\n)*cpi init"):
        load_project(tmp_path)


def test_sources_are_checked_again_when_they_are_used(folder, tmp_path):
    project = load_project(folder)
    with pytest.raises(DataError, match=r"table 'quote' is not a source(.|\n)*Did you mean 'quotes'"):
        project.source_files("quote")
    tickets = folder / "data" / "tickets.parquet"
    tickets.unlink()
    with pytest.raises(DataError, match="source 'tickets' has no file"):
        project.source_files("tickets")
    (tmp_path / "outside.parquet").write_text("x")
    tickets.symlink_to(tmp_path / "outside.parquet")
    with pytest.raises(CatalogError, match="outside the project folder"):
        project.source_files("tickets")


def test_a_loop_of_links_is_no_source(folder):
    tickets = folder / "data" / "tickets.parquet"
    tickets.unlink()
    tickets.symlink_to(tickets)
    with pytest.raises((CatalogError, DataError), match=r"no usable path|has no file"):  # when depends on the Python
        load_project(folder).source_files("tickets")


@pytest.mark.parametrize("text", ["2026Q5", "2026Q0", "Q4", "26Q4", "2026", "", "2026Q4x", "9999Q4", "0000Q1"])
def test_what_is_no_quarter_is_refused(text):  # G05
    with pytest.raises(DesignError, match=r"not a quarter(.|\n)*2026Q4"):
        Quarter.parse(text)


@settings(max_examples=60, deadline=None)
@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.integers(1, 12))
def test_every_day_lies_in_one_quarter_and_quarters_join(day, fiscal_year_start):
    quarter = Quarter.of(day, fiscal_year_start=fiscal_year_start)
    assert quarter.start <= day < quarter.end
    assert quarter.previous.end == quarter.start
    assert Quarter.parse(str(quarter), fiscal_year_start=fiscal_year_start) == quarter
    assert quarter.previous < quarter


@pytest.mark.parametrize("change", [{"number": 5}, {"fiscal_year_start": 0}, {"year": 0}])
def test_quarters_that_do_not_exist_cannot_be_made(change):
    with pytest.raises(DesignError, match="Quarters are 1 to 4"):
        Quarter(**{"year": 2026, "number": 1} | change)


def test_quarter_reads_small_letters_and_a_hyphen():
    assert Quarter.parse(" 2026-q4 ") == Quarter.parse("2026Q4")
