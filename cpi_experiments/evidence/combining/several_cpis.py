"""Several CPIs that the same levers move: the size of each effect with the others held fixed."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import Displayed, decimals, level_text, number
from cpi_experiments.errors import DataError, kind_of
from cpi_experiments.evidence.combining.effect_rows import text_of
from cpi_experiments.evidence.combining.terms import check_level, ends_text, listed
from cpi_experiments.measure.engine import numeric, read_columns
from cpi_experiments.stats.combining.several_causes import several_causes
from cpi_experiments.stats.student import p_value, quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.display import Row
    from cpi_experiments.measure.engine import Data

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class CpiEffect(Displayed):
    """Effect of one CPI on the KPI with the other CPIs held fixed.

    Parameters
    ----------
    cpi : str
    value, std_error, ci_low, ci_high, p_value : float
        KPI per step; NaN where the levers cannot tell the CPIs apart.
    """

    cpi: str
    value: float
    std_error: float
    ci_low: float
    ci_high: float
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeveralCombined(Displayed):
    """Effects of several CPIs on one KPI from the same experiments.

    Parameters
    ----------
    effects : tuple of CpiEffect
    n_experiments, n_levers : int
    strength : float
        kappa of the combination of CPIs that the levers move least; 4 or more for an answer.
    confidence_level : float
    """

    effects: tuple[CpiEffect, ...]
    n_experiments: int
    n_levers: int
    strength: float
    confidence_level: float

    def _title(self) -> str:
        over = f"Over {self.n_experiments} experiments with {self.n_levers} levers"
        if math.isnan(self.effects[0].value):
            return (
                f"{over} the CPIs cannot be told apart (strength {self.strength:.1f}, 4 is needed): "
                "credit them together, or try levers that move only one."
            )
        return f"{over}, each with the others held fixed ({level_text(self.confidence_level)} intervals)."

    def _rows(self) -> list[Row]:
        return [each.to_dict() for each in self.effects]

    def _shown(self) -> list[Row]:
        shown = []
        for each in self.effects:
            digits = decimals(each.ci_low, each.ci_high)
            shown.append(
                {
                    "CPI": each.cpi,
                    "KPI per step": number(each.value, digits, sign=True),
                    "interval": ends_text(each.ci_low, each.ci_high, digits, sign=True),
                    "sign": "open" if each.ci_low <= 0 <= each.ci_high else "+" if each.value > 0 else "-",
                }
            )
        return shown


def combine_several(table: Data, *, cpis: Sequence[str], confidence_level: float = 0.95) -> SeveralCombined:
    """Combine experiments whose levers move several CPIs, each effect with the other CPIs held fixed.

    Parameters
    ----------
    table : DataFrame or path of a Parquet or CSV file
        One row per experiment: ``experiment, lever, effect_kpi, var_kpi``; for each CPI ``a`` ``effect_a``, ``var_a``
        and ``cov_a_kpi``; for each two CPIs ``cov_a_b`` (or ``cov_b_a``). Effects on CPIs count steps.
    cpis : sequence of str
        Two or more.
    confidence_level : float

    Returns
    -------
    SeveralCombined

    Raises
    ------
    DataError
        If a column or number is missing, a name repeats, or the covariances of an experiment cannot be.
    EstimationError
        If there are fewer experiments than CPIs + 5, the confidence level cannot be, or ``cpis`` is no list.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> a, b = np.array([3.0, 1, 4, 2, 5, 1, 2, 6]), np.array([1.0, 3, 2, 5, 1, 1, 4, 3])
    >>> table = pd.DataFrame({"experiment": list("ABCDEFGH"), "lever": list("ABCDEFGH"),
    ...                       "effect_kpi": 0.5 * a + 0.1 * b, "var_kpi": 0.01,
    ...                       "effect_speed": a, "var_speed": 0.01, "cov_speed_kpi": 0.0,
    ...                       "effect_ease": b, "var_ease": 0.01, "cov_ease_kpi": 0.0, "cov_speed_ease": 0.0})
    >>> [round(each.value, 2) for each in combine_several(table, cpis=["speed", "ease"]).effects]
    [0.5, 0.1]
    """
    check_level(confidence_level)
    names = _names(cpis)
    experiment, lever, numbers, pairs = _read(table, names)
    k, m = len(experiment), len(names)
    omega = np.empty((k, m + 1, m + 1))
    for i, name in enumerate(names):
        omega[:, i, i] = numbers[f"var_{name}"]
        omega[:, i, m] = omega[:, m, i] = numbers[f"cov_{name}_kpi"]
    for (i, j), column in pairs.items():
        omega[:, i, j] = omega[:, j, i] = numbers[column]
    omega[:, m, m] = numbers["var_kpi"]
    _check_omega(omega, experiment)
    found = several_causes(
        np.column_stack([numbers[f"effect_{name}"] for name in names]),
        numbers["effect_kpi"],
        xx=omega[:, :m, :m],
        xy=omega[:, :m, m],
        yy=omega[:, m, m],
    )
    return SeveralCombined(
        effects=tuple(
            _effect(name, float(value), float(error), found.df, told=found.informative, level=confidence_level)
            for name, value, error in zip(names, found.values, found.std_errors, strict=True)
        ),
        n_experiments=k,
        n_levers=len(set(lever)),
        strength=found.strength,
        confidence_level=confidence_level,
    )


def _names(cpis: Sequence[str]) -> list[str]:
    given = listed([cpis] if isinstance(cpis, str) else cpis, "cpis")
    others = [name for name in given if not isinstance(name, str)]
    if others:
        raise DataError(f"{kind_of(others[0])} among the cpis", advice="Give the names of the CPIs as texts.")
    names = [str(name) for name in given]
    if len(names) < 2 or len(set(names)) < len(names):
        raise DataError(f"cpis are {names}", advice="Name two or more different CPIs; for one use combine.")
    if "kpi" in names:
        raise DataError("a CPI is named 'kpi'", advice="That name stands for the KPI in the columns; rename the CPI.")
    return names


def _read(table: Data, names: list[str]) -> tuple[list[str], list[str], dict[str, Floats], dict[tuple[int, int], str]]:
    needed = ["effect_kpi", "var_kpi", *(f"{part}_{name}" for name in names for part in ("effect", "var"))]
    needed += [f"cov_{name}_kpi" for name in names]
    either = {
        (i, j): (f"cov_{names[i]}_{names[j]}", f"cov_{names[j]}_{names[i]}")
        for i, j in itertools.combinations(range(len(names)), 2)
    }
    columns = read_columns(
        table, ["experiment", "lever", *needed], optional=[name for both in either.values() for name in both]
    )
    pairs = {}
    for place, both in either.items():
        told = [name for name in both if name in columns]
        if len(told) != 1:
            raise DataError(
                f"column {both[0]!r} is {'missing' if not told else 'there twice, as ' + repr(both[1]) + ' too'}",
                advice="Give the covariance of the two effects once; it is not zero.",
            )
        pairs[place] = told[0]
    numbers = {name: numeric(columns, name) for name in (*needed, *pairs.values())}
    experiment = [text_of(value) for value in columns["experiment"]]
    for name, values in numbers.items():
        missing = [experiment[i] or "?" for i in np.flatnonzero(~np.isfinite(values))]
        if missing:
            raise DataError(
                f"{name} is missing in {len(missing)} of {len(values)} experiments: {', '.join(missing[:5])}",
                advice="A missing covariance is not zero; leave an experiment out only with a reason.",
            )
    twice = [name for name in experiment if experiment.count(name) > 1 or not name]
    if twice:
        raise DataError(f"experiment {twice[0]!r} is empty or not unique", advice="Give one row per experiment.")
    return experiment, [text_of(value) for value in columns["lever"]], numbers, pairs


def _check_omega(omega: Floats, experiment: list[str]) -> None:
    size = np.sqrt(np.maximum(np.einsum("kii->ki", omega), 0))
    if not np.all(size > 0):
        bad = experiment[int(np.flatnonzero(~np.all(size > 0, axis=1))[0])]
        raise DataError(f"a variance of experiment {bad!r} is not above zero", advice="Give sampling variances.")
    least = np.linalg.eigvalsh(omega / (size[:, :, None] * size[:, None, :]))[:, 0]
    if np.any(least < 1e-9):
        bad = experiment[int(np.argmin(least))]
        raise DataError(
            f"the covariances of experiment {bad!r} are impossible for its variances",
            advice="All are of the effects; CPIs that are computed from each other are one CPI.",
        )


def _effect(name: str, value: float, error: float, df: float, *, told: bool, level: float) -> CpiEffect:
    if not told:
        return CpiEffect(
            cpi=name, value=math.nan, std_error=math.inf, ci_low=-math.inf, ci_high=math.inf, p_value=math.nan
        )
    half = quantile(0.5 + level / 2, df) * error
    return CpiEffect(
        cpi=name,
        value=value,
        std_error=error,
        ci_low=value - half,
        ci_high=value + half,
        p_value=p_value(value / error, df),
    )
