"""A hypothesis against past data: each unit compared with itself over time, shocks common to all units removed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError, EstimationError, nearest
from cpi_experiments.estimate import Diagnostic, Estimate
from cpi_experiments.measure.columns import complete_cases
from cpi_experiments.observational.past_rows import expand
from cpi_experiments.observational.slope import as_estimate, carriers_check, not_proof, rows_used, slope_of
from cpi_experiments.stats import student
from cpi_experiments.stats.fixed_effects import absorbed, partial_out, within
from cpi_experiments.stats.inputs import label_codes

if TYPE_CHECKING:
    from cpi_experiments.hypotheses.hypothesis import Hypothesis
    from cpi_experiments.measure.panel import Panel
    from cpi_experiments.stats.regression import Regression

Array = np.ndarray

_DAYS = {"day": 1.0, "week": 7.0, "month": 30.4375, "quarter": 91.3125, "year": 365.25}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """Columns of the panel's rows, the CPI in increments and at its lag; ``lead`` is the next period's CPI."""

    cpi: str
    kpi: str
    columns: dict[str, Array]
    lead: Array
    units: Array
    periods: Array
    adjust: tuple[str, ...]
    absent: tuple[str, ...]


def fixed_effects(panel: Panel, hypothesis: Hypothesis, *, divisor: float, confidence_level: float = 0.95) -> Estimate:
    """Estimate KPI units per customer-valued increment from the changes of each unit over time.

    Least squares of the KPI on the CPI with effects of unit and period, clustered by unit. What never changes for a
    unit and what hits all units alike cannot bias it; whatever moves CPI and KPI of one unit together still can.

    Parameters
    ----------
    panel : Panel
    hypothesis : Hypothesis
        Its link, lag and adjustment columns are used. Adjustment columns that the effects hold constant already, or
        that the panel lacks, are named in a diagnostic.
    divisor : float
        Raw units of the CPI per increment, signed so that + is better for the customer (``CPI.divisor``).
    confidence_level : float

    Returns
    -------
    Estimate
        ASSOCIATION, with the placebo that next period's CPI says nothing about this period's KPI.

    Raises
    ------
    DataError
        If the CPI or the KPI is not in the panel.
    EstimationError
        If the CPI does not change within units, or there are too few rows or fewer than six units.

    References
    ----------
    Baltagi (2021), Econometric Analysis of Panel Data, ch. 3; Granger (1969), Econometrica 37: leads as placebo.

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.estimate import Link
    >>> from cpi_experiments.hypotheses.hypothesis import Hypothesis
    >>> from cpi_experiments.measure.panel import Panel
    >>> rng = np.random.default_rng(7)
    >>> broker, month = (codes.ravel() for codes in np.indices((50, 8)))
    >>> hours = 20 + broker % 5 + rng.normal(size=400)
    >>> won = 3 * (broker % 5) - 0.8 * hours + rng.normal(size=400)
    >>> frame = pd.DataFrame({"broker": broker, "month": month, "hours": hours, "won": won})
    >>> panel = Panel.from_frame(frame, unit="broker", time="month", cpis=["hours"], kpis=["won"])
    >>> claim = Hypothesis(link=Link.parse("hours -> won"), expected_sign=1, sesoi=0.4)
    >>> estimate = fixed_effects(panel, claim, divisor=-1.0)
    >>> print(estimate)
    hours -> won: +0.839 (95% CI +0.753 to +0.925), ASSOCIATION.
      400 rows in 50 clusters; least squares with fixed effects of broker and month;
        errors clustered by broker (50 clusters, CR1, t with G - 1 df)
      past data: Past data are not proof that hours causes won; only an experiment
        can confirm the link.
      lead placebo: Next month's hours goes with this month's won, which it cannot
        have caused: something else moves both, or the KPI moves the CPI. Do not
        read the slope as an effect.
    """
    if not (math.isfinite(divisor) and divisor != 0):
        raise EstimationError(f"divisor {divisor} is not a size", advice="Give CPI.divisor: raw units per increment.")
    lag = lag_periods(hypothesis.lag_days, panel.period)
    series = _series(panel, hypothesis, lag=lag, divisor=divisor)
    kept, dropped = complete_cases(series.columns)
    if not kept.any():
        reasons = "; ".join(f"{reason}: {count:,}" for reason, count in dropped)
        raise EstimationError(f"none of {len(kept):,} rows can be used ({reasons})", advice="Check these columns.")
    fit, names, already = _fit(series, kept, {series.cpi: series.columns[series.cpi]})
    when = f", {series.cpi} {lag} {panel.period}{'s' if lag > 1 else ''} earlier" if lag else ""
    slope = slope_of(
        fit,
        names=names,
        method=f"least squares with fixed effects of {panel.unit} and {panel.period}{when}",
        cluster_name=panel.unit,
    )
    return as_estimate(
        slope,
        cpi=series.cpi,
        kpi=series.kpi,
        unit=f"{series.kpi} per increment",
        confidence_level=confidence_level,
        dropped=dropped,
        diagnostics=(
            not_proof(series.cpi, series.kpi),
            _lead_placebo(series, kept, panel.period),
            *_held_constant(already, series.absent),
            rows_used(slope.n_obs, len(kept)),
            *carriers_check(slope),
        ),
    )


def lag_periods(lag_days: tuple[int, int], period: str) -> int:
    """Whole periods between the CPI and the first day on which the KPI counts, rounded to the nearest.

    Examples
    --------
    >>> lag_periods((0, 28), "month"), lag_periods((28, 56), "month"), lag_periods((14, 28), "week")
    (0, 1, 2)
    """
    return math.floor(lag_days[0] / _DAYS[period] + 0.5)


def _series(panel: Panel, hypothesis: Hypothesis, *, lag: int, divisor: float) -> _Series:
    cpi, kpi = hypothesis.link.cpi_id, hypothesis.link.kpi_id
    for name, known, kind in ((cpi, panel.cpis, "CPI"), (kpi, panel.kpis, "KPI")):
        if name not in known:
            raise DataError(f"{kind} {name!r} is not in the panel", advice=nearest(name, list(known)))
    frame = panel.frame
    wanted = [name for name in dict.fromkeys(hypothesis.adjustment) if name not in (cpi, kpi)]
    adjust = tuple(name for name in wanted if name in frame.columns)
    columns = {kpi: frame[kpi].to_numpy(np.float64), cpi: panel.lagged(cpi, lag) / divisor}
    return _Series(
        cpi=cpi,
        kpi=kpi,
        columns=columns | {name: _values(frame[name].to_numpy()) for name in adjust},
        lead=panel.lagged(cpi, -1) / divisor,
        units=label_codes(frame["unit"].to_numpy())[0],
        periods=label_codes(frame["period"].to_numpy())[0],
        adjust=adjust,
        absent=tuple(name for name in wanted if name not in frame.columns),
    )


def _values(values: Array) -> Array:
    return values.astype(np.float64) if values.dtype.kind in "biuf" else values.astype(object)


def _fit(series: _Series, rows: Array, first: dict[str, Array]) -> tuple[Regression, tuple[str, ...], tuple[str, ...]]:
    """Regress the KPI on the ``first`` columns and the adjustment.

    Returns the regression, the names of outcome and columns, and the adjustment columns that the effects already hold
    constant.
    """
    effects = (series.units[rows], series.periods[rows])
    controls, already = _controls(series, rows, effects)
    columns = {name: values[rows] for name, values in first.items()} | controls
    names = (series.kpi, *columns)
    fit = within(
        series.columns[series.kpi][rows],
        np.column_stack(list(columns.values())),
        effects=effects,
        names=names,
        cluster=effects[0],
        variance="clustered",
    )
    return fit, names, already


def _controls(series: _Series, rows: Array, effects: tuple[Array, Array]) -> tuple[dict[str, Array], tuple[str, ...]]:
    used: dict[str, Array] = {}
    already: list[str] = []
    for name in series.adjust:
        values = series.columns[name][rows]
        if any(_constant_within(values, codes) for codes in effects):
            already.append(name)
            continue
        names, arrays = expand({name: values}, [name])
        data, root = np.column_stack(arrays), np.ones(len(values))
        codes = [label_codes(each)[0] for each in effects]
        gone = absorbed(data, partial_out(data - data[0], codes, root=root), root)
        used |= {label: column for label, column, lost in zip(names, arrays, gone, strict=True) if not lost}
        if gone.all():
            already.append(name)
    return used, tuple(already)


def _constant_within(values: Array, groups: Array) -> bool:
    codes, _ = label_codes(values)
    home = np.zeros(int(groups.max()) + 1, dtype=np.intp)
    home[groups] = codes
    return bool(np.all(home[groups] == codes))


# -- what to watch ---------------------------------------------------------------------------------------------------


def _lead_placebo(series: _Series, kept: Array, period: str) -> Diagnostic:
    """Add next period's CPI: a cause cannot follow its effect, so its slope must be zero unless something confounds."""
    rows = kept & ~np.isnan(series.lead)
    following = f"next {period}'s {series.cpi}"
    null = f"{following} says nothing about this {period}'s {series.kpi}"
    try:
        fit, names, _ = _fit(series, rows, {following: series.lead, series.cpi: series.columns[series.cpi]})
        slope = slope_of(fit, names=names, method="", cluster_name="")
    except EstimationError as error:
        return Diagnostic(
            name="lead placebo", null=null, passed=False, advice=f"It could not be checked: {error.found}."
        )
    statistic = slope.value / slope.std_error
    p_value = student.p_value(statistic, slope.df)
    passed = p_value >= 0.05
    alarm = (
        f"{following.capitalize()} goes with this {period}'s {series.kpi}, which it cannot have caused: something else "
        "moves both, or the KPI moves the CPI. Do not read the slope as an effect."
    )
    return Diagnostic(
        name="lead placebo",
        null=null,
        statistic=statistic,
        p_value=p_value,
        passed=passed,
        advice="" if passed else alarm,
    )


def _held_constant(already: tuple[str, ...], absent: tuple[str, ...]) -> tuple[Diagnostic, ...]:
    notes = []
    if already:
        notes.append(
            Diagnostic(
                name="held constant",
                null=f"{', '.join(already)}: held constant by the effects of unit and period already",
            )
        )
    if absent:
        notes.append(
            Diagnostic(
                name="not adjusted",
                null="everything that the hypothesis adjusts for is in the panel",
                passed=False,
                advice=f"{', '.join(absent)}: not in the panel, so not held constant. Add it to the covariates.",
            )
        )
    return tuple(notes)
