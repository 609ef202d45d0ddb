from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_experiments.catalog.contract import Contract, Limits, Range
from cpi_experiments.errors import CatalogError, DataError
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.quality.checks import check_data, check_join, check_table, kept_rows_sql
from cpi_experiments.measure.quality.clock import clock_changes

N = 200
RNG = np.random.default_rng(20260401)
DAYS = pd.date_range("2026-01-01 09:30", periods=N, freq="7h")
HOURS = RNG.lognormal(1.0, 0.5, N)


def frame(**columns):
    return pd.DataFrame({"order_id": [f"o{i:04d}" for i in range(N)], **columns})


def some(values, bad, rows=(3,)):
    changed = list(values)
    for i, row in enumerate(rows):
        changed[row] = bad[i] if isinstance(bad, list) else bad
    return changed


def texts(*levels):
    return [levels[i % len(levels)] for i in range(N)]


STATUS = texts("delivered", "delivered", "delivered", "shipped")
MONTHS = np.repeat([0, 1], N // 2)

#: rule: data, contract, severity, column, rows
FOUND = {
    "double-key": (frame().assign(order_id=some(frame()["order_id"], "o0001")), Contract(key=("order_id",)), "error", "order_id", 2),
    "missing-id": (frame(who=some(texts("a", "b"), [None, " "], (3, 4))), Contract(entity="who"), "warning", "who", 2),
    "future-rows": (frame(at=DAYS), Contract(time="at", limits=Limits(future=0.5)), "warning", "at", 74),
    "early-rows": (frame(at=DAYS), Contract(time="at", earliest=date(2026, 1, 2), limits=Limits(early=0.02)), "warning", "at", 3),
    "late-rows": (frame(at=DAYS[0], seen=DAYS), Contract(time="at", recorded="seen"), "warning", "seen", 74),
    "negative-duration": (
        frame(a=DAYS, b=some(DAYS + pd.Timedelta("2h"), pd.Timestamp("2025-12-31"))),
        Contract(orderings=("a <= b",)), "warning", "a, b", 1,
    ),
    "missing-required": (frame(x=some(HOURS, np.nan, (1, 2))), Contract(required=("x",)), "warning", "x", 2),
    "contradiction": (
        frame(status=STATUS, done=some(HOURS, np.nan, (0, 3))),
        Contract(required_when={"done": {"status": ("delivered",)}}), "warning", "done", 1,
    ),
    # B19
    "infinite": (frame(x=some(HOURS, [np.inf, 1e300], (1, 2))), Contract(), "error", "x", 2),
    "out-of-range": (frame(nps=some([9] * 100 + [7] * 100, [11, -1], (1, 2))), Contract(ranges={"nps": Range(low=0, high=10)}), "error", "nps", 2),
    "all-zero": (frame(a=some([1] * N, 0), b=[0] * N), Contract(not_all_zero=(("a", "b"),)), "error", "a, b", 1),
    "unknown-level": (frame(status=some(STATUS, "lost")), Contract(levels={"status": ("delivered", "shipped")}), "error", "status", 1),
    "skipped-hour": (
        frame(at=some(DAYS, pd.Timestamp("2026-03-29 02:30"))), Contract(time_zone="Europe/Berlin"), "error", "at", 1,
    ),
    "doubled-hour": (
        frame(at=some(DAYS, pd.Timestamp("2025-10-26 02:30"))), Contract(time_zone="Europe/Berlin"), "info", "at", 1,
    ),
    "moved-hour": (
        frame(at=some(DAYS, pd.Timestamp("2026-03-29 02:30"))), Contract(time_zone="Europe/Berlin", gap_times="later"), "warning", "at", 1,
    ),
    "repeated-rows": (pd.DataFrame({"x": [*range(N), 7, 7]}), Contract(), "warning", "", 2),
    "same-but-for-key": (
        frame(**{name: [0, 0, *range(2, N)] for name in "abcde"}), Contract(key=("order_id",)), "info", "", 1,
    ),
    "two-ids": (
        frame(person=[0, 0, *range(2, N)]), Contract(same_as={"person": "order_id"}), "error", "person, order_id", 1,
    ),
    # B09
    "all-missing": (frame(x=[np.nan] * N), Contract(), "warning", "x", N),
    "missing": (frame(x=some(HOURS, np.nan, (5, 6))), Contract(), "info", "x", 2),
    "constant": (frame(x=["same"] * N), Contract(), "info", "x", N),
    "number-as-text": (frame(x=some([f"{h:.2f}" for h in HOURS], " ", (1, 2))), Contract(), "warning", "x", 2),
    # B02
    "decimal-comma": (frame(x=[f"{h:.2f}".replace(".", ",") for h in HOURS]), Contract(), "error", "x", N),
    "two-digit-year": (frame(at=["1/2/68 9:05"] * 100 + ["12/31/25 22:33"] * 100), Contract(), "warning", "at", N),
    "time-as-text": (frame(at=["01/02/2026"] * 100 + ["12/03/2026"] * 100), Contract(kinds={"at": "time"}), "error", "at", N),
    # B13
    "mixed-zones": (
        frame(at=["2026-01-01T10:00:00+02:00"] * 150 + ["2026-01-01T11:00:00"] * 50), Contract(), "error", "at", 50,
    ),
    # B21
    "leading-zeros": (frame(zip_code=some(texts("10115", "80331"), "01037")), Contract(), "info", "zip_code", 1),
    "padded-text": (frame(status=some(STATUS, "shipped ")), Contract(), "warning", "status", 1),
    "code-for-missing": (frame(meal=some(texts("BB", "HB"), "Undefined")), Contract(), "warning", "meal", 1),
    "id-as-float": (frame(area_id=some(np.arange(N) + 1000.0, np.nan)), Contract(), "warning", "area_id", N - 1),
    "wrong-kind": (frame(x=some([0.0, 1.0] * 100, 0.37)), Contract(kinds={"x": "flag"}), "error", "x", N),
    "serial-date": (frame(at=46_000 + np.arange(N)), Contract(time="at"), "error", "at", N),
    # B18
    "percent-as-fraction": (frame(x=some(RNG.uniform(0, 1, N), 97.3)), Contract(units={"x": "fraction"}), "error", "x", 1),
    "fraction-as-percent": (frame(x=RNG.uniform(0, 1, N)), Contract(units={"x": "percent"}), "warning", "x", N),
    "percent-or-fraction": (frame(win_rate=some(RNG.uniform(0, 1, N), 97.3)), Contract(), "info", "win_rate", 1),
    "epoch-as-number": (frame(created_at=1_767_000_000 + 60 * np.arange(N)), Contract(), "warning", "created_at", N),
    "mixed-epochs": (
        frame(created_at=[1_767_000_000 + i if i % 5 else 1_767_000_000_000 + i for i in range(N)]), Contract(), "error", "created_at", 40,
    ),
    "zero-exposure": (frame(clicks=[1] * N, views=some([9] * N, 0)), Contract(rates={"clicks": "views"}), "warning", "views", 1),
    "default-date": (frame(at=some(DAYS, pd.Timestamp("1970-01-01 08:00"))), Contract(), "warning", "at", 1),
    "far-future": (frame(at=some(DAYS, pd.Timestamp("2068-01-02"))), Contract(), "warning", "at", 1),
    "midnight-times": (
        frame(done=DAYS, due=DAYS.normalize() + pd.Timedelta("3D")), Contract(orderings=("done <= due",)), "warning", "due", N,
    ),
    "level-variants": (frame(status=some(STATUS, ["Shipped", "shipped", "DELIVERED"], (1, 2, 5))), Contract(), "warning", "status", 2),
    "misspelt-level": (frame(status=some(STATUS, "delivred")), Contract(), "warning", "status", 1),
    "third-answer": (frame(support=texts("Yes", "No", "No", "No internet service")), Contract(), "warning", "support", 50),
    "mixed-codes": (
        frame(country=texts("PRT", "GBR", "FRA", "ESP", "DEU", "ITA", "IRL", "BEL", "CHN", "CN")), Contract(), "warning", "country", 20,
    ),
    "one-or-two": (frame(status=[1, 2] * 100), Contract(), "info", "status", N),
    "gives-outcome-away": (
        frame(won=[0, 1, 1, 1] * 50, stage=texts("lost", "signed", "paid", "paid")), Contract(outcome="won"), "warning", "stage", N,
    ),
    "one-row-is-everything": (frame(rounds=some(np.arange(N), 49_854)), Contract(), "warning", "rounds", 1),
    "one-person-is-everything": (
        frame(who=[f"c{i % 50}" for i in range(N)], revenue=[60.0 if i % 50 == 0 else 1.0 for i in range(N)]),
        Contract(entity="who"), "warning", "revenue", 0,
    ),
    "collinear": (frame(hours=HOURS, minutes=60 * HOURS), Contract(), "warning", "hours, minutes", N),
    "scale-jump": (
        frame(at=pd.to_datetime(["2026-01-15"] * 100 + ["2026-02-15"] * 100), hours=HOURS * np.where(MONTHS, 60, 1)),
        Contract(time="at"), "warning", "hours", 100,
    ),
    "unit-guess": (
        frame(branch=texts("north", "south", "east", "west"), hours=HOURS * np.where(np.arange(N) % 4 == 3, 60, 1)),
        Contract(units={"hours": "hour"}), "warning", "hours", 50,
    ),
    "not-checked": (frame(x=HOURS), Contract(references={"order_id": "orders.order_id"}), "info", "order_id", 0),
}  # fmt: skip


@pytest.mark.parametrize("rule", FOUND)
def test_every_rule_finds_its_fault_and_only_there(rule):
    data, contract, severity, column, rows = FOUND[rule]
    report = check_data(data, contract=contract, as_of="2026-02-06")
    found = report.named(rule)
    assert [(each.severity, each.column, each.rows) for each in found] == [(severity, column, rows)]
    assert report.passed == (not report.errors)
    assert found[0].advice
    assert rule in report.to_frame()["rule"].tolist()


#: rule, data, contract, severity, column, rows
ALSO = [
    ("wrong-kind", frame(zip_code=np.arange(N) + 1_000), Contract(kinds={"zip_code": "text"}), "warning", "zip_code", N),
    ("wrong-kind", frame(won=some(["yes", "no"] * 100, "maybe")), Contract(kinds={"won": "flag"}), "error", "won", N),
    ("level-variants", frame(won=some(["yes", "no"] * 100, "TRUE")), Contract(), "warning", "won", N),
    ("unit-guess", frame(wait=HOURS * 3e5), Contract(units={"wait": "hour"}), "warning", "wait", N),
    ("code-for-missing", frame(age=some([30, 41] * 100, 999, (3, 4))), Contract(), "warning", "age", 2),
    ("mixed-codes", frame(c=texts("DE", "FR", "ES", "IT", "IE", "BE", "NL", "DK", "SE", "PT", "DEU")), Contract(), "warning", "c", 18),
    ("unknown-level", frame(won=[True, False] * 100), Contract(levels={"won": ("true",)}), "error", "won", 100),
    ("scale-jump", frame(at=np.repeat(pd.to_datetime(["2026-01-15", "2026-02-15"]), 100), x=HOURS * np.where(MONTHS, 15, 1)),
     Contract(time="at"), "warning", "x", 100),
    ("gives-outcome-away", frame(won=[0, 1, 1, 1] * 50, stage=some(texts("lost", "won", "won", "won"), "lost")),
     Contract(outcome="won"), "warning", "stage", 199),
    ("default-date", frame(day=some(DAYS.date, date(1900, 1, 1))), Contract(), "warning", "day", 1),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "data", "contract", "severity", "column", "rows"), ALSO)
