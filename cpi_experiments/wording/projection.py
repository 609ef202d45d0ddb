"""What a projection of a late KPI says, in sentences."""

from __future__ import annotations


def projected_sentence(
    *, step: str, kpi: str, value: str, interval: str, level: str, shape: str, matures: str
) -> str:  # fmt: skip
    """Say what one step would do to a KPI that is not known yet.

    Parameters
    ----------
    step, kpi, value, interval, level : str
        As in `cpi_experiments.wording.results.link_sentence`.
    shape : {"interval", "open", "failed"}
    matures : str
        ISO date on which the KPI is known.

    Examples
    --------
    >>> projected_sentence(step="hour faster", kpi="renewal", value="+0.8 points", interval="0.1 to 1.4", level="95%",
    ...                    shape="interval", matures="2027-03-31")  # doctest: +ELLIPSIS
    'Projected: each hour faster would add 0.8 points to renewal (95% set 0.1 to 1.4); provisional until ...'
    """
    until = f"provisional until {matures}, when the KPI itself is known."
    if shape == "failed":
        return f"Projected: what each {step} would do to {kpi} cannot be estimated from these data; {until}"
    if shape != "interval":
        return (
            f"Projected: we cannot tell how much each {step} would change {kpi}: the lever hardly moved it "
            f"({level} set {interval}); {until}"
        )
    verb, where = ("take", "from") if value.startswith("-") else ("add", "to")
    return f"Projected: each {step} would {verb} {value.lstrip('+-')} {where} {kpi} ({level} set {interval}); {until}"


def assumption_sentences(*, kpi: str, surrogates: list[str]) -> tuple[str, str, str]:
    """Say what a projection takes for granted.

    Examples
    --------
    >>> assumption_sentences(kpi="renewal", surrogates=["visits"])[0]
    'surrogacy: the lever reaches renewal only through visits'
    """
    names = surrogates[0] if len(surrogates) == 1 else f"{', '.join(surrogates[:-1])} and {surrogates[-1]}"
    return (
        f"surrogacy: the lever reaches {kpi} only through {names}",
        f"comparability: the weight of {names} in this trial is that of the history",
        f"in the history nothing but the adjustment columns drives {kpi} as well as {names}",
    )


def only_the_cpi(*, cpi: str, kpi: str) -> str:
    """Say what is left of a trial whose only surrogate is the CPI itself.

    Examples
    --------
    >>> only_the_cpi(cpi="hours", kpi="renewal")  # doctest: +ELLIPSIS
    'hours is the only surrogate: the effect per step is the past regression of renewal on hours, and nothing ...'
    """
    return (
        f"{cpi} is the only surrogate: the effect per step is the past regression of {kpi} on {cpi}, and nothing that "
        "the trial found can contradict it (grade D). Add what customers do soon after."
    )


def history_line(*, rows: str, share: str, beyond: str) -> str:
    """Say how well the history explains the KPI.

    Examples
    --------
    >>> history_line(rows="5,000", share="42%", beyond="31%")
    '5,000 rows; explain 42% of the variance, the surrogates 31% of what adjustment leaves'
    >>> history_line(rows="5,000", share="42%", beyond="")
    '5,000 rows; the surrogates explain 42% of the variance'
    """
    if not beyond:
        return f"{rows} rows; the surrogates explain {share} of the variance"
    return f"{rows} rows; explain {share} of the variance, the surrogates {beyond} of what adjustment leaves"


def late_line(*, slope: str, span: str, error: str, bias: str, rows: str) -> str:
    """Say how an earlier model predicts the last part of the history.

    Examples
    --------
    >>> late_line(slope="0.97", span="0.91 to 1.03", error="0.40", bias="+0.01", rows="1,000")
    'last 1,000 rows predicted from earlier ones: slope 0.97 (0.91 to 1.03; 1 = as before), error 0.40, bias +0.01'
    """
    return (
        f"last {rows} rows predicted from earlier ones: slope {slope} ({span}; 1 = as before), error {error}, "
        f"bias {bias}"
    )


def came_true_line(*, projected: str, found: str, span: str) -> str:
    """Say what an earlier projection became.

    Examples
    --------
    >>> came_true_line(projected="+2.1 points", found="+1.6 points", span="-1.1 to +0.1")
    'projected +2.1 points, came true as +1.6 points (off by -1.1 to +0.1)'
    """
    return f"projected {projected}, came true as {found} (off by {span})"
