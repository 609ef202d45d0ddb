"""What was asked of the door `indicator`, checked: which columns a kind needs, and how a row is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

from cpi_experiments.catalog.expression import DURATIONS, Call, parse_expression
from cpi_experiments.catalog.indicator_kinds import IndicatorKind, Interval, Reading
from cpi_experiments.catalog.kind_checks import promise_in
from cpi_experiments.errors import DataError, nearest
from cpi_experiments.measure.answers import Answer, read_answer, refuse_impossible
from cpi_experiments.measure.built_in.rows import Rows, label_sql
from cpi_experiments.measure.indicators import check_time, filter_sql, moment, value_sql
from cpi_experiments.measure.periods import bound, check_period, check_time_zone
from cpi_experiments.units import check_unit, convert, parse_quantity

if TYPE_CHECKING:
    from cpi_experiments.measure.engines.source import Engine

#: Columns of a table of levels, which groups cannot be called.
_TAKEN: Final = (
    "kind",
    "value",
    "ci_low",
    "ci_high",
    "n",
    "n_entities",
    "dropped",
    "better",
    "unit",
    "method",
    "period",
)
_FLAGS_OR_HISTORIES: Final = ("retention", "churn", "repurchase")
_STEPPED: Final = ("retention", "churn", "clv_projected")
_WINDOWED: Final = ("repurchase", "clv_realised", "survival")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Arguments of `indicator` as they were given; empty where they were not."""

    kind: IndicatorKind
    value: str
    entity: str
    at: str
    start: str
    end: str
    by: tuple[str, ...]
    where: str
    aggregate: str
    unit: str
    cap: float | None
    scale: tuple[float, float] | None
    top: int
    promise: str
    window: str
    period: str
    event: str
    spend: str | float | None
    discount: float | None
    as_of: str | date | None
    time_zone: str
    confidence_level: float

    @property
    def is_flag(self) -> bool:
        """Whether retention, churn or repurchase is given as a flag rather than told from a history."""
        return bool(self.value) and self.kind.id in _FLAGS_OR_HISTORIES

    @property
    def is_history(self) -> bool:
        """Whether the value follows from the times of a customer's events."""
        named = (*_FLAGS_OR_HISTORIES, "clv_realised", "clv_projected")
        return self.kind.id in named and not self.is_flag

    @property
    def has_period_groups(self) -> bool:
        """Whether each calendar period is a group."""
        return bool(self.period) and self.kind.id != "clv_projected"

    @property
    def group_names(self) -> tuple[str, ...]:
        """Names of the labels of a group."""
        return (*self.by, "period") if self.has_period_groups else self.by

    @property
    def window_seconds(self) -> int:
        """Length of the window, the usual one of the kind if none was given."""
        return round(convert(*parse_quantity(self.window or self.kind.window), "second"))

    @property
    def duration(self) -> str:
        """Expression of the duration or value."""
        if self.value:
            return self.value
        return f"{self.duration_unit}s({self.start}, {self.end})" if self.start else ""

    @property
    def duration_unit(self) -> str:
        """Unit of a duration; empty if nothing says it."""
        if self.value:
            tree = parse_expression(self.value).tree
            if isinstance(tree, Call) and tree.name in DURATIONS:
                return tree.name[:-1]
            return check_unit(self.unit) if self.unit else ""
        usual = "day" if self.kind.interval is Interval.SURVIVAL else "hour"
        return check_unit(self.unit) if self.unit else usual

    @property
    def unit_of_value(self) -> str:
        """Unit of the level."""
        if self.kind.reading is Reading.DURATION and self.kind.interval is Interval.MEAN:
            return self.duration_unit
        return self.unit if self.kind.reading is Reading.AMOUNT or self.kind.id == "cac" else self.kind.units[0]

    @property
    def end_of_sight(self) -> str | None:
        """First moment that was not seen any more."""
        return bound(self.as_of, last=True, where="as_of")

    def check(self) -> None:
        """Refuse what does not go together.

        Raises
        ------
        DataError
            With the arguments that the kind needs.
        """
        if not 0 < self.confidence_level < 1:
            raise DataError(f"confidence_level {self.confidence_level:g} is not between 0 and 1", advice="Write 0.95.")
        if self.aggregate not in ("mean", "median", "p90"):
            advice = nearest(self.aggregate, ["mean", "median", "p90"])
            raise DataError(f"aggregate {self.aggregate!r} is not known", advice=advice)
        if self.period:
            check_period(self.period)
        check_time_zone(self.time_zone)
        for name in self.needed():
            self._need(name)
        self._refuse_unused()
        self._check_settings()

    def needed(self) -> tuple[str, ...]:
        """Name the arguments that must be given, alternatives joined by ``|``."""
        if self.kind.id == "cac":
            return ("spend", "value|entity")
        if self.kind.interval is Interval.SURVIVAL:
            return ("value|start", "event|start")
        if self.is_history:
            amount = ("value",) if self.kind.reading is Reading.AMOUNT else ()
            step = ("period",) if self.kind.id in _STEPPED else ()
            rate = ("discount",) if self.kind.id == "clv_projected" else ()
            return ("entity", "at", *amount, *step, *rate)
        own = ("value|start",) if self.kind.is_duration else ("value",)
        return (*own, *(("promise",) if self.kind.reading is Reading.PROMISE else ()))

    def _need(self, name: str) -> None:
        if any(getattr(self, each) not in ("", None) for each in name.split("|")):
            return
        listed = ", ".join(f"{each.replace('|', '= or ')}=" for each in self.needed())
        raise DataError(f"{self.kind.id!r} needs {name.replace('|', ' or ')}", advice=f"It is measured from {listed}.")

    def _refuse_unused(self) -> None:
        kind = self.kind
        used = {
            "cap": kind.capped and kind.interval is not Interval.COST,
            "scale": kind.scaled,
            "promise": kind.reading is Reading.PROMISE,
            "window": kind.id in _WINDOWED and not self.is_flag,
            "event": kind.interval is Interval.SURVIVAL,
            "spend": kind.id == "cac",
            "discount": kind.id == "clv_projected",
            "start": kind.is_duration,
            "end": kind.is_duration,
            "as_of": self.is_history or kind.interval is Interval.SURVIVAL,
        }
        for name, is_used in used.items():
            if not is_used and getattr(self, name) not in ("", None):
                raise DataError(f"{kind.id!r} has no use for {name}", advice="Leave it out.")

    def _check_settings(self) -> None:
        kind = self.kind
        quantiles = kind.interval is Interval.MEAN and kind.reading in (Reading.DURATION, Reading.NUMBER, Reading.SCORE)
        if self.aggregate != "mean" and not quantiles:
            raise DataError(f"{kind.id!r} has no {self.aggregate}", advice="Use the mean.")
        if self.has_period_groups and not self.at:
            raise DataError("a period needs the time of the event", advice="Name its column: at=...")
        if kind.is_duration:
            self._check_duration()
        if self.scale is not None or kind.reading is Reading.TOP_BOX:
            self._check_scale()
        if kind.reading is not Reading.TOP_BOX and self.top != 1:
            raise DataError(f"{kind.id!r} has no top box", advice="Leave top out.")

    def _check_duration(self) -> None:
        if self.value and (self.start or self.end):
            raise DataError("value and start or end are both given", advice="Give one of the two.")
        if bool(self.start) != bool(self.end):
            raise DataError("start and end go together", advice="Name both columns.")
        if not self.duration_unit:
            raise DataError(
                f"nothing says what {self.value!r} is counted in", advice='Give unit="hour", or write hours(from, to).'
            )
        if f"{self.duration_unit}s" not in DURATIONS:
            listed = ", ".join(name[:-1] for name in DURATIONS)
            raise DataError(f"a duration cannot be counted in {self.duration_unit!r}", advice=f"Use one of {listed}.")

    def _check_scale(self) -> None:
        low, high = self.scale or self.kind.scale or (math.nan, math.nan)
        if not low < high:
            raise DataError(f"({low:g}, {high:g}) is not a scale", advice="Write the lowest and the highest answer.")
        if self.kind.reading is Reading.TOP_BOX and not 1 <= self.top <= high - low:
            raise DataError(f"{self.top} boxes of a scale from {low:g} to {high:g}", advice="Count 1 or 2 boxes.")


