from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_experiments.catalog.expression import parse_expression, parse_filter
from cpi_experiments.errors import CatalogError

TABLE = """
CREATE TABLE t AS SELECT TIMESTAMP '2026-01-01 10:00' AS a, TIMESTAMP '2026-01-01 12:30' AS b, 3 AS n, 0 AS zero,
  NULL::DOUBLE AS gone, 'web' AS channel, 'it''s' AS note, TIMESTAMPTZ '2026-01-01 10:00+00' AS za, TIMESTAMPTZ '2026-01-02 10:00+00' AS zb
"""


def in_duckdb(sql):
    connection = duckdb.connect()
    connection.execute(TABLE)
    return connection.execute(f"SELECT {sql} FROM t").fetchall()[0][0]


@pytest.mark.parametrize(
    ("text", "value", "columns"),
    [
        ("n", 3, ("n",)),
        ("hours(a, b)", 2.5, ("a", "b")),
        ("minutes(a, b)", 150, ("a", "b")),
        ("seconds(a, b)", 9000, ("a", "b")),
        ("days(za, zb)", 1, ("za", "zb")),
        ("n + 2 * n - 1 / 4", 8.75, ("n",)),
        ("-n + -2", -5, ("n",)),
        ("n / 2", 1.5, ("n",)),
        ("n / zero", None, ("n", "zero")),
        ("greatest(n, 7, zero)", 7, ("n", "zero")),
        ("least(n, 0.5)", 0.5, ("n",)),
        ("greatest(n, gone)", None, ("n", "gone")),
        ("abs(zero - n)", 3, ("zero", "n")),
        ("n == 3", True, ("n",)),
        ("n != 3", False, ("n",)),
        ("n < 3", False, ("n",)),
        ("n <= 3", True, ("n",)),
        ("n > 3", False, ("n",)),
        ("n >= 3", True, ("n",)),
        ("channel == 'web'", True, ("channel",)),
        ("'web' != channel", False, ("channel",)),
        ("(n > 1) * 2", 2, ("n",)),
        ("1e-7 * n", 3e-7, ("n",)),
        ("0.1 + 0.2", 0.1 + 0.2, ()),
    ],
)
def test_sql_means_what_the_expression_says(text, value, columns):
    expression = parse_expression(text)
    assert in_duckdb(expression.sql()) == value
    assert expression.columns == columns


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("channel = 'web'", True),
        ('channel == "app"', False),
        ("channel != 'app'", True),
        ("n >= 2", True),
        ('note = "it"', False),
    ],
)
def test_filter_is_one_comparison(text, value):
    assert in_duckdb(parse_filter(text).sql()) is value


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')", "a.b", "a[0]", "lambda: a", "a ** 2", "a // 2", "a % 2", "a and b", "not a", "a if b else c", "[a]", "{a}",
        "f'{a}'", "a < b < c", "a in b", "a is b", "'x'", "'x' == 'y'", "a + 'x'", "a < 'x'", "hours(a)", "hours(a, b, c)", "hours(a, 1)",
        "hours(a, b=1)", "hours(*a)", "abs(a, b)", "greatest(a)", "sum(a)", "a.b(c)", "(a)(b)", "a := 1", "a; b", "a\\nb", "True + 1", "1j + a",
        "1e999 + a", "9" * 400 + " + a", "~a", "+a", "", "1or a", "a b", "(", "x" * 600, "(" * 90 + "a" + ")" * 90 + "+1" * 30, "ﬁ + 1",
        "-" * 60 + "a + b", "a @ b", "0x", "a = 1", "class + 1", "yield a", "`a`", '"a" + 1',
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_never_run(text):
    with pytest.raises(CatalogError, match=r"only \+ - \* /"):
        parse_expression(text)


def test_a_typing_slip_in_a_function_gets_a_hint():
    with pytest.raises(CatalogError, match="Did you mean 'hours'"):
        parse_expression("hour(a, b)")


def test_names_are_quoted_by_whoever_writes_the_sql():
    assert (
        parse_expression("won * price").sql(lambda name: f"CAST({name} AS DOUBLE)")
        == "(CAST(won AS DOUBLE) * CAST(price AS DOUBLE))"
    )
    assert parse_expression("select").sql() == '"select"'


def test_durations_tell_which_columns_must_hold_times():
    expression = parse_expression("hours(a, b) + n")
    assert expression.time_columns == ("a", "b")
    assert not expression.compares


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_no_text_raises_anything_but_a_catalog_error(text):
    try:
        expression = parse_expression(text)
    except CatalogError as error:
        assert error.advice  # noqa: PT017 - most texts are refused
    else:
        assert expression.sql()
