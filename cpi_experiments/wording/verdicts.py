"""Why a link is judged as it is, and why a team can or cannot own a customer outcome."""

from __future__ import annotations

_REASONS = {
    "confirmed": "Each {step} changes the KPI by {value} ({span}); shrunken {shrunken}, at least the {sesoi} that is "
    "worth acting on. Trials: {trials}, levers: {levers}.",
    "breakdown": "The sign holds while at most {share} of the lift bypasses the CPI.",
    "harmful": "A better CPI makes the KPI worse: {value} per step ({span}).",
    "no material effect": "Any effect is smaller than {sesoi} per step, which we said beforehand would not matter: "
    "{value} ({span}).",
    "bundle": "The lever moves several customer outcomes at once, so the effect ({value} per step if all of it went "
    "this way) cannot be credited to one of them.",
    "heterogeneous": "The trials differ by more than chance explains (test of one common effect: p {q_p}): {value} on "
    "average ({span}) says little about any one lever or season.",
    "real but small so far": "The sign is established, but after shrinkage the effect is {shrunken}, less than the "
    "{sesoi} that is worth acting on: {value} ({span}).",
    "fragile to a direct path": "The sign would be in doubt if more than {share} of the lift bypassed the CPI: "
    "{value} ({span}).",
    "underpowered": "{value} per step ({span}), where {sesoi} is worth acting on. {more}.",
    "lever not shown to move the CPI": "No trial shows that its lever moved the CPI, so nothing can be said per step.",
    "lever inert": "The lever did not move the CPI: the trial says nothing about the link.",
    "lever moved the CPI the wrong way": "The lever moved the CPI against its declared sign: look at the lever or at "
    "the direction of the CPI before judging.",
    "only past data": "Only past data: {past} That is not proof that one causes the other.",
    "no evidence": "No trial and no past data yet.",
    "exploratory": "Nothing was registered before the data were looked at: test it in a registered experiment.",
    "evidence expired": "The last trial is too old to speak for this quarter: test again.",
    "blocked": "No verdict: {what}. Repair it and analyse again.",
    "left out": "{experiment} is not counted: {why}.",
    "not registered": "{experiment} is only exploratory: {why}.",
    "inert": "{experiment}: {lever} did not move the CPI ({span} steps), so it says nothing about the link.",
    "unproven": "{experiment}: {lever} is not shown to move the CPI ({span} steps).",
    "wrong way": "{experiment}: {lever} moved the CPI against its declared sign ({span} steps).",
    "moves others": "{lever} also moves {others}.",
}


def reason(kind: str, **words: str) -> str:
    """Say one reason of a verdict.

    Examples
    --------
    >>> reason("breakdown", share="31%")
    'The sign holds while at most 31% of the lift bypasses the CPI.'
    """
    return _REASONS[kind].format(**words)


_ACCOUNTABILITY = {
    "no lever": "No lever moves {cpi}: nobody can be accountable for it yet.",
    "not tried": "No lever of this team was tried in an experiment.",
    "moved": "{lever} moved it by {move} steps ({span}; {step}) in {experiment}.",
    "not moved": "{lever} is not shown to move it by a quarter of a step: {move} ({span}) in {experiment}.",
    "link": "{link} is confirmed, grade {grade}.",
    "no link": "No link of it is confirmed ({states}).",
    "forecast": "{steps} steps ({step}) are worth {value} {unit} of {kpi} per customer (80% range {span}).",
}


def accountability_reason(kind: str, **words: str) -> str:
    """Say one reason why a team can or cannot own a customer outcome.

    Examples
    --------
    >>> accountability_reason("not tried")
    'No lever of this team was tried in an experiment.'
    """
    return _ACCOUNTABILITY[kind].format(**words)
