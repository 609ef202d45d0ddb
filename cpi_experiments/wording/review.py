"""The sentences of the quarterly review."""

from __future__ import annotations

from cpi_experiments.wording.results import banned_words

#: Symbol of each verdict and each state of a check; it always stands beside its word.
SYMBOLS = {
    "confirmed": "✔",
    "refuted": "✖",
    "inconclusive": "?",
    "blocked": "!",
    "assignable": "✔",
    "not yet": "?",
    "no lever": "✖",
    "OK": "✔",
    "Watch": "?",
    "Blocked": "!",
}

#: The words of a review, explained in its appendix.
GLOSSARY = (
    ("CPI", "Customer performance indicator: an outcome that customers say matters to them, in steps they value."),
    ("KPI", "Key performance indicator: an outcome that the company cares about."),
    ("Customer step", "The improvement that customers value, such as one hour faster. Every effect is per step."),
    ("Link", "A claim that improving a CPI moves a KPI."),
    ("Confirmed", "Randomised experiments show an effect of the expected sign, large enough to act on."),
    ("Refuted", "Experiments show that any effect is too small to matter, or that it goes the wrong way."),
    ("Inconclusive", "The evidence cannot tell yet. It is not evidence that there is no effect."),
    ("Blocked", "Something is wrong with the data or the experiment; no verdict until it is mended."),
    ("Grade", ("A+ and A: several experiments with different levers agree. B: randomised, not yet repeated with "
     "a second lever. C: quasi-experiment. D: past data only. It rates the evidence, whatever the verdict.")),
    ("Too small to matter", "Effects below the size that was fixed beforehand as worth acting on."),
    ("Range", "The 95% confidence set: values that the data do not contradict."),
    ("Sample ratio", "Whether the arms of an experiment hold as many customers as planned."),
    ("At risk", "Confirmed, but the experiments of the last four quarters alone do not show it any more: test again."),
    ("Provisional", "The KPI is not known yet and was projected from early outcomes; no verdict until it is."),
    ("Assignable", "A team has a lever that moves the CPI, and the link of the CPI is confirmed."),
)  # fmt: skip

#: How a review comes about, in plain words.
METHOD = (
    (
        "Each claim was written down with its expected sign, its smallest effect worth acting on and its decision rule "
        "before the data were looked at; the ledger holds the time and a digest of each registration."
    ),
    (
        "In an experiment a lever is given to customers by lot. What it did to the KPI, divided by what it did to the "
        "CPI, is the effect of one customer step, for customers whose CPI the lever changed."
    ),
    "Past data describe customers as they chose to be. They are shown beside the experiments and never confirm a link.",
    (
        "A link is confirmed or refuted only by experiments, after looks that were declared beforehand. Of the links "
        "called confirmed at most the agreed share (10% unless said otherwise) is expected to be wrong, however often "
        "we looked; links that were never tested count as well. Verdicts are computed again each time: they end when "
        "the evidence is too old, or when fresh experiments do not show the effect any more."
    ),
    "A range that holds zero is no refutation. Refuted means: too small to matter, or harmful.",
)

_COUNTS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def count_word(count: int) -> str:
    """Spell small counts.

    Examples
    --------
    >>> count_word(0), count_word(7), count_word(40)
    ('none', 'seven', '40')
    """
    return _COUNTS[count] if count < len(_COUNTS) else f"{count:,}"


def review_title(*, confirmed: int, refuted: int, total: int) -> str:
    """Say the quarter in one sentence of at most 110 characters.

    Examples
    --------
    >>> review_title(confirmed=2, refuted=3, total=12)
    'Two of twelve links from customers to company results are confirmed, three are refuted'
    >>> review_title(confirmed=0, refuted=0, total=0)
    'No link has been judged yet, so nothing can be claimed this quarter'
    """
    if total == 0:
        return "No link has been judged yet, so nothing can be claimed this quarter"
    tail = f", {count_word(refuted)} {'is' if refuted == 1 else 'are'} refuted" if refuted else ""
    if total == 1:
        state = "is confirmed" if confirmed else "is refuted" if refuted else "is not settled yet"
        return f"The one link from customers to company results {state}"
    are = "is" if confirmed <= 1 else "are"
    text = f"{count_word(confirmed)} of {count_word(total)} links from customers to company results {are} confirmed"
    return text[0].upper() + text[1:] + tail


def effect_line(*, cpi: str, step: str, kpi: str, size: str, span: str, adds: bool, grade: str) -> str:
    """Say a confirmed link; only grade A speaks without a reservation.

    Examples
    --------
    >>> effect_line(cpi="Fast Quote", step="hour faster", kpi="Win rate", size="0.83 points", span="0.31 to 1.36",
    ...             adds=True, grade="A")
    'Fast Quote: each hour faster adds 0.83 points to Win rate (likely 0.31 to 1.36).'
    >>> effect_line(cpi="Fast Quote", step="hour faster", kpi="Churn", size="0.1 points", span="0 to 0.2",
    ...             adds=False, grade="B")
    'Fast Quote: each hour faster appears to take 0.1 points from Churn (likely 0 to 0.2).'
    """
    sure = grade in ("A+", "A")
    verb = ("adds" if adds else "takes") if sure else f"appears to {'add' if adds else 'take'}"
    return f"{cpi}: each {step} {verb} {size} {'to' if adds else 'from'} {kpi} (likely {span})."


