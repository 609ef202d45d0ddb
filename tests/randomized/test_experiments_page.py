"""The guide of experiments: its examples run in the order of the page, and what they find is true."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "experiments.md"


def test_the_examples_of_the_page_run_and_find_the_truth(capsys: pytest.CaptureFixture[str]) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL))
    names: dict = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102 - the examples are ours
    shown = capsys.readouterr().out
    ((low, high),) = names["link"].ar_set
    assert low < 0.01 < high
    assert names["checks"].passed
    assert "\nTrue\n" in shown  # the table that lost customers is blocked
    assert "Effects are hidden until the planned\n  end." in shown
    assert "Ship: won is better, and every guardrail keeps its margin." in shown
    assert names["found"]["errors"].margins[0].shown
