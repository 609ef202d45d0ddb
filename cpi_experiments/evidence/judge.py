"""Judging: the plain door over a table of effects, and the core that it shares with the ledger."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.evidence.decision import Decision, decide
from cpi_experiments.evidence.effect_table import cases_of, read_rows
from cpi_experiments.evidence.history import FAMILIES, Portfolio, replay
from cpi_experiments.evidence.standing import Standing
from cpi_experiments.evidence.weighing import weigh
from cpi_experiments.stats.judging.shrinkage import shrink_portfolio

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from cpi_experiments.evidence.case import Case
    from cpi_experiments.evidence.weighing import Weighed
    from cpi_experiments.measure.engine import Data

#: What is told of every link, after its name and its verdict.
COLUMNS = (
    "cause", "grade", "effect", "effect_shrunken", "ci_low", "ci_high", "p_value", "e_value", "general", "at_risk",
)  # fmt: skip


def judge_cases(
    cases: Sequence[Case], *, fdr: float = 0.10, slots: int | None = None, mode: str = "closed"
) -> tuple[Decision, ...]:
    """Judge a whole portfolio after its last look; see `judge_portfolio`."""
    return judge_portfolio(cases, fdr=fdr, slots=slots, mode=mode)[0]


def judge_portfolio(
    cases: Sequence[Case], *, fdr: float = 0.10, slots: int | None = None, mode: str = "closed", first: int = 0
) -> tuple[tuple[Decision, ...], Portfolio]:
    """Judge a whole portfolio: three families, each published at the same rate, look by look.

    Parameters
    ----------
    cases : sequence of Case
        Every registered link, dormant ones too: they belong to the family.
    fdr : float
        Expected share of wrong verdicts among those published, for each family.
    slots : int, optional
        Size of the portfolio; the number of links (at least 4) by default.
    mode, first : str, int
        How sets are formed and at which step the horizon began; see `cpi_experiments.evidence.history.replay`.

    Returns
    -------
    decisions : tuple of Decision
        Of the state after the last look; nothing is latched but the published sets.
    portfolio : Portfolio
        The state itself, for the ledger.
    """
    portfolio = replay(cases, fdr=fdr, slots=slots, mode=mode, first=first)
    weighed = [weigh(case, since=portfolio.since("direction", i)) for i, case in enumerate(cases)]
    shrunken = _shrunken(cases, weighed)
    decisions = tuple(
        decide(
            case,
            w,
            Standing(
                **{family: portfolio.holds(family, i) for family in FAMILIES},
                threshold=portfolio.threshold,
                p_value=float(portfolio.p_values["direction"][i, -1]),
                shrunken=shrunken[i],
                since=_since(portfolio, i),
            ),
        )
        for i, (case, w) in enumerate(zip(cases, weighed, strict=True))
    )
    return decisions, portfolio


def _since(portfolio: Portfolio, link: int) -> tuple[tuple[str, int], ...]:
    found = ((family, portfolio.since(family, link)) for family in FAMILIES)
    return tuple((family, step) for family, step in found if step is not None)


def _shrunken(cases: Sequence[Case], weighed: Sequence[Weighed]) -> list[float]:
    """Sizes after the winner's curse: in units of each link's SESOI they are comparable over the portfolio."""
    points = [w.point for w in weighed]
    values = np.array([math.nan if p is None else p.value / c.sesoi for c, p in zip(cases, points, strict=True)])
    errors = np.array([math.inf if p is None else p.std_error / c.sesoi for c, p in zip(cases, points, strict=True)])
    found = shrink_portfolio(values, errors, sesoi=1.0).mean
    return [float(m) * case.sesoi for m, case in zip(found, cases, strict=True)]


def judge_links(
    table: Data, *, fdr: float = 0.10, slots: int | None = None, mode: str = "closed", as_of: str | None = None
) -> pd.DataFrame:
    """Judge links from a table of experiment effects.

    Parameters
    ----------
    table : DataFrame, or path of a Parquet or CSV file
        One row per link x experiment with columns ``link, experiment, lever, effect_cpi, effect_kpi, var_cpi,
        var_kpi, cov, sesoi, expected_sign``. ``effect_cpi`` counts increments, + = better for the customer; the KPI
        keeps its own unit and sign; ``sesoi`` is a size in KPI units per increment. Optional: ``lever_sign`` (declared
        sign of the lever on the CPI, 1), ``planned_move`` (increments, 1), ``df`` (infinite), ``blocked`` (why the
        experiment is broken), ``overlaps`` (other experiments, comma-separated, that share customers: of those of one
        link only the first one looked at counts, or the one with most planned information), ``bundle`` (other CPIs that
        the lever moved), ``orientation`` (+1 or -1: sign that a direct effect of the lever on the KPI would share over
        levers, declared before). Over time: ``looks`` of the link (``single`` one planned look, final; ``retest`` one
        planned look that may be repeated; ``planned 4``; ``capped 0.002`` any looks until the standard error of the
        effect is 0.002; ``open 0.004``), ``looked_at`` (the judging step at which the experiment counted first:
        quarters, days or numbers; the quarter by default, one step for all without it), ``quarter`` (in which the KPI
        window closed, such as 2026Q4: evidence ages), ``holdout`` (yes: a maintained holdout keeps the evidence fresh
        and is no look), ``projected`` (day on which the KPI will be known, if its effect is projected). An empty cell
        of an optional column means its default.
    fdr : float
        False discovery rate of each family (direction, harm, no material effect) over all links of the table.
    slots : int, optional
        Size of the portfolio if it is larger than the table; never fewer than 4.
    mode : str
        ``closed`` (the links were fixed before, or came for reasons unrelated to the evidence), ``plain`` (links are
        registered because of evidence) or ``e-bh`` (no looks were planned: e-values, which cost power).
    as_of : str
        Quarter that is judged; the latest of the table by default. What came later is not known then.

    Returns
    -------
    DataFrame
        One row per link, in order of appearance: ``link, verdict, cause, grade, effect, effect_shrunken, ci_low,
        ci_high, p_value, e_value, general, at_risk, since, reasons``; none for a DataFrame without rows. ``p_value`` is
        the running one-sided p-value against "no effect or the wrong sign", ``e_value`` the sequential evidence against
        it, ``general`` whether it holds for levers in general, ``since`` the look from which it was published.

    Raises
    ------
    DataError
        If a column is missing or no number, a row appears twice, sizes of a link differ between its rows, or a row
        cannot be (a covariance beyond its variances, an unknown look, an overlap with an unknown experiment).
    EstimationError
        If ``fdr`` is not a share or the table has more links than slots.

    Notes
    -----
    A missing ``cov`` (or effect, or variance) blocks its link; it is never taken as zero. Blocked links stay in the
    family with p = 1. The false discovery rate holds under any dependence between links and over all declared looks:
    the whole history is judged again, look by look, and what was published once is not withdrawn by chance (with
    ``mode="e-bh"`` sets follow the e-values of the moment and may shrink). Sizes are shrunken by what the portfolio
    tells from twenty links on, so that the twentieth may turn "confirmed" into "real but small so far".

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({
    ...     "link": ["quote_hours -> win_rate"], "experiment": ["E1"], "lever": ["auto_quote"], "effect_cpi": [3.0],
    ...     "effect_kpi": [0.030], "var_cpi": [0.04], "var_kpi": [4e-5], "cov": [0.0], "sesoi": [0.004],
    ...     "expected_sign": [1]})
    >>> judge_links(table)[["verdict", "grade"]].values.tolist()
    [['confirmed', 'B']]
    """
    import pandas as pd  # noqa: PLC0415 - a frame is returned, nothing else needs pandas

    cases, labels = cases_of(read_rows(table), as_of=as_of)
    decisions, _ = judge_portfolio(list(cases.values()), fdr=fdr, slots=slots, mode=mode)
    content = [
        {
            "link": link,
            "verdict": d.verdict.value,
            **{name: getattr(d, name) for name in COLUMNS},
            "since": "" if d.since is None else labels[d.since],
            "reasons": " ".join(d.reasons),
        }
        for link, d in zip(cases, decisions, strict=True)
    ]
    return pd.DataFrame(content, columns=["link", "verdict", *COLUMNS, "since", "reasons"])
