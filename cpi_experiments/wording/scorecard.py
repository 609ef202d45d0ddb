"""The sentences of scorecards, customer segments, reasons for leaving and what less churn would keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpi_experiments.wording.review import count_word, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What stands in place of numbers of few customers.
HIDDEN = "fewer than {minimum} customers"
#: What stands in place of a larger group that would give a small one away.
HIDDEN_TOO = "hidden: would give a small group away"


def head_sentence(*, period: str, customers: str, before: str, better: int, worse: int, open_: int) -> str:
    """Say how many indicators moved.

    Examples
    --------
    >>> head_sentence(period="June 2026", customers="1,204", before="May 2026", better=2, worse=1, open_=5)
    'June 2026, 1,204 customers: since May 2026 two indicators got better, one got worse, five cannot be told from before.'
    >>> head_sentence(period="June 2026", customers="1,204", before="", better=0, worse=0, open_=0)
    'June 2026, 1,204 customers: there is no earlier period to compare with.'
    """  # noqa: E501 - one sentence, one line
    head = f"{period}, {customers} customers: "
    if not before:
        return f"{head}there is no earlier period to compare with."
    if not better + worse:
        return f"{head}no change since {before} can be told from chance ({plural(open_, 'indicator')})."
    parts = [
        f"{plural(better, 'indicator')} got better",
        f"{count_word(worse)} got worse",
        f"{count_word(open_)} cannot be told from before",
    ]
    return f"{head}since {before} {', '.join(parts)}."


def targets_sentence(names: Mapping[str, Sequence[str]]) -> str:
    """Count targets by state; those that need someone are named.

    Examples
    --------
    >>> targets_sentence({"on track": ["NPS"], "behind": ["Win rate"], "no target": ["Churn"]})
    'Targets: one on track, one behind (Win rate).'
    >>> targets_sentence({"no target": ["Churn"]})
    'No indicator has a target.'
    """
    parts = []
    for state in ("reached", "on track", "at risk", "behind", "overdue", "cannot tell", "no line"):
        found = names.get(state, ())
        if found:
            named = f" ({', '.join(found)})" if state in ("at risk", "behind", "overdue") else ""
            said = {"cannot tell": "cannot be told", "no line": "that cannot be judged yet"}.get(state, state)
            parts.append(f"{count_word(len(found))} {said}{named}")
    return f"Targets: {', '.join(parts)}." if parts else "No indicator has a target."


def mix_sentence(*, label: str, by: str, change: str, mix: str, span: str, within: str) -> str:
    """Say how much of a change comes from another mix of customers.

    Examples
    --------
    >>> mix_sentence(label="Win rate", by="channel", change="+1.1 points", mix="+0.8 points", span="+0.3 to +1.3",
    ...              within="+0.3 points")
    'Win rate changed by +1.1 points; +0.8 points (+0.3 to +1.3) of it because the mix of customers by channel changed, which is no improvement; +0.3 points within the groups.'
    """  # noqa: E501 - one sentence, one line
    return (
        f"{label} changed by {change}; {mix} ({span}) of it because the mix of customers by {by} changed, "
        f"which is no improvement; {within} within the groups."
    )


def level_sentence(*, label: str, level: str, span: str, customers: str) -> str:
    """Say where an indicator stands.

    Examples
    --------
    >>> level_sentence(label="Win rate", level="21.4%", span="19.8 to 23.0", customers="1,204")
    'Win rate: 21.4% (likely 19.8 to 23.0), 1,204 customers.'
    """
    if span == "not available":
        return f"{label}: {level}, {customers} customers; they do not differ, so no range can be given."
    return f"{label}: {level} (likely {span}), {customers} customers."


def change_sentence(*, side: str, size: str, span: str, before: str) -> str:
    """Say how an indicator changed.

    Examples
    --------
    >>> change_sentence(side="better", size="+1.2 points", span="+0.3 to +2.1", before="May 2026")
    'Better than in May 2026: +1.2 points (+0.3 to +2.1).'
    >>> change_sentence(side="cannot tell", size="+0.2 points", span="-0.7 to +1.1", before="May 2026")
    'Not to be told from May 2026: the change may be -0.7 to +1.1.'
    """
    if span == "not available":
        return f"No range can be given for the change since {before}."
    if side == "cannot tell":
        return f"Not to be told from {before}: the change may be {span}."
    return f"{side.capitalize()} than in {before}: {size} ({span})."


_TRACKS = {
    "reached": "Target {target}: reached.",
    "on track": "Target {target}{by}: on track, {expected} was due by now.",
    "at risk": "Target {target}{by}: at risk, {expected} was due by now and may just be met.",
    "behind": "Target {target}{by}: behind, {expected} was due by now.",
    "overdue": "Target {target}{by}: overdue.",
    "cannot tell": "Target {target}{by}: too few data to tell.",
    "no line": "Target {target}{by}: not reached for sure; progress cannot be judged.",
}


def target_sentence(*, state: str, target: str, due: str, expected: str, missing: Sequence[str]) -> str:
    """Say where an indicator stands against its target.

    Examples
    --------
    >>> target_sentence(state="behind", target="23.0%", due="2027-06-30", expected="22.1%", missing=())
    'Target 23.0% by 2027-06-30: behind, 22.1% was due by now.'
    >>> target_sentence(state="no line", target="23.0%", due="", expected="", missing=("a due date",))
    'Target 23.0%: not reached for sure; progress cannot be judged. The target lacks a due date.'
    """
    if state == "no target":
        return ""
    said = _TRACKS[state].format(target=target, by=f" by {due}" if due else "", expected=expected)
    return f"{said} The target lacks {', '.join(missing)}." if missing else said


def benchmark_sentence(*, side: str, value: str, source: str) -> str:
    """Say where an indicator stands against a number from outside.

    Examples
    --------
    >>> benchmark_sentence(side="better", value="19.0%", source="trade body 2025")
    'Better than the benchmark of 19.0% (trade body 2025).'
    >>> benchmark_sentence(side="cannot tell", value="19.0%", source="")
    'Not to be told from the benchmark of 19.0% (no source given).'
    """
    named = f"the benchmark of {value} ({source or 'no source given'})"
    return f"Not to be told from {named}." if side == "cannot tell" else f"{side.capitalize()} than {named}."


#: Symbol of each state of a target; it always stands beside its word.
TRACK_SYMBOLS = {
    "reached": "✔",
    "on track": "✔",
    "at risk": "?",
    "behind": "✖",
    "overdue": "✖",
    "cannot tell": "?",
    "no line": "?",
    "no target": "",
}

_NOTES = {
    "range": "Likely: the {level} range, with customers as the sampled units. A level is the mean over the customers "
    "measured in the period.",
    "absent": "Not in this panel: {names}. They are not measured by customer and period.",
    "complete": "{period} is taken as complete; give as_of if the data end within it.",
    "old": "The last complete period of the data is {period}; data up to {as_of} were expected.",
    "line": "Nobody said since when the targets run (since=): on track means even if since {since}, behind means worse "
    "than the baseline.",
    "hidden": "{count} of {groups} groups are hidden: fewer than {minimum} customers, or a small group could be worked "
    "out from them.",
    "many": "Each range holds its value in {level} of cases by itself: if nothing had changed, about {wrong} of the "
    "{count} changes would still look like one.",
    "unmeasured": "Not measured in {period}: {names}.",
    "days": "{period} has {days} days, {previous} {before}: {share} of change in {names} comes from that alone.",
    "year": "A year before is 52 weeks before, so that days of the week agree.",
    "groups": "Groups are held against the company's targets and benchmarks; they have none of their own.",
}


def note(kind: str, **words: str) -> str:
    """Say what a reader of a scorecard has to know.

    Examples
    --------
    >>> note("complete", period="June 2026")
    'June 2026 is taken as complete; give as_of if the data end within it.'
    """
    return _NOTES[kind].format(**words)