def test_rules_hold_for_other_kinds_of_the_same_fault(rule, data, contract, severity, column, rows):
    found = check_data(data, contract=contract).named(rule)
    assert [(each.severity, each.column, each.rows) for each in found] == [(severity, column, rows)]


def test_an_outcome_of_many_values_has_no_leak_by_level():
    data = frame(spend=HOURS, stage=texts("a", "b"))
    assert not check_data(data, contract=Contract(outcome="spend")).named("gives-outcome-away")


def test_an_engine_and_its_table_are_data():
    with Tables({"orders": frame(hours=some(HOURS, -1.0))}) as tables:
        report = check_data((tables, "orders"), contract=Contract(ranges={"hours": Range(low=0)}))
    assert [each.table for each in report.errors] == ["orders"]


def test_a_clean_table_has_no_findings():
    data = frame(at=DAYS, hours=HOURS, status=STATUS, won=RNG.integers(0, 2, N))
    contract = Contract(
        key=("order_id",), time="at", required=("hours",), levels={"status": ("delivered", "shipped")}, outcome="won",
        units={"hours": "hour"}, ranges={"hours": Range(low=0)}, time_zone="Europe/Berlin", kinds={"won": "flag"},
    )  # fmt: skip
    report = check_data(data, contract=contract, as_of="2026-12-31")
    assert str(report) == "data: 200 rows, nothing found"
    assert (report.passed, report.losses, report.alarms) == (True, (), ())
    report.raise_if_bad()


