"""The scorecard: where every CPI and KPI stands, how it changed, and whether that is on the way to its target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.catalog.entities import CPI, KPI, Aggregate
from cpi_experiments.catalog.resolve import read_date
from cpi_experiments.errors import DataError, EstimationError, nearest
from cpi_experiments.measure.scores.goals import Clock, against_benchmark, goal_of
from cpi_experiments.measure.scores.levels import change_of, level_of, whole_share
from cpi_experiments.measure.scores.periods import Times, times_of
from cpi_experiments.measure.scores.rows import Scorecard, ScoreRow
from cpi_experiments.measure.scores.words import headline, notes
from cpi_experiments.measure.small_groups import MINIMUM, check_minimum, hidden_groups
from cpi_experiments.stats.inputs import label_codes
from cpi_experiments.stats.mix import Grouped, MixShift, mix_shift
from cpi_experiments.wording import scorecard as wording

if TYPE_CHECKING:
    from cpi_experiments.catalog.entities import Catalog
    from cpi_experiments.measure.unit_periods import Panel

Array = np.ndarray
_UNKNOWN = "(unknown)"


def scorecard(  # noqa: PLR0913 - a door: everything by name
    panel: Panel,
    catalog: Catalog,
    *,
    period: str | None = None,
    by: str | None = None,
    as_of: str | date | None = None,
    since: str | date | None = None,
    cluster: str | None = None,
    confidence_level: float = 0.95,
    minimum: int = MINIMUM,
) -> Scorecard:
    """Say for every indicator where it stands, how it changed, and whether it is on the way to its target.

    A level is the mean over the customers measured in the period, each counting once; its interval takes customers as
    the sampled units. Changes pair customers measured in both periods. Shares near 0 or 1 get intervals inside 0 to 1.
    With ``by``, the change of all customers is split into the part within groups and the part of another mix.

    Parameters
    ----------
    panel : Panel
        Customer x period.
    catalog : Catalog
        Directions, units, targets and benchmarks of the panel's indicators.
    period : str, optional
        The period to report, such as ``2026-06`` or ``2026Q2``; default: the last complete one.
    by : str, optional
        A covariate of the panel, such as channel, segment or team.
    as_of : str or date, optional
        The last day whose data are whole. Without it the panel's last period is taken as complete.
    since : str or date, optional
        The day on which the baselines stood. Without it a target is only *on track* if it is so even since the
        panel's first period, and only *behind* if the indicator got worse than its baseline.
    cluster : str, optional
        A covariate that names the sampled unit where several rows of a period belong to one, such as an account.
    confidence_level : float
    minimum : int
        Fewest customers behind a number; smaller groups are hidden, and the groups that would give them away.

    Returns
    -------
    Scorecard

    Raises
    ------
    DataError
        If ``by`` or ``cluster`` is no covariate, the period is not in the panel, no period is complete, or the panel's
        units are groups of customers.
    CatalogError
        If an indicator of the panel is not in the catalog.

    References
    ----------
    Derrick, Russ, Toher, White (2017) for partly paired means; Newcombe (1998) for changes of shares; Kitagawa (1955)
    for the mix.

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.catalog.entities import Catalog, KPI, Measure
    >>> from cpi_experiments.measure.unit_periods import Panel
    >>> from cpi_experiments.units import Direction
    >>> rows = pd.DataFrame({"id": [*range(40)] * 2, "month": ["2026-05"] * 40 + ["2026-06"] * 40,
    ...                      "won": [0.0] * 30 + [1.0] * 10 + [0.0] * 14 + [1.0] * 26})
    >>> won = KPI(id="won", label="Win rate", unit="fraction", better=Direction.HIGHER,
    ...           measure=Measure(table="quotes", entity="id", at="at", value="won"))
    >>> card = scorecard(Panel.from_frame(rows, unit="id", time="month", cpis=[], kpis=["won"]),
    ...                  Catalog(cpis={}, kpis={"won": won}), as_of="2026-06-30")
    >>> print(card.row("won").sentence)
    Win rate: 65% (likely 50 to 78), 40 customers. Better than in May 2026: +40 points (+24 to +53).
    """
    if not 0 < confidence_level < 1:
        raise EstimationError(f"confidence level {confidence_level} is not between 0 and 1")
    check_minimum(minimum)
    _check_units(panel)
    entities: list[CPI | KPI] = [*map(catalog.cpi, panel.cpis), *map(catalog.kpi, panel.kpis)]
    times = times_of(panel, period=period, as_of=as_of)
    sheet = _Sheet(
        times=times,
        clusters=_codes(panel, cluster)[0] if cluster else label_codes(panel.frame["unit"].to_numpy())[0],
        groups=_codes(panel, by)[0] if by else None,
        names=_codes(panel, by)[1] if by else (),
        level=confidence_level,
        minimum=minimum,
        clock=Clock(middle=times.middle, last=times.last_day, start=_start(since, times), said=since is not None),
        linked=_linked(catalog),
    )
    rows = tuple(
        row for entity in entities for row in _rows_of(entity, panel.frame[entity.id].to_numpy(dtype=float), sheet)
    )
    return Scorecard(
        period=times.name,
        previous=times.previous_name,
        year_before=times.year_name,
        by=by or "",
        rows=rows,
        customers=_customers(panel, times),
        headline=headline(rows, times, by=by or "", customers=_customers(panel, times)),
        notes=notes(
            rows,
            times,
            line_start=None if since or _all_dated(entities) else sheet.clock.start,
            level=confidence_level,
            minimum=minimum,
            absent=_absent(panel, catalog),
            sums=[each.label for each in entities if each.measure.aggregate in (Aggregate.SUM, Aggregate.COUNT)],
        ),
        confidence_level=confidence_level,
        digest=panel.digest,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sheet:
    """What every row of a scorecard shares: periods, codes per row of the panel, levels of certainty."""

    times: Times
    clusters: Array
    groups: Array | None
    names: tuple[str, ...]
    level: float
    minimum: int
    clock: Clock
    linked: frozenset[str]


def _check_units(panel: Panel) -> None:
    if panel.people:
        raise DataError(
            f"the panel's units are groups of customers ({panel.unit})",
            advice=f"Build it by customer with `covariates=[{panel.unit!r}]`, and ask for `by={panel.unit!r}`.",
        )


def _codes(panel: Panel, column: str) -> tuple[Array, tuple[str, ...]]:
    if column not in panel.covariates:
        raise DataError(
            f"{column!r} is no covariate of the panel",
            advice=nearest(column, list(panel.covariates)) + " Build the panel with `covariates=[...]`.",
        )
    return _factorized(panel.frame[column].to_numpy())


def _factorized(values: Array) -> tuple[Array, tuple[str, ...]]:
    """Give labels numbers in their order, a missing one the last."""
    import pandas as pd  # noqa: PLC0415 - whoever has a panel has pandas

    found, labels = pd.factorize(values)
    names = [f"{label:g}" if isinstance(label, float) else str(label) for label in labels]
    place = np.empty(len(names) + 1, dtype=np.int64)
    place[np.argsort(np.array(names, dtype=object), kind="stable")] = np.arange(len(names))
    place[-1] = len(names)  # -1 marks what is missing
    known = tuple(sorted(names))
    return place[found], (*known, _UNKNOWN) if (found < 0).any() else known


def _linked(catalog: Catalog) -> frozenset[str]:
    return frozenset(name for link in catalog.links for name in (link.cpi_id, link.kpi_id))


def _absent(panel: Panel, catalog: Catalog) -> list[str]:
    there = {*panel.cpis, *panel.kpis}
    every: list[CPI | KPI] = [*catalog.cpis.values(), *catalog.kpis.values()]
    return [each.label for each in every if each.id not in there]


def _all_dated(entities: list[CPI | KPI]) -> bool:
    """Whether every target says since when it runs."""
    targets = [each.target for each in entities if each.target is not None and each.target.value is not None]
    return all(target.since for target in targets)


def _start(since: str | date | None, times: Times) -> float:
    if since is None:
        return times.first_middle
    return float((since if isinstance(since, date) else read_date(since)).toordinal())


def _customers(panel: Panel, times: Times) -> int:
    names = [*panel.cpis, *panel.kpis]
    rows = times.rows(0)
    return int(panel.frame.loc[rows, names].notna().any(axis=1).sum())


# -- rows of one indicator -------------------------------------------------------------------------------------------


def _rows_of(entity: CPI | KPI, values: Array, sheet: _Sheet) -> list[ScoreRow]:
    known = ~np.isnan(values)
    whole = [known & sheet.times.rows(back) for back in range(3)]
    counts = np.array([len(np.unique(sheet.clusters[rows])) for rows in whole])
    splits = _mix(values, whole, sheet) if sheet.groups is not None else (None, None)
    small = (counts > 0) & (counts < sheet.minimum)
    found = [_row(entity, values, whole, sheet, hidden=small, splits=splits)]
    if sheet.groups is None:
        return found
    per_group = np.array([_per_group(rows, sheet) for rows in whole])
    hidden = np.array([hidden_groups(each, minimum=sheet.minimum) for each in per_group])
    for g, name in enumerate(sheet.names):
        rows = [each & (sheet.groups == g) for each in whole]
        found.append(_row(entity, values, rows, sheet, hidden=hidden[:, g] | small, group=name))
    return found


def _per_group(rows: Array, sheet: _Sheet) -> Array:
    """Count the customers of each group, every sampled unit once."""
    if sheet.groups is None:  # pragma: no cover - asked for groups only
        return np.empty(0)
    pairs = np.unique(sheet.groups[rows] * (int(sheet.clusters.max()) + 1) + sheet.clusters[rows])
    return np.bincount(pairs // (int(sheet.clusters.max()) + 1), minlength=len(sheet.names))


def _row(
    entity: CPI | KPI,
    values: Array,
    rows: list[Array],
    sheet: _Sheet,
    *,
    hidden: Array,
    group: str = "",
    splits: tuple[MixShift | None, MixShift | None] = (None, None),
) -> ScoreRow:
    top, sign, times = whole_share(entity.unit, values), entity.better.sign, sheet.times
    now, *earlier = (
        level_of(values[each], sheet.clusters[each], top=top, confidence_level=sheet.level) for each in rows
    )
    empty = ScoreRow(
        indicator=entity.id,
        label=entity.label,
        kind="CPI" if isinstance(entity, CPI) else "KPI",
        unit=entity.unit,
        better=entity.better,
        group=group,
    )
    if hidden[0] or not now.mean.n_obs:
        return replace(empty, hidden=_why(now.mean.n_clusters, sheet.minimum))
    changes = [
        None if hide else change_of(now, before, against=name, sign=sign, split=split, confidence_level=sheet.level)
        for hide, before, name, split in zip(hidden[1:], earlier, times.names[1:], splits, strict=True)
    ]
    return replace(
        empty,
        customers=now.mean.n_clusters,
        level=now.mean.value,
        ci_low=now.low,
        ci_high=now.high,
        previous=changes[0],
        year_before=changes[1],
        goal=goal_of(entity, now, sheet.clock, linked=entity.id in sheet.linked),
        benchmark=against_benchmark(entity, now),
    )


def _why(customers: int, minimum: int) -> str:
    if not customers:
        return "not measured"
    return wording.HIDDEN.format(minimum=minimum) if customers < minimum else wording.HIDDEN_TOO


def _mix(values: Array, rows: list[Array], sheet: _Sheet) -> tuple[MixShift | None, MixShift | None]:
    groups = sheet.groups
    if groups is None or not rows[0].any():
        return None, None
    periods = [Grouped(values=values[each], groups=groups[each], clusters=sheet.clusters[each]) for each in rows]
    previous, year = (mix_shift(periods[0], each) if len(each.values) else None for each in periods[1:])
    return previous, year