def confirmed_why(*, trials: int, levers: int, breakdown: str, cpi: str) -> str:
    """Say what a confirmed link rests on.

    Examples
    --------
    >>> confirmed_why(trials=2, levers=2, breakdown="31%", cpi="Fast Quote")
    'Two trials with two levers; the sign holds even if up to 31% of the gain came past Fast Quote.'
    >>> confirmed_why(trials=1, levers=1, breakdown="", cpi="Fast Quote")
    'One trial with one lever; a second lever would make it firmer.'
    """
    head = f"{plural(trials, 'trial')} with {plural(levers, 'lever')}"
    held = f"; the sign holds even if up to {breakdown} of the gain came past {cpi}" if breakdown else ""
    more = "; a second lever would make it firmer" if levers < 2 else ""
    return f"{head[0].upper()}{head[1:]}{held}{more}."


def refuted_why(*, harmful: bool, sesoi: str, cpi: str, kpi: str) -> str:
    """Say why a link is refuted: harmful, or too small to matter; never because a range holds zero.

    Examples
    --------
    >>> refuted_why(harmful=False, sesoi="0.1 points", cpi="Payment Flexibility", kpi="Acquisition")
    'Any effect is smaller than 0.1 points, which we said beforehand would not be worth acting on.'
    >>> refuted_why(harmful=True, sesoi="0.1 points", cpi="Payment Flexibility", kpi="Acquisition")
    'Better Payment Flexibility made Acquisition worse. Check the guardrails before acting.'
    """
    if harmful:
        return f"Better {cpi} made {kpi} worse. Check the guardrails before acting."
    return f"Any effect is smaller than {sesoi}, which we said beforehand would not be worth acting on."


_OPEN = {
    "underpowered": "the effect may be anything in the range {span}; more customers would settle it",
    "real but small so far": "the direction is clear, but the effect may be too small to act on",
    "fragile to a direct path": "the lever may move {kpi} in another way than through {cpi}",
    "heterogeneous": "the experiments disagree with each other",
    "bundle": "the lever moves several customer outcomes at once, so the effect cannot be credited to {cpi} alone",
    "lever not shown to move the CPI": "no experiment shows yet that its lever moves {cpi}",
    "lever inert": "the lever did not move {cpi}, so its experiment says nothing about {kpi}",
    "lever moved the CPI the wrong way": "the lever made {cpi} worse; look at the lever first",
    "no evidence": "there is no experiment and no past data so far",
    "exploratory": "nothing was registered before the data were looked at; test it in a registered experiment",
    "no trial counts": "no experiment counts for this quarter yet",
    "evidence expired": "the last experiment is too old to speak for this quarter; test again",
    "size unknown": "the levers moved {cpi} too little to say how much it does to {kpi}",
    "faded": "it held when it was confirmed, but later experiments show less than half of it",
    "direct path": "the levers seem to move {kpi} in another way than through {cpi}",
    "provisional": "{kpi} is not known yet; what early outcomes suggest ({span}) is no proof",
    "waiting for a slot": "the portfolio of this horizon is full; it is judged from the next one on",
}


def open_why(*, blocked: bool, reason: str, cause: str, cpi: str, kpi: str, span: str) -> str:
    """Say why there is no answer: by the cause if it is a known one, else by a reason that a leader can read.

    Examples
    --------
    >>> names = {"cpi": "Fast Quote", "kpi": "Win rate", "span": "-0.1 to +0.4 points"}
    >>> open_why(blocked=False, reason="", cause="underpowered", **names)
    'We cannot tell yet: the effect may be anything in the range -0.1 to +0.4 points; more customers would settle it.'
    >>> open_why(blocked=True, reason="No verdict: arms are unequal. Repair it.", cause="", **names)
    'No verdict: arms are unequal. Repair it.'
    """
    head = "No verdict" if blocked else "We cannot tell yet"
    if not blocked and cause in _OPEN:
        return f"{head}: {_OPEN[cause].format(cpi=cpi, kpi=kpi, span=span)}."
    said = readable(reason) or readable(cause) or "the reasons stand in the appendix"
    return f"{head}: {said.removeprefix(f'{head}: ').rstrip('.')}."


def ageing_alarm(*, link: str, faded: bool) -> str:
    """Say that a confirmed link does not look alive any more.

    Examples
    --------
    >>> ageing_alarm(link="Fast Quote → Win rate", faded=False)
    'Fast Quote → Win rate is at risk: the last four quarters alone do not show it any more. Test it again.'
    """
    if faded:
        return f"{link} was confirmed, but later experiments show less than half of it: it is open again."
    return f"{link} is at risk: the last four quarters alone do not show it any more. Test it again."