@pytest.mark.parametrize(
    ("data", "contract", "rule", "limit"),
    [
        (frame(at=DAYS), Contract(time="at"), "future-rows", "future"),  # B12
        (frame(a=DAYS, b=DAYS[::-1]), Contract(orderings=("a < b",)), "negative-duration", "negative"),  # B16
        (frame(who=[None] * 20 + ["a"] * 180), Contract(entity="who"), "missing-id", "null_id"),  # B23
        (pd.DataFrame({"x": [1, 2] * 100}), Contract(), "repeated-rows", "repeated"),  # B11
    ],
)
def test_a_few_bad_rows_are_set_aside_and_many_are_an_error(data, contract, rule, limit):
    strict = check_data(data, contract=contract, as_of="2026-02-06")
    assert strict.named(rule)[0].severity == "error"
    with pytest.raises(DataError, match=r"data[^:]*: \d+ of [\d,]+ rows"):
        strict.raise_if_bad()
    loose = Contract(
        **{name: getattr(contract, name) for name in ("time", "orderings", "entity")}, limits=Limits(**{limit: 1.0})
    )
    found = check_data(data, contract=loose, as_of="2026-02-06")
    assert found.named(rule)[0].severity == "warning"
    assert found.losses[0][2] == found.named(rule)[0].rows
    found.raise_if_bad()


