"""Why a link is judged as it is, and why a team can or cannot own a customer outcome."""

from __future__ import annotations

_REASONS = {
    "confirmed": "Each {step} changes the KPI by {value} ({span}); shrunken {shrunken}, at least the {sesoi} that is "
    "worth acting on. Trials: {trials}, levers: {levers}.",
    "breakdown": "The sign holds while at most {share} of the lift bypasses the CPI.",
    "harmful": "A better CPI moves the KPI the wrong way: {value} per step ({span}).",
    "no material effect": "Any effect is smaller than {sesoi} per step, which we said beforehand would not matter: "
    "{value} ({span}).",
    "bundle": "The lever moves several customer outcomes at once, so the effect ({value} per step if all of it went "
    "this way) cannot be credited to one of them.",
    "heterogeneous": "The trials differ by more than chance explains (test of one common effect: p {q_p}): {value} on "
    "average ({span}) says little about any one lever or season.",
    "size unknown": "The levers moved the CPI too little, over {trials} trials, to say how large the effect is.",
    "real but small so far": "The sign is established, but after shrinkage the effect is {shrunken}, less than the "
    "{sesoi} that is worth acting on: {value} ({span}).",
    "fragile to a direct path": "The sign would be in doubt if more than {share} of the lift bypassed the CPI: "
    "{value} ({span}).",
    "direct path": "Allowing for a direct path that the levers share, {without} per step is left of {value}, and that "
    "may be nothing: the lift need not come through the CPI.",
    "faded": "It held when it was first confirmed, but what came since says that less than half of it is left: {value} "
    "over all trials ({span}).",
    "at risk": "At risk: the last four quarters alone no longer show it ({bound} per step, 90% one-sided). Test again.",
    "general": "It holds for levers in general, not only for those tried (e = {e}).",
    "levers tried": "It holds for the levers that were tried; levers in general are not proven (e = {e}).",
    "contradiction": "Past data say otherwise ({past}); the trials decide, and nothing is averaged.",
    "provisional": "Projected from early outcomes: {value} per step ({span}). Provisional until {until}, when the KPI "
    "itself is known; no projection confirms or refutes.",
    "projected": "{experiment} is a projection until {until}: it is not counted.",
    "remark": "{experiment} was {what}.",
    "holdout": "{experiment} is a holdout: it keeps the evidence fresh and is not one of the planned looks.",
    "waiting for a slot": "The portfolio of this horizon is full: the link is judged from the next horizon on.",
    "underpowered": "{value} per step ({span}), where {sesoi} is worth acting on. {more}.",
    "lever not shown to move the CPI": "No trial shows that its lever moved the CPI, so nothing can be said per step.",
    "lever inert": "The lever did not move the CPI: the trial says nothing about the link.",
    "lever moved the CPI the wrong way": "The lever moved the CPI against its declared sign: look at the lever or at "
    "the direction of the CPI before judging.",
    "only past data": "Only past data: {past} That is not proof that one causes the other.",
    "no evidence": "No trial and no past data yet.",
    "no trial counts": "No trial counts for this quarter yet.",
    "exploratory": "No trial was registered before its data were looked at: test the link in a registered experiment.",
    "evidence expired": "The last trial that counts is too old to speak for this quarter: test again.",
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