def past_only_why(*, cpi: str, kpi: str, better: bool) -> str:
    """Say what past data alone can say.

    Examples
    --------
    >>> past_only_why(cpi="Fast Quote", kpi="Win rate", better=True)
    'Customers with better Fast Quote also have better Win rate. This is not proof that one causes the other.'
    """
    how = "better" if better else "no better"
    return f"Customers with better {cpi} also have {how} {kpi}. This is not proof that one causes the other."


def past_against_trials(*, pairs: int, larger: int, opposite: int) -> str:
    """Say how far past data can be trusted, in counts.

    Examples
    --------
    >>> past_against_trials(pairs=4, larger=3, opposite=1)
    'Past data suggested a larger effect than the experiments on 3 of 4 links, and the opposite sign on 1'
    >>> past_against_trials(pairs=2, larger=2, opposite=0)
    'Too few links have both past data and an experiment to judge past data (2, at least 3 needed)'
    """
    if pairs < 3:
        return f"Too few links have both past data and an experiment to judge past data ({pairs}, at least 3 needed)"
    tail = f", and the opposite sign on {opposite}" if opposite else ""
    return f"Past data suggested a larger effect than the experiments on {larger} of {pairs} links{tail}"


def forest_axis(flipped: tuple[str, ...]) -> str:
    """Say what the axis of a forest plot counts, and which results were turned round.

    Examples
    --------
    >>> forest_axis(("Churn",))[-65:]
    'better for the company (turned round, as lower is better: Churn).'
    """
    turned = f" (turned round, as lower is better: {', '.join(flipped)})" if flipped else ""
    text = "Effect of one customer step, in multiples of the smallest effect worth acting on. Right of zero is"
    return f"{text} better for the company{turned}."


def assign_line(*, team: str, cpi: str, levels: str, due: str, worth: str) -> str:
    """Say what a team can own.

    Examples
    --------
    >>> assign_line(team="Sales", cpi="Fast Quote", levels="26 h to 20 h", due="2027-03-31", worth="")
    'Sales can own Fast Quote: 26 h to 20 h by 2027-03-31.'
    """
    goal = f": {levels}" if levels else ""
    return f"{team} can own {cpi}{goal}{f' by {due}' if due else ''}{f', {worth}' if worth else ''}."


def checks_line(*, total: int, watch: int, blocked: int) -> str:
    """Count the checks; all well still says how many there were.

    Examples
    --------
    >>> checks_line(total=24, watch=1, blocked=0)
    '24 checks: 23 OK, 1 to watch, 0 blocked.'
    """
    return f"{total:,} checks: {total - watch - blocked:,} OK, {watch:,} to watch, {blocked:,} blocked."


def plural(count: int, noun: str) -> str:
    """Count things in words.

    Examples
    --------
    >>> plural(1, "trial"), plural(2, "trial"), plural(0, "trial")
    ('one trial', 'two trials', 'no trials')
    """
    return f"{'no' if count == 0 else count_word(count)} {noun}{'' if count == 1 else 's'}"


def readable(text: str) -> str:
    """Return the text if a leader can read it, else nothing.

    Examples
    --------
    >>> readable("5 more weeks would settle it."), readable("the LATE is not significant")
    ('5 more weeks would settle it.', '')
    """
    return "" if banned_words(text) else text


def decide_line(*, what: str, link: str, when: str = "") -> str:
    """Say what has to be decided about a link.

    Parameters
    ----------
    what : {"mend", "second lever", "due"}
        The kind of decision.
    link : str
        Labels of both ends.
    when : str
        Date of an answer that is due.

    Examples
    --------
    >>> decide_line(what="second lever", link="Fast Quote → Win rate")
    'Fund an experiment with a second lever for Fast Quote → Win rate: one lever alone supports it so far.'
    """
    return {
        "mend": f"Name who mends the data of {link}; until then there is no verdict.",
        "second lever": f"Fund an experiment with a second lever for {link}: one lever alone supports it so far.",
        "due": f"Keep the experiment on {link} running; its answer is due on {when}, and no effect is read before.",
    }[what]


def more_line(count: int) -> str:
    """Say that a list goes on elsewhere.

    Examples
    --------
    >>> more_line(3)
    'And three more in the table of verdicts.'
    """
    return f"And {count_word(count)} more in the table of verdicts."


def dropped_line(*, rows: int, sources: int) -> str:
    """Count the rows that were not used.

    Examples
    --------
    >>> dropped_line(rows=3320, sources=2), dropped_line(rows=0, sources=0)
    ('3,320 rows of two sources were not used.', 'No row was set aside.')
    """
    if not rows:
        return "No row was set aside."
    return f"{rows:,} {'row' if rows == 1 else 'rows'} of {plural(sources, 'source')} were not used."