def test_future_rows_are_an_error_above_one_in_a_thousand():  # B12
    at = pd.Series(pd.date_range("2026-01-01", periods=2000, freq="1min"))
    for n, severity in ((2, "warning"), (3, "error")):
        changed = at.copy()
        changed[:n] = pd.Timestamp("2026-06-01")
        found = check_data(
            pd.DataFrame({"at": changed, "x": range(2000)}), contract=Contract(time="at"), as_of="2026-03-31"
        )
        assert [(each.severity, each.rows) for each in found.named("future-rows")] == [(severity, n)]
        assert found.losses == (("at", "after the day of the analysis", n),)


def test_the_day_of_the_analysis_belongs_to_it_and_the_next_moment_does_not():
    at = [pd.Timestamp("2026-03-31 23:59:59.999999"), pd.Timestamp("2026-04-01")]
    found = check_data(pd.DataFrame({"at": at}), contract=Contract(time="at"), as_of=date(2026, 3, 31))
    assert [each.rows for each in found.named("future-rows")] == [1]
    latest = check_data(pd.DataFrame({"at": at}), contract=Contract(time="at", latest=date(2026, 3, 31)))
    assert [each.rows for each in latest.named("future-rows")] == [1]


def test_times_in_the_skipped_hour_ask_for_a_rule_and_follow_it():  # B14
    at = [pd.Timestamp(f"2026-03-29 {clock}") for clock in ("01:59", "02:00", "02:59:59", "03:00")]
    data = pd.DataFrame({"at": at, "x": [1, 2, 3, 4]})
    report = check_data(data, contract=Contract(time_zone="Europe/Berlin"))
    with pytest.raises(DataError, match=r"data.at: 2 of 4 rows(.|\n)*`gap_times: later`(.|\n)*`gap_times: set_aside`"):
        report.raise_if_bad()
    aside = check_data(data, contract=Contract(time_zone="Europe/Berlin", gap_times="set_aside"))
    assert aside.losses == (("at", "at a time that clocks of Europe/Berlin skipped", 2),)
    with Tables({"t": data}) as tables:
        moved = tables.query("SELECT epoch(timezone('Europe/Berlin', \"at\")) AS s FROM t")["s"]
        kept = tables.query(kept_rows_sql(tables, "t", Contract(time_zone="Europe/Berlin", gap_times="set_aside")))
    assert moved[1] - moved[0] == 60  # 02:00 is read as 03:00, as `gap_times: later` says
    assert kept["x"].tolist() == [1, 4]


