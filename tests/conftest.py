"""One demo for all tests of a session, and a shop of 600 customers whose quarter is judged within a second."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

SETTINGS = """\
name: shop
fdr: 0.10
sources:
  quotes: data/quotes.csv
  assignments: data/assignments.csv
"""
CATALOG = """\
cpis:
  - id: quote_hours
    label: Fast Quote
    outcome: "I get a price while I am still looking"
    benefit: functional
    function: sales
    discovery: {method: contextual_inquiry, when: 2026-03}
    unit: hour
    better: lower
    increment: 1 hour
    measure: {table: quotes, entity: customer_id, at: quoted_at, value: "hours(requested_at, quoted_at)"}
kpis:
  - id: win_rate
    label: Win rate
    unit: fraction
    better: higher
    measure: {table: quotes, entity: customer_id, at: decided_at, value: won}
    target: {baseline: 0.20, value: 0.23, due: 2027-06-30, cadence: monthly}
    worth: {amount: 310, currency: EUR}
teams:
  - {id: sales_ops, label: Sales Operations, function: sales}
levers:
  - {id: auto_quote, label: Auto-quote, team: sales_ops, moves: {quote_hours: lower}}
links:
  - cpi: quote_hours
    kpi: win_rate
    because: "Buyers stop looking once they have a price"
    expect: positive
    sesoi: 0.4 pp
"""
PLAN = """\
id: auto_quote_2026q2
lever: auto_quote
control: manual
allocation: {manual: 1, auto: 1}
hypotheses: ["quote_hours -> win_rate"]
randomize: customer_id
start: 2026-04-01
end: 2026-04-10
planned_n: 600
planned_move: 5
"""


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str
    seconds: float = 0.0
    mebibytes: float = 0.0
    folder: Path = Path()


def run_cpi(*arguments, cwd=None, interrupt_after=None, **environment):
    """Run the command line as a process of its own; Ctrl-C after some seconds if asked to."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", "from cpi_experiments.cli import main; main()", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd, env={**os.environ, **environment}, encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - a shell may have told us to ignore it
    )  # fmt: skip
    if interrupt_after is not None:
        time.sleep(interrupt_after)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=180)
    return Ran(process.returncode, out, err, time.monotonic() - began)


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """One small demo with the default seed, run as a user would."""
    home = tmp_path_factory.mktemp("demo")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    ran = run_cpi("demo", "--out", "report", cwd=home)
    most = max(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, before) / 1024
    return Ran(ran.code, ran.out, ran.err, ran.seconds, most, home / "report")


@pytest.fixture(scope="session")
def cpi_process():
    """Run the command line as a process of its own."""
    return run_cpi


@pytest.fixture
def write_shop(tmp_path):
    """Write a project with one link and one finished trial; fragments of its files may be replaced."""

    def write(*replacements, folder="shop", share=0.5, arm="auto", email=""):
        root = tmp_path / folder
        for part in ("catalog", "experiments", "data"):
            (root / part).mkdir(parents=True)
        files = {"cpi.yaml": SETTINGS, "catalog/shop.yaml": CATALOG, "experiments/trial.yaml": PLAN}
        quotes, assignments = shop_tables(share=share, arm=arm, email=email)
        files |= {"data/quotes.csv": quotes, "data/assignments.csv": assignments}
        for file, old, new in replacements:
            assert old in files[file], old
            files[file] = files[file].replace(old, new, 1)
        for file, text in files.items():
            (root / file).write_text(text, encoding="utf-8")
        return root

    return write


def shop_tables(*, share, arm, email):
    """Three months of past quotes, then a trial whose lever saves six hours; each hour wins 3 points."""
    dice = random.Random(11)  # noqa: S311 - a table for tests
    quotes, assigned = (
        ["customer_id,requested_at,quoted_at,decided_at,won,note"],
        ["experiment,customer_id,arm,assigned_at"],
    )
    for customer in range(600):
        treated = customer >= 600 * (1 - share) if share != 0.5 else bool(customer % 2)
        pair = customer // 2  # both arms begin on every day
        begin = datetime(2026, 4, 1, tzinfo=UTC) + timedelta(days=pair % 10, hours=pair % 24)
        assigned.append(f"auto_quote_2026q2,{customer},{arm if treated else 'manual'},{begin:%Y-%m-%d %H:%M:%S}")
        for month in (1, 2, 3, 4):
            at = begin + timedelta(hours=30) if month == 4 else datetime(2026, month, 1 + customer % 20, 9, tzinfo=UTC)
            hours = max(dice.gauss(20, 3) - (6 if month == 4 and treated else 0), 0.5)
            won = dice.random() < 0.2 + 0.03 * (20 - hours)
            times = (at, at + timedelta(hours=hours), at + timedelta(hours=hours + 24))
            quotes.append(f"{customer},{','.join(f'{time:%Y-%m-%d %H:%M:%S}' for time in times)},{int(won)},{email}")
    return "\n".join(quotes) + "\n", "\n".join(assigned) + "\n"


@pytest.fixture
def cpi(capsys):
    """Run the command line in this process and return what it did."""
    from cpi_experiments.cli import main

    def run(*arguments):
        capsys.readouterr()
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as leave:
            code = leave.code or 0
        seen = capsys.readouterr()
        return Ran(code, seen.out, seen.err)

    return run
