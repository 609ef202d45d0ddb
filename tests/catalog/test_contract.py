from __future__ import annotations

from datetime import date

import pytest

from cpi_experiments.catalog.contract import Contract, Limits, Range, check_contract
from cpi_experiments.catalog.project import load_project
from cpi_experiments.catalog.starter_project import STARTER
from cpi_experiments.errors import CatalogError

GOOD = """\
name: shop
sources:
  quotes: data/quotes.csv
  orders:
    path: data/orders_*.csv
    key: [order_id]
    kinds: {order_id: text, price: number}
    ranges: {price: {low: 0}}
    missing: {meal: [Undefined], hiv: [-1]}
    time: bought_at
    earliest: 2016-01-01
    orderings: [bought_at <= delivered_at]
    references: {quote_id: quotes.id}
    required_when: {delivered_at: {status: [delivered]}}
    limits: {negative: 0.02}
"""


@pytest.fixture
def load(tmp_path):
    def load_text(text):
        (tmp_path / "cpi.yaml").write_text(text)
        return load_project(tmp_path)

    return load_text


def test_a_source_is_a_path_or_a_path_with_a_contract(load):
    project = load(GOOD)
    assert project.sources == {"quotes": "data/quotes.csv", "orders": "data/orders_*.csv"}
    assert project.contracts == {
        "orders": Contract(
            key=("order_id",), kinds={"order_id": "text", "price": "number"}, ranges={"price": Range(low=0.0)},
            missing={"meal": ("Undefined",), "hiv": (-1,)}, time="bought_at", earliest=date(2016, 1, 1),
            orderings=("bought_at <= delivered_at",), references={"quote_id": "quotes.id"},
            required_when={"delivered_at": {"status": ("delivered",)}}, limits=Limits(negative=0.02),
        )
    }  # fmt: skip
    assert str(project) == "shop: 2 sources, UTC, EUR, FDR 0.1"


def test_the_starter_shows_a_contract():
    project = load_project(STARTER)
    assert project.sources["quotes"] == "data/quotes.csv"
    assert project.contracts["quotes"].pairs == (("requested_at", "<=", "quoted_at"),)


def test_the_limits_of_the_design_hold_unless_another_is_written():
    limits = Limits()
    assert (limits.future, limits.null_id, limits.negative, limits.range) == (0.001, 0.05, 0.01, 0.0)


@pytest.mark.parametrize(
    ("old", "new", "line", "parts"),
    [
        ("key: [order_id]", "keys: [order_id]", 6, ["unknown key `keys`", "Did you mean 'key'?"]),
        ("key: [order_id]", "key: order_id", 6, ["the text 'order_id'; a list is needed"]),
        ("price: number}", "price: numbr}", 7, ["'number', 'text', 'time' or 'flag'"]),
        ("{low: 0}", "{low: five}", 8, ["a number is needed"]),
        ("{low: 0}", "{low: 5, high: 2}", 8, ["low 5 is above high 2", "Swap them"]),
        ("{low: 0}", "{}", 8, ["the range has no end"]),
        ("[-1]", "[]", 9, ["the list is empty"]),
        ("time: bought_at\n    earliest: 2016-01-01", "recorded: seen_at", 10, ["there is no `time` to compare it with"]),
        ("2016-01-01", "2016-13-01", 11, ["the text '2016-13-01'"]),
        ("earliest: 2016-01-01", "earliest: 2016-01-01\n    latest: 2015-01-01", 11, ["is after latest, 2015-01-01"]),
        ("bought_at <= delivered_at", "bought_at before delivered_at", 12, ["not an ordering", "earlier_column <= later_column"]),
        ("bought_at <= delivered_at", "bought_at <= bought_at", 12, ["compared with itself"]),
        ("quotes.id", "quotes", 13, ["not a column of a table", "table.column"]),
        ("quotes.id", "quote.id", 13, ["'quote' is not a source", "Did you mean 'quotes'?"]),
        ("negative: 0.02", "negative: 2", 15, ["2 is not between 0 and 1", "0.02 is 2%"]),
        ("negative: 0.02", "negative: -1", 15, ["-1 is not between 0 and 1", "Write 0.01 for 1%"]),
        ("negative: 0.02", "negativ: 0.02", 15, ["unknown key `limits.negativ`", "Did you mean 'negative'?"]),
        ("path: data/orders_*.csv", "path: /data/orders.csv", 5, ["absolute"]),
        ("path: data/orders_*.csv", "path: 7", 5, ["the number 7; a text is needed"]),
        ("    path: data/orders_*.csv\n", "", 4, ["source 'orders': there is no `path`", "path: data/orders.csv"]),
        ("time: bought_at", "time: bought_at\n    time_zone: Europe/Berlim", 11, ["not a time zone"]),
        ("kinds: {order_id: text, price: number}", "kinds: {price: text}", 7, ["'text' has no range, unit or rate"]),
        ("key: [order_id]", "key: [order_id, order_id]", 6, ["'order_id' stands twice"]),
        ("key: [order_id]", "same_as: {a: a}", 6, ["compared with itself"]),
        ("name: shop", "name: shop\ncontracts: {}", 2, ["unknown key `contracts`", "under the table"]),
    ],
)  # fmt: skip
def test_bad_contracts_say_what_where_and_how_to_mend(load, old, new, line, parts):
    assert old in GOOD
    with pytest.raises(CatalogError) as caught:
        load(GOOD.replace(old, new))
    assert caught.value.where == f"cpi.yaml:{line}"
    assert [part for part in parts if part not in str(caught.value)] == []


def test_every_finding_of_a_contract_is_told_at_once(load):
    with pytest.raises(CatalogError, match="3 errors"):
        load(GOOD.replace("{low: 0}", "{}").replace("quotes.id", "quotes").replace("negative: 0.02", "negative: 2"))


def test_a_contract_made_in_python_is_checked_where_it_is_used():
    with pytest.raises(CatalogError, match=r"the contract of 'orders': `limits.future`: 5 is not between 0 and 1"):
        check_contract(Contract(limits=Limits(future=5)), where="the contract of 'orders'")
    check_contract(Contract(), where="nothing")


def test_every_column_that_is_named_is_known_with_its_place():
    contract = Contract(
        key=("a",), entity="b", same_as={"c": "d"}, required_when={"e": {"f": ("x",)}}, not_all_zero=(("g", "h"),),
        orderings=("i < j",), rates={"k": "l"}, public=("a",),
    )  # fmt: skip
    assert set(contract.columns) == set("abcdefghijkl")
    assert contract.columns["f"] == ("required_when", "e", "f")
    assert contract.columns["h"] == ("not_all_zero", 0, 1)
    said = "contract: key, entity, same_as, required_when, not_all_zero, rates, orderings, public"
    assert " ".join(str(contract).split()) == said
    assert str(Contract()) == "contract: nothing is required"


@pytest.mark.parametrize(
    "wrong",
    [
        {"kinds": {"a": "nummer"}},
        {"units": {"r": "frction"}},
        {"repeated_rows": "copy"},
        {"gap_times": "foo"},
        {"key": "order_id"},
        {"ranges": {"a": (0, 100)}},
    ],
    ids=str,
)
def test_a_word_that_nobody_knows_is_refused_in_python_too(wrong):
    with pytest.raises(CatalogError, match=next(iter(wrong))):
        check_contract(Contract(**wrong), where="contract")