@pytest.mark.parametrize(
    ("zone", "year", "gap", "doubled"),
    [  # tz database
        ("America/Sao_Paulo", 2017, "2017-10-15T00:00:00", "2017-02-18T23:00:00"),
        ("Australia/Lord_Howe", 2026, "2026-10-04T02:00:00", "2026-04-05T01:30:00"),
        ("America/New_York", 2026, "2026-03-08T02:00:00", "2026-11-01T01:00:00"),
    ],
)
def test_clock_changes_are_those_of_the_zone(zone, year, gap, doubled):
    first, last = pd.Timestamp(year, 1, 5).to_pydatetime(), pd.Timestamp(year, 12, 28).to_pydatetime()
    gaps, twice = clock_changes(zone, first=first, last=last)
    assert (gaps[0][0], twice[0][0], len(gaps), len(twice)) == (gap, doubled, 1, 1)


def test_times_with_a_zone_have_no_skipped_hour():
    at = pd.to_datetime(["2026-03-29 02:30", "2026-03-29 01:30"], utc=True)
    report = check_data(pd.DataFrame({"at": at}), contract=Contract(time_zone="Europe/Berlin"))
    assert not report.named("skipped-hour")


def test_each_row_is_lost_once_under_its_first_reason():
    data = pd.DataFrame({"id": ["a", None, "c", "d"], "x": [1.0, -1.0, -1.0, np.nan]})
    contract = Contract(
        key=("id",), required=("x",), ranges={"x": Range(low=0)}, limits=Limits(null_id=1, missing=1, range=1)
    )
    report = check_data(data, contract=contract)
    assert report.losses == (("id", "without id", 1), ("x", "without x", 1), ("x", "below 0", 1))
    assert report.named("out-of-range")[0].rows == 2
    with Tables({"t": data}) as tables:
        assert tables.query(kept_rows_sql(tables, "t", contract))["id"].tolist() == ["a"]
        assert len(tables.query(kept_rows_sql(tables, "t", Contract()))["id"]) == 4


def test_codes_for_missing_are_missing_and_no_longer_guessed():
    data = frame(hiv=some([0, 1] * 100, -1, (7, 8)), meal=some(texts("BB", "HB"), "Undefined"))
    blind = check_data(data)
    assert {(each.column, each.rows) for each in blind.named("code-for-missing")} == {("hiv", 2), ("meal", 1)}
    told = check_data(data, contract=Contract(missing={"hiv": (-1,), "meal": ("Undefined",)}))
    assert not told.named("code-for-missing")
    assert {(each.column, each.rows) for each in told.named("missing")} == {("hiv", 2), ("meal", 1)}