def read_rows(engine: Engine, table: str, request: Request) -> Rows:
    """Read the rows of a table as one indicator, answers that cannot exist refused.

    Raises
    ------
    DataError
        If a column has the wrong type or an answer is not on its scale.
    """
    kind = request.kind
    where = filter_sql(engine, table, request.where)
    raw = _raw(engine, table, request)
    value = raw
    if raw != "1e0" and kind.interval is not Interval.SURVIVAL:
        answer = Answer(
            name=request.duration,
            raw=raw,
            where=where,
            allowed=kind.allowed(request.scale),
            whole=kind.whole,
            scaled=kind.scaled,
        )
        refuse_impossible(engine, table, [answer] if answer.allowed else [])
        value = read_answer(kind, raw, scale=request.scale, promise=_promise(request), top=request.top)
    at = ""
    if request.at:
        check_time(engine, table, request.at)
        _check_zone(engine, table, request)
        at = moment(engine, table, request.at, time_zone=request.time_zone)
    taken = [name for name in request.by if name in _TAKEN or (name == "period" and request.has_period_groups)]
    if taken:
        raise DataError(f"groups cannot be called {taken[0]!r}", advice="Rename the column: a result has it.")
    by = {name: label_sql(engine, table, name) for name in request.by}
    if request.has_period_groups and not request.is_history:
        by["period"] = f"date_trunc('{request.period}', {at})"
    end = request.end_of_sight
    return Rows(
        engine=engine,
        table=table,
        by=by,
        value=value,
        entity=request.entity,
        at=at,
        where=where,
        cap=request.cap,
        is_duration=kind.is_duration,
        before=f"TIMESTAMP '{end}'" if end and at else "",
    )


def _check_zone(engine: Engine, table: str, request: Request) -> None:
    """Refuse to move times that carry no zone (those of a frame have lost it): their clock is taken as it is."""
    if request.time_zone != "UTC" and engine.type_of(table, request.at) != "TIMESTAMP WITH TIME ZONE":
        raise DataError(
            f"column {request.at!r} holds times without a zone, so they cannot be shown in {request.time_zone}",
            advice="Leave time_zone out and give times of the clock that cuts the periods: in pandas "
            ".dt.tz_convert(...).dt.tz_localize(None).",
        )


def _raw(engine: Engine, table: str, request: Request) -> str:
    if request.kind.interval is Interval.SURVIVAL and request.start:
        return "1e0"  # its end may be open: read apart
    if request.value:
        return value_sql(engine, table, parse_expression(request.value))
    if request.start:
        for column in (request.start, request.end):
            check_time(engine, table, column)
        first, last = (moment(engine, table, name) for name in (request.start, request.end))
        return f"CAST((epoch_us({last}) - epoch_us({first})) / {DURATIONS[request.duration_unit + 's']}e6 AS DOUBLE)"
    return "1e0"


def _promise(request: Request) -> float:
    if request.kind.reading is not Reading.PROMISE:
        return math.nan
    return promise_in(request.promise, value=request.value or "none", unit=request.duration_unit)
