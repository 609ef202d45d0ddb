"""How recorded evidence says itself, and what a notebook shows of it."""

import math

from cpi_experiments.estimate import Diagnostic, Estimand, Estimate, Link
from cpi_experiments.evidence.verdict import Design, Evidence, Verdict, VerdictWord

LINK = Link(cpi_id="quote_hours", kpi_id="win_rate")


def estimate(cause, outcome, value, estimand, *diagnostics):
    return Estimate(
        cause=cause,
        outcome=outcome,
        estimand=estimand,
        value=value,
        std_error=0.01,
        ci_low=value - 0.02,
        ci_high=value + 0.02,
        p_value=0.01,
        unit="win_rate per -1 quote_hours",
        n_obs=100,
        method="m",
        diagnostics=diagnostics,
    )


def test_evidence_of_a_trial_tells_lever_to_cpi_lever_to_kpi_and_the_link():
    weak = Diagnostic(name="sample ratio", null="as planned", passed=False, advice="Look <here>.", blocks=True)
    found = Evidence(
        link=LINK,
        design=Design.RANDOMIZED,
        experiment="e1",
        lever="auto",
        first_stage=estimate("auto", "quote_hours", -3.0, Estimand.ITT),
        reduced_form=estimate("auto", "win_rate", 0.09, Estimand.ITT),
        estimate=estimate("quote_hours", "win_rate", 0.03, Estimand.LATE, weak),
        blocked="sample ratio: Look <here>.",
    )
    lines = str(found).splitlines()
    assert lines[0] == "e1 (randomized)"
    assert [line.split(":")[0].strip() for line in lines[1:4]] == [
        "auto -> quote_hours",
        "auto -> win_rate",
        "quote_hours -> win_rate",
    ]
    assert "  BLOCKED: sample ratio: Look <here>." in lines
    assert max(map(len, lines)) <= 80
    shown = found._repr_html_()
    assert "Look &lt;here&gt;." in shown
    assert "<br>" in shown
    assert "digest" not in shown
    row = found.to_frame().iloc[0]
    assert (row["source"], row["effect"], row["n_obs"], row["blocked"]) == ("e1", 0.03, 100, found.blocked)


def test_evidence_of_past_data_says_so():
    found = Evidence(
        link=LINK,
        design=Design.OBSERVATIONAL,
        estimate=estimate("quote_hours", "win_rate", 0.03, Estimand.ASSOCIATION),
        exploratory="the link was not registered before the analysis",
    )
    assert str(found).startswith("past data (observational)\n  quote_hours -> win_rate: +0.030")
    assert "exploratory: the link was not registered" in str(found)


def test_a_verdicts_reasons_are_shown_once():
    found = Verdict(link=LINK, verdict=VerdictWord.BLOCKED, reasons=("Why.",), effect=math.nan)
    assert found._repr_html_().count("Why.") == 1
    assert found.to_frame().iloc[0]["reasons"] == "Why."