def test_na_and_none_are_a_country_and_a_name():  # B22
    report = check_data(frame(country=texts("NA", "ZA", "DE", "FR"), name=texts("None", "Ann", "Ben", "Eve")))
    assert report.findings == ()


@pytest.mark.parametrize("policy", ["copies", "events"])
def test_what_repeated_rows_are_is_said_and_done(policy):
    report = check_data(pd.DataFrame({"x": [1, 2] * 100}), contract=Contract(repeated_rows=policy))
    assert report.passed
    assert report.losses == ((("data", "repeated rows", 198),) if policy == "copies" else ())


def test_references_are_followed_between_tables():
    tables = Tables(
        {"orders": pd.DataFrame({"c": ["a", "b", None, "z"]}), "customers": pd.DataFrame({"id": ["a", "b"]})}
    )
    report = check_table(tables, "orders", Contract(references={"c": "customers.id"}))
    assert [(each.severity, each.rows) for each in report.named("leads-nowhere")] == [("error", 1)]
    with pytest.raises(DataError, match="Did you mean 'id'"):
        check_table(tables, "orders", Contract(references={"c": "customers.idd"}))


def test_an_empty_table_is_an_error():  # B07
    report = check_data(pd.DataFrame({"x": pd.Series([], dtype=float)}))
    with pytest.raises(DataError, match="the table has no rows"):
        report.raise_if_bad()


@pytest.mark.parametrize(
    ("contract", "says"),
    [
        (
            Contract(key=("order",)),
            r"column 'order' is missing, which `key.0` of the contract names(.|\n)*'order_id'",
        ),  # B08
        (Contract(key=("order_id",), required=("x", "y")), "columns 'x', 'y' are missing"),
        (Contract(orderings=("order_id <= done",)), "'done' is missing, which `orderings.0`"),
        (Contract(required_when={"order_id": {"status": ("x",)}}), "which `required_when.order_id.status`"),
    ],
)
def test_columns_that_the_contract_names_must_be_there(contract, says):
    with pytest.raises(DataError, match=says):
        check_data(frame(), contract=contract)


def test_a_contract_that_cannot_be_meant_is_refused():
    with pytest.raises(CatalogError, match="2 errors"):
        check_data(frame(), contract=Contract(orderings=("a before b",), limits=Limits(future=5)))


def test_bad_answers_of_a_scale_are_counted_value_by_value():  # B17
    data = frame(nps=some([9] * N, [11, -1, 11], (1, 2, 3)), days=some([9.5] * N, [-1.25]), order_no=range(N))
    contract = Contract(ranges={"nps": Range(low=0, high=10), "days": Range(low=0), "order_no": Range(high=198)})
    found = {each.column: each.found for each in check_data(data, contract=contract).named("out-of-range")}
    assert found["nps"] == "3 of 200 rows (1.5%) lie outside 0 to 10: -1 in 1, 11 in 2"
    assert (found["days"], found["order_no"]) == (
        "1 of 200 rows (0.5%) lie below 0", "1 of 200 rows (0.5%) lie above 198",
    )  # fmt: skip


def test_sums_beyond_sixty_three_bits_are_exact():  # B20
    cents = [4_611_686_018_427_387_904] * 5
    with Tables({"t": pd.DataFrame({"cents": cents})}) as tables:
        assert int(tables.query("SELECT CAST(sum(cents) AS VARCHAR) AS s FROM t")["s"][0]) == sum(cents)
    assert not check_data(pd.DataFrame({"cents": [*cents, 1]})).named("infinite")


def test_many_errors_are_one_message():
    data = pd.DataFrame({f"x{i}": [-1.0, 2.0] for i in range(14)})
    report = check_data(data, contract=Contract(ranges={name: Range(low=0) for name in data}))
    with pytest.raises(DataError, match=r"14 rules of the table are broken(.|\n)*\.\.\. 2 more") as caught:
        report.raise_if_bad()
    assert str(caught.value).count("below 0") == 12


