from __future__ import annotations

import hashlib
import hmac

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.catalog.contract import Contract, Limits, Range
from cpi_experiments.errors import DataError
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.quality.checks import check_data, check_join
from cpi_experiments.measure.quality.files import check_files
from cpi_experiments.measure.quality.quarantine import quarantine, write_quarantine

SALT = "a secret of this quarter"
DATA = pd.DataFrame(
    {
        "id": ["007", None, "9", "9", "11"],
        "line": [1, 1, 1, 2, 1],
        "hours": [2.0, 1.0, -3.0, 4.0, np.inf],
        "at": pd.to_datetime(["2026-01-01", "2026-01-01", "2026-05-01", "2026-05-01", "2026-01-01"]),
    }
)
CONTRACT = Contract(key=("id", "line"), time="at", ranges={"hours": Range(low=0)})


def test_rows_are_named_by_number_and_salted_hash_under_their_first_reason():
    frame = quarantine(Tables({"t": DATA}), "t", CONTRACT, salt=SALT, as_of="2026-03-31")
    assert frame["row"].tolist() == [2, 3, 4, 5]
    assert frame["reason"].tolist() == [
        "without id", "after the day of the analysis", "after the day of the analysis", "infinite or absurdly large",
    ]  # fmt: skip
    expected = hmac.new(SALT.encode(), b"9\x001", hashlib.sha256).hexdigest()
    assert frame["key_hash"].tolist()[:2] == ["", expected]
    other = quarantine(Tables({"t": DATA}), "t", CONTRACT, salt=SALT + "!", as_of="2026-03-31")
    assert not set(other["key_hash"][1:]) & set(frame["key_hash"][1:])


def test_a_table_without_faults_or_key_has_an_empty_quarantine_or_empty_hashes():
    tables = Tables({"t": DATA})
    assert len(quarantine(tables, "t", Contract(), salt=SALT)) == 1  # the infinite value
    assert quarantine(tables, "t", Contract(), salt=SALT)["key_hash"].tolist() == [""]
    assert quarantine(Tables({"t": DATA[["id"]]}), "t", Contract(), salt=SALT).empty


def test_a_short_salt_is_refused():
    with pytest.raises(DataError, match="the salt has 4 characters"):
        quarantine(Tables({"t": DATA}), "t", CONTRACT, salt="salt")


def test_the_file_is_written_whole_and_reads_back(tmp_path):
    frame = quarantine(Tables({"t": DATA}), "t", CONTRACT, salt=SALT, as_of="2026-03-31")
    path = write_quarantine(frame, tmp_path / "set_aside.csv")
    back = pd.read_csv(path, keep_default_na=False)
    assert back["key_hash"].tolist() == frame["key_hash"].tolist()
    assert [file.name for file in tmp_path.iterdir()] == ["set_aside.csv"]
    with pytest.raises(DataError, match="cannot be written"):
        write_quarantine(frame, tmp_path / "nowhere" / "set_aside.csv")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.assign(customer="Ann"), "1 columns more and 0 fewer"),
        (lambda f: f.drop(columns="rule"), "0 columns more and 1 fewer"),
        (lambda f: f.assign(reason="Ann Canary"), "`reason` is free text"),
        (lambda f: f.assign(row="Ann"), "`row` is not a whole number"),
        (lambda f: f.assign(key_hash="canary@example.org"), "4 values of `key_hash` are not hashes"),
    ],
)
def test_texts_are_never_written(tmp_path, change, says):
    frame = quarantine(Tables({"t": DATA}), "t", CONTRACT, salt=SALT, as_of="2026-03-31")
    with pytest.raises(DataError, match=says) as caught:
        write_quarantine(change(frame), tmp_path / "x.csv")
    assert "canary" not in str(caught.value).lower()
    assert not list(tmp_path.iterdir())


# -- canaries --------------------------------------------------------------------------------------------------------

MAIL, NAME, ACCOUNT = "canary@example.org", "Ann Canary", "ACCT-778899"


def spoiled(n=400):
    """Everything that can be wrong, with an e-mail and a name in every text column, often and rarely."""
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "mail": [MAIL if i % 2 else f"u{i}@example.org" for i in range(n)],
            "name": [[NAME, NAME.upper(), "Ann Canarry", f"{NAME} ", "No", "No thanks"][i % 6] for i in range(n)],
            "account": [ACCOUNT] * 3 + [f"ACCT-{i}" for i in range(n - 3)],
            "status": [[MAIL, "delivered", "delivered", "delivred", NAME][i % 5] for i in range(n)],
            "amount": [MAIL if i == 5 else f"{i},5" for i in range(n)],
            "at": [NAME if i == 5 else f"{i % 9 + 1}/2/26" for i in range(n)],
            "code": [["PRT", "GBR", "FRA", "ESP", "CHN", "CN", NAME][i % 7] for i in range(n)],
            "hours": rng.lognormal(1, 0.5, n) * np.where(np.arange(n) % 5 == 0, 60, 1),
            "won": [i % 5 == 0 for i in range(n)],
        }
    )


CONTRACTS = [
    Contract(),
    Contract(
        key=("account",), entity="mail", same_as={"account": "name"}, required=("name",), kinds={"at": "time", "amount": "number", "name": "flag"},
        levels={"status": ("delivered",)}, units={"hours": "hour"}, ranges={"hours": Range(low=1, high=20)}, outcome="won",
        references={"name": "data.mail"}, limits=Limits(range=1.0), required_when={"name": {"status": ("delivered",)}},
    ),
    Contract(key=("mail", "name"), public=("code",), outcome="status", missing={"code": ("CN",)}),
]  # fmt: skip


@pytest.mark.parametrize("contract", CONTRACTS)
def test_no_finding_message_or_table_tells_a_name_or_an_address(tmp_path, contract):  # R09
    data = spoiled()
    report = check_data(data, contract=contract)
    assert len(report.findings) >= 4
    shown = [
        str(report),
        report._repr_html_(),
        report._repr_markdown_(),
        str(report.to_dict()),
        report.to_frame().to_csv(),
    ]
    shown += [str(each) + each._repr_html_() for each in report.findings] + [str(report.losses), str(report.alarms)]
    with pytest.raises(DataError) as caught:
        report.raise_if_bad()
    shown.append(str(caught.value))
    tables = Tables({"data": data, "other": data.head(50)})
    frame = quarantine(tables, "data", contract, salt=SALT)
    shown += [frame.to_csv(), write_quarantine(frame, tmp_path / "q.csv").read_text()]
    shown.append(str(check_join(tables, "data", "other", on=["name", "mail"])))
    for i in range(2):
        data.iloc[i * 150 : 250 + i * 150].to_csv(tmp_path / f"data_{i}.csv", index=False)
    shown.append(str(check_files(tmp_path / "data_*.csv", contract=contract)))
    for text in shown:
        assert [
            word for word in (MAIL, NAME, ACCOUNT, "canar", "example.org", "778899") if word.lower() in text.lower()
        ] == []
