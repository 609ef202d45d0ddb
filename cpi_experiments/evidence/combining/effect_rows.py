"""Reading the effects of one link's experiments: from a table or from pairs, checked row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError, kind_of, nearest
from cpi_experiments.estimate import EffectPair
from cpi_experiments.evidence.combining.terms import is_number, listed
from cpi_experiments.measure.engine import numeric, read_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.engine import Data

Floats = np.ndarray

TEXT = ("experiment", "lever")
PAIR = ("effect_cpi", "effect_kpi", "var_cpi", "var_kpi", "cov")
HALVES = ("effect_cpi_1", "effect_cpi_2", "effect_kpi_1", "effect_kpi_2")


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRows:
    """Effects of K experiments with their names.

    Parameters
    ----------
    experiment, lever : tuple of str
    x, y, xx, xy, yy, df, orientation : array, shape (K,)
    halves : tuple of two arrays of shape (2, K), or None
        Effects on CPI and KPI in two independent halves.
    link : str
        Its name; empty if none was told.
    """

    experiment: tuple[str, ...]
    lever: tuple[str, ...]
    x: Floats
    y: Floats
    xx: Floats
    xy: Floats
    yy: Floats
    df: Floats
    orientation: Floats
    halves: tuple[Floats, Floats] | None = None
    link: str = ""

    def __post_init__(self) -> None:
        missing = ~np.isfinite(np.stack([self.x, self.y, self.xx, self.yy]))
        self._refuse(
            np.isnan(self.xy), "cov is missing", "It is not zero: CPI and KPI are measured on the same customers."
        )
        self._refuse(missing.any(axis=0), "an effect or a variance is missing", "All five numbers are needed.")
        self._refuse((self.xx < 0) | (self.yy < 0), "a variance is below zero", "Give sampling variances.")
        self._refuse(self.yy == 0, "the KPI has no variance", "An effect that is known exactly cannot be weighted.")
        self._refuse(
            self.xy**2 > self.xx * self.yy * (1 + 1e-9),
            "the covariance is impossible for the variances",
            "All three are of the two effects; a standard error is not a variance.",
        )
        self._refuse(
            (self.xx > 0) & (self.xy**2 >= self.xx * self.yy * (1 - 1e-9)),
            "the noise of CPI and KPI is one and the same",
            "One seems to be computed from the other: they are one outcome, not a link.",
        )
        self._refuse(~(self.df > 0), "df is not above zero", "Leave it empty for the normal.")
        self._refuse(~np.isin(self.orientation, (-1.0, 0.0, 1.0)), "orientation is no sign", "Give +1, -1 or 0.")
        self._refuse(~np.array([bool(lever) for lever in self.lever]), "lever is empty", "Name the lever.")
        names = self.experiment
        self._refuse(
            np.array([names.count(name) > 1 or not name for name in names]),
            "experiment is empty or not unique",
            "Give one row per experiment: what it says after its planned end.",
        )

    def _refuse(self, wrong: Floats, found: str, advice: str) -> None:
        if wrong.any():
            named = [self.experiment[i] or "?" for i in np.flatnonzero(wrong)]
            more = f" and {len(named) - 5} more" if len(named) > 5 else ""
            raise DataError(
                f"{found} in {len(named)} of {len(wrong)} experiments: {', '.join(named[:5])}{more}", advice=advice
            )

    def oriented(self, orientation: Sequence[int] | Mapping[str, int]) -> EffectRows:
        """Take orientations from a sequence, or from a mapping of lever to sign (0 for levers it does not name).

        Raises
        ------
        DataError
            If the sequence has another length, a sign is none, or the mapping names an unknown lever.
        EstimationError
            If it is neither a sequence nor a mapping.
        """
        if isinstance(orientation, Mapping):
            unknown = sorted(set(orientation) - set(self.lever))
            if unknown:
                raise DataError(
                    f"orientation names the lever {unknown[0]!r}, which has no experiment",
                    advice=nearest(unknown[0], sorted(set(self.lever))),
                )
            signs: list[object] = [orientation.get(lever, 0) for lever in self.lever]
        else:
            signs = listed(orientation, "orientation")
            if len(signs) != len(self.lever):
                raise DataError(f"{len(signs)} orientations for {len(self.lever)} experiments", advice="Give one each.")
        return replace(self, orientation=np.array([float(s) if is_number(s) else math.nan for s in signs]))


def rows_of_pairs(pairs: list[EffectPair] | tuple[EffectPair, ...], levers: Sequence[str] | None) -> EffectRows:
    """Name pairs E1, E2, ..., each with a lever of its own unless levers are given.

    Raises
    ------
    DataError
        If there is no pair, something else is among them, or the levers are of another number.
    EstimationError
        If the levers are a text or no list.
    """
    if not pairs:
        raise DataError("no experiments", advice="Give at least one pair of effects.")
    other = next((pair for pair in pairs if not isinstance(pair, EffectPair)), None)
    if other is not None:
        raise DataError(f"{kind_of(other)} among the pairs", advice="Give EffectPair objects, or a table.")
    names = tuple(f"E{i + 1}" for i in range(len(pairs)))
    named = names if levers is None else tuple(text_of(lever) for lever in listed(levers, "levers"))
    if len(named) != len(pairs):
        raise DataError(f"{len(named)} levers for {len(pairs)} pairs", advice="Give one each.")
    x, y, xx, yy, xy, df = np.array([[*(getattr(p, name) for name in PAIR), p.df] for p in pairs], dtype=float).T
    return EffectRows(
        experiment=names,
        lever=named,
        x=x, y=y, xx=xx, xy=xy, yy=yy, df=df, orientation=np.zeros(len(pairs)),
    )  # fmt: skip


def rows_of_table(table: Data) -> EffectRows:
    """Read the experiments of one link from a table.

    Raises
    ------
    DataError
        If a column is missing or no number, or there is more than one link.
    """
    columns = read_columns(table, [*TEXT, *PAIR], optional=["link", "df", "orientation", *HALVES])
    links = sorted({text_of(value) for value in columns.get("link", ())})
    if len(links) > 1:
        raise DataError(
            f"{len(links)} links in one table: {', '.join(links[:5])}",
            advice="Combine the experiments of one link at a time, or use judge_links.",
        )
    n = {name: numeric(columns, name) for name in PAIR}
    return EffectRows(
        experiment=tuple(text_of(value) for value in columns["experiment"]),
        lever=tuple(text_of(value) for value in columns["lever"]),
        x=n["effect_cpi"], y=n["effect_kpi"], xx=n["var_cpi"], xy=n["cov"], yy=n["var_kpi"],
        df=_filled(columns, "df", math.inf, len(n["cov"])),
        orientation=_filled(columns, "orientation", 0.0, len(n["cov"])),
        halves=_halves(columns),
        link=links[0] if links else "",
    )  # fmt: skip


def _filled(columns: Mapping[str, Floats], name: str, default: float, count: int) -> Floats:
    """Read an optional column with a default where it is empty; only degrees of freedom may be infinite."""
    if name not in columns:
        return np.full(count, default)
    values = columns[name]
    if math.isinf(default) and values.dtype.kind == "f":
        values = np.where(np.isposinf(values), np.nan, values)
    read = numeric({name: values}, name)
    return np.where(np.isnan(read), default, read)


def _halves(columns: Mapping[str, Floats]) -> tuple[Floats, Floats] | None:
    given = [name for name in HALVES if name in columns]
    if not given:
        return None
    if len(given) < len(HALVES):
        lacking = sorted(set(HALVES) - set(given))
        raise DataError(f"column {lacking[0]!r} is missing", advice=f"The check by halves needs {', '.join(HALVES)}.")
    first, second, third, fourth = (numeric(columns, name) for name in HALVES)
    found = np.stack([first, second]), np.stack([third, fourth])
    if not all(np.isfinite(each).all() for each in found):
        raise DataError("an effect of a half is missing", advice="Give both halves of every experiment, or no halves.")
    return found


def text_of(value: Any) -> str:  # noqa: ANN401 - whatever the column held
    """Write a name: a whole number without its decimals, nothing for a missing one.

    Examples
    --------
    >>> text_of(3.0), text_of(None), text_of(" E1 ")
    ('3', '', 'E1')
    """
    if value is None or value != value:  # noqa: PLR0124 - true for NaN only
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
