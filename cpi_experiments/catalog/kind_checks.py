"""Whether what a catalog says about an outcome fits the built-in indicator that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cpi_experiments.catalog.entities import Aggregate
from cpi_experiments.catalog.expression import DURATIONS, Call, parse_expression
from cpi_experiments.catalog.indicator_kinds import Reading
from cpi_experiments.errors import CatalogError
from cpi_experiments.units import convert, parse_quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cpi_experiments.catalog.entities import CPI, KPI, Measure
    from cpi_experiments.catalog.indicator_kinds import IndicatorKind

_ADDING: Final = (Aggregate.SUM, Aggregate.COUNT)
#: Field of the catalog, what was found, what to do.
Misfit = tuple[str, str, str]


def kind_misfits(indicator: CPI | KPI) -> Iterator[Misfit]:
    """Yield everything in which an outcome contradicts the built-in indicator that its measure names.

    Yields
    ------
    (field, found, advice)
        ``field`` is a path such as ``measure.scale``.

    Examples
    --------
    >>> from cpi_experiments.catalog.entities import KPI, Measure
    >>> from cpi_experiments.units import Direction
    >>> score = Measure(table="answers", entity="customer_id", at="answered_at", value="score", indicator="nps")
    >>> kpi = KPI(id="nps", label="NPS", unit="percent", better=Direction.HIGHER, measure=score)
    >>> [field for field, _, _ in kind_misfits(kpi)]
    ['unit']
    """
    measure, kind = indicator.measure, indicator.measure.kind
    if kind is None:
        yield from _without_kind(measure)
        return
    if not kind.by_customer:
        yield (
            "measure.indicator",
            f"{kind.id!r} has no value for one customer and period, so it cannot be part of a link",
            f"Measure its level with `indicator(data, {kind.id!r}, ...)`.",
        )
    if indicator.unit not in kind.units:
        yield "unit", f"{kind.id!r} is not counted in {indicator.unit!r}", f"Use {' or '.join(kind.units)}."
    if indicator.better is not kind.better:
        yield (
            "better",
            f"{indicator.better.value} is not better for {kind.id!r}",
            f"Write `better: {kind.better.value}`, or leave `indicator` out.",
        )
    yield from _settings(measure, kind)
    yield from _promise(measure, kind)


def _without_kind(measure: Measure) -> Iterator[Misfit]:
    given = {"scale": measure.scale is not None, "promise": bool(measure.promise), "top": measure.top != 1}
    for field, there in given.items():
        if there:
            yield f"measure.{field}", f"`{field}` belongs to a built-in indicator", "Add `indicator:`, or remove it."


def _settings(measure: Measure, kind: IndicatorKind) -> Iterator[Misfit]:
    if measure.cap is not None and not kind.capped:
        yield "measure.cap", f"{kind.id!r} cannot be capped", "Remove `cap`: its values are bounded already."
    if measure.aggregate in _ADDING and kind.reading in (Reading.SCORE, Reading.NPS, Reading.TOP_BOX):
        yield "measure.aggregate", f"answers of {kind.id!r} do not add up", "Use mean or median."
    if measure.scale is not None and not kind.scaled:
        yield "measure.scale", f"{kind.id!r} has no other scale than its own", "Remove `scale`."
    elif measure.scale is not None and not _is_scale(measure.scale):
        yield "measure.scale", f"{list(measure.scale)} is not a scale", "Write two whole numbers, such as [1, 10]."
    if kind.reading is not Reading.TOP_BOX and measure.top != 1:
        yield "measure.top", f"{kind.id!r} has no top box", "Remove `top`."
    low, high = measure.scale or kind.scale or (0.0, 2.0)
    if kind.reading is Reading.TOP_BOX and not 1 <= measure.top <= high - low:
        yield "measure.top", f"{measure.top} boxes of a scale from {low:g} to {high:g}", "Count 1 or 2 boxes."


def _is_scale(scale: tuple[float, float]) -> bool:
    return scale[0] < scale[1] and all(float(end).is_integer() for end in scale)


def _promise(measure: Measure, kind: IndicatorKind) -> Iterator[Misfit]:
    if kind.reading is not Reading.PROMISE:
        if measure.promise:
            yield "measure.promise", f"{kind.id!r} has no promise", "Remove `promise`, or use `share_within`."
        return
    if not measure.promise:
        yield "measure.promise", f"{kind.id!r} needs what was promised", 'Write it like `promise: "24 hours"`.'
        return
    try:
        promise_in(measure.promise, value=measure.value)
    except CatalogError as error:
        yield "measure.promise", error.found, error.advice


def promise_in(promise: str, *, value: str, unit: str = "") -> float:
    """Return a promise in the unit of the duration that it is compared with.

    Parameters
    ----------
    promise : str
        Such as ``24 hours``.
    value : str
        Expression of the duration, such as ``hours(from, to)``.
    unit : str
        Unit of the value where it is a column that already holds durations.

    Raises
    ------
    CatalogError
        If the value is no duration, or the promise is no time above zero.

    Examples
    --------
    >>> promise_in("2 days", value="hours(asked_at, answered_at)")
    48.0
    """
    tree = parse_expression(value).tree
    unit = tree.name[:-1] if isinstance(tree, Call) and tree.name in DURATIONS else unit
    if not unit:
        raise CatalogError(
            f"value {value!r} is not one duration, so nothing says what a promise is compared with",
            advice="Write `value: hours(from, to)`.",
        )
    size = convert(*parse_quantity(promise), unit)
    if not size > 0:
        raise CatalogError(f"promise {promise!r} is not above zero", advice='Write it like "24 hours".')
    return size