def test_rules_of_kinds_that_do_not_fit_are_errors_never_silence():
    data = frame(t=["1/2/26 9:05"] * N, n=[f"n{i}" for i in range(N)], flag=[True, False] * 100, day=DAYS)
    contract = Contract(
        kinds={"flag": "time", "day": "flag"},
        ranges={"n": Range(low=0)},
        orderings=("t <= day",),
        not_all_zero=(("n", "flag"),),
    )
    found = {(each.rule, each.column) for each in check_data(data, contract=contract).errors}
    assert found == {("two-digit-year", "t"), ("number-as-text", "n"), ("wrong-kind", "flag"), ("wrong-kind", "day")}


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(40)), st.integers(1, 39))
def test_row_order_never_matters(order, cut):
    data = frame(at=DAYS, hours=HOURS, status=some(STATUS, "delivred")).head(40)
    contract = Contract(key=("order_id",), time="at", ranges={"hours": Range(low=1)})
    shuffled = data.iloc[list(order)].reset_index(drop=True)
    assert check_data(shuffled, contract=contract, as_of="2026-01-05") == check_data(
        data, contract=contract, as_of="2026-01-05"
    )


def test_a_dataframe_a_file_and_a_relation_give_the_same_findings(tmp_path):
    data = frame(at=DAYS, hours=some(HOURS, -1.0), status=some(STATUS, "delivred"))
    data.to_csv(tmp_path / "orders.csv", index=False)
    contract = Contract(key=("order_id",), time="at", ranges={"hours": Range(low=0)})
    one = check_data(data, contract=contract, as_of="2026-02-06")
    other = check_data(tmp_path / "orders.csv", contract=contract, as_of="2026-02-06")
    assert [str(each) for each in one.findings] == [str(each) for each in other.findings]


# -- joins -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right", "rules", "grows"),
    [
        (["a", "b"], ["a", "b", "c"], [], ""),
        (["a", "b"], ["a", "a", "b"], [("join-inflates", "error", 1)], "2 rows would become 3"),
        (["a", "a", "b"], ["a", "a", "b"], [("join-many-to-many", "error", 2)], "3 rows would become 5"),
        (["a", "b"], ["a"], [("join-unmatched", "error", 1)], ""),
        (["a"] * 99 + ["z"], ["a"], [("join-unmatched", "warning", 1)], ""),
        (["a", None], ["a"], [("join-without-key", "warning", 1)], ""),
        ([None, None], ["a"], [("join-without-key", "warning", 2)], ""),
        ([7, 8], ["007", "8"], [("join-unmatched", "error", 1), ("join-kinds", "error", 0)], ""),
    ],
)
def test_a_join_says_what_it_would_do(left, right, rules, grows):
    tables = Tables({"orders": pd.DataFrame({"id": left}), "reviews": pd.DataFrame({"order_id": right})})
    report = check_join(tables, "orders", "reviews", on={"id": "order_id"})
    assert [(each.rule, each.severity, each.rows) for each in report.findings] == rules
    assert grows in " ".join(str(report).split())
    joined = (
        pd.DataFrame({"id": left})
        .dropna()
        .astype(str)
        .merge(pd.DataFrame({"id": right}).astype(str), on="id", how="left")
    )
    if grows:
        assert grows.endswith(str(len(joined)))


def test_joins_on_several_columns_and_bad_questions():
    tables = Tables({"a": pd.DataFrame({"x": [1, 1], "y": [1, 2]}), "b": pd.DataFrame({"x": [1, 1], "y": [1, 2]})})
    assert check_join(tables, "a", "b", on=["x", "y"]).findings == ()
    assert [each.rule for each in check_join(tables, "a", "b", on="x").findings] == ["join-many-to-many"]
    with pytest.raises(DataError, match="nothing to join on"):
        check_join(tables, "a", "b", on=[])
    with pytest.raises(DataError, match="column 'z' is missing"):
        check_join(tables, "a", "b", on="z")
