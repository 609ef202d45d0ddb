"""What results say of themselves, and the words that a report for leaders never uses."""

from __future__ import annotations

import re

#: Words that the body of a report never uses.
BANNED = (
    "significant",
    "p-value",
    "null",
    "prove that there is no effect",
    "trend towards",
    "LATE",
    "2SLS",
    "covariate",
    "heteroskedastic",
    "posterior",
    "95% chance",
    "95 % chance",
    "utilise",
)

_BANNED = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in BANNED))


def banned_words(text: str) -> tuple[str, ...]:
    """Return the banned words found in a text for leaders.

    Examples
    --------
    >>> banned_words("The effect is significant (p-value 0.01)")
    ('significant', 'p-value')
    """
    return tuple(_BANNED.findall(text))


def estimate_sentence(
    *, cause: str, outcome: str, estimand: str, value: str, interval: str, level: str, status: str
) -> str:
    """Say one estimate in one line.

    Examples
    --------
    >>> estimate_sentence(cause="auto", outcome="won", estimand="ITT", value="+0.027", interval="+0.010 to +0.044",
    ...                   level="95%", status="ok")
    'auto -> won: +0.027 (95% CI +0.010 to +0.044), ITT.'
    """
    if status == "failed":
        return f"{cause} -> {outcome}: not available, {estimand}."
    return f"{cause} -> {outcome}: {value} ({level} CI {interval}), {estimand}."


def link_sentence(*, step: str, kpi: str, value: str, interval: str, level: str, shape: str) -> str:
    """Say what one customer-valued step does to the KPI.

    Parameters
    ----------
    step : str
        The step in words, such as ``hour faster``.
    kpi : str
        Label of the KPI.
    value, interval, level : str
        Signed estimate, confidence set and its level, already formatted.
    shape : {"interval", "rays", "line", "failed"}
        Shape of the confidence set.

    Examples
    --------
    >>> link_sentence(step="hour faster", kpi="won", value="+0.83 points", interval="0.31 to 1.36", level="95%",
    ...               shape="interval")
    'Each hour faster adds 0.83 points to won (95% set 0.31 to 1.36).'
    """
    if shape == "failed":
        return f"What each {step} does to {kpi} cannot be estimated from these data."
    if shape != "interval":
        return f"We cannot tell how much each {step} changes {kpi}: the lever hardly moved it ({level} set {interval})."
    if value.startswith("+"):
        return f"Each {step} adds {value[1:]} to {kpi} ({level} set {interval})."
    return f"Each {step} takes {value.lstrip('-')} from {kpi} ({level} set {interval})."


def arms_sentence(*, step: str, kpi: str, pieces: str, level: str, arms: int) -> str:
    """Say that several arms do not speak with one voice: no effect fits them all, or several do.

    Parameters
    ----------
    step, kpi : str
        As in `link_sentence`.
    pieces : str
        The confidence set in words; empty if no effect fits.
    level : str
        Its level.
    arms : int
        How many treatments there are.

    Examples
    --------
    >>> arms_sentence(step="hour faster", kpi="won", pieces="", level="95%", arms=3)  # doctest: +ELLIPSIS
    'No one effect of each hour faster on won fits all 3 arms: the arms disagree more than chance, ...'
    """
    if not pieces:
        return (
            f"No one effect of each {step} on {kpi} fits all {arms} arms: the arms disagree more than chance, so at "
            "least one arm reaches the KPI by another way."
        )
    return f"More than one effect of each {step} on {kpi} fits the {arms} arms ({level} set {pieces})."


def bundle_sentence(*, cpis: list[str], kpi: str, effects: list[tuple[str, str, str]], level: str, arms: int) -> str:
    """Say what CPIs that were moved together do to a KPI, each with the others held fixed, or all together.

    Parameters
    ----------
    cpis : list of str
    kpi : str
    effects : list of (step, value, set)
        In words; empty where the CPIs cannot be told apart. The set is empty where none is given.
    level : str
        Level of the sets.
    arms : int
        How many treatments there are.

    Examples
    --------
    >>> bundle_sentence(cpis=["hours", "options"], kpi="won", effects=[], level="95%", arms=1)
    'With 1 arm, hours and options cannot be told apart: credit them together with what the lever did to won.'
    >>> bundle_sentence(cpis=["hours", "options"], kpi="won", effects=[("hour faster", "+2", "1 to 3"),
    ...                 ("1 more of options", "-1", "-2 to 0")], level="95%", arms=2)  # doctest: +ELLIPSIS
    'With the other CPI held fixed, each hour faster adds 2 to won (95% set 1 to 3); each 1 more of options ...'
    """
    if not effects:
        names = ", ".join(cpis[:-1]) + f" and {cpis[-1]}"
        plural = "" if arms == 1 else "s"
        return (
            f"With {arms} arm{plural}, {names} cannot be told apart: credit them together with what the lever did to "
            f"{kpi}."
        )
    told = []
    for step, value, pieces in effects:
        verb, joint = ("takes", "from") if value.startswith("-") else ("adds", "to")
        found = f" ({level} set {pieces})" if pieces else ""
        told.append(f"each {step} {verb} {value.lstrip('+-')} {joint} {kpi}{found}")
    others = "the other CPI" if len(cpis) == 2 else "the other CPIs"
    return f"With {others} held fixed, {'; '.join(told)}."


def late_sentence(*, cpi: str, unit: str, n_obs: str, n_clusters: str) -> str:
    """Say for whom a link estimate holds.

    Examples
    --------
    >>> late_sentence(cpi="quote_hours", unit="broker_id", n_obs="18,204", n_clusters="312")
    'For customers whose quote_hours the lever changed; randomised by broker_id, 18,204 customers in 312 clusters.'
    """
    by = f"; randomised by {unit}, {n_obs} customers in {n_clusters} clusters" if unit else f"; {n_obs} customers"
    return f"For customers whose {cpi} the lever changed{by}."


_TIME_SUFFIXES = {
    "hours": "hour",
    "hour": "hour",
    "minutes": "minute",
    "days": "day",
    "day": "day",
    "seconds": "second",
}


def step_words(column: str, increment: float) -> str:
    """Name one step of a raw column in words; a column called ``..._hours`` counts hours.

    Examples
    --------
    >>> step_words("quote_hours", -1), step_words("quote_hours", -2), step_words("options", 1)
    ('hour faster', '2 hours faster', '1 more of options')
    """
    size = f"{abs(increment):g}"
    unit = _TIME_SUFFIXES.get(column.lower().rpartition("_")[2], "")
    if unit:
        steps = unit if abs(increment) == 1 else f"{size} {unit}s"
        return f"{steps} {'faster' if increment < 0 else 'longer'}"
    return f"{size} {'less' if increment < 0 else 'more'} of {column}"
