"""A difference of means or ratios by resampling: bootstrap, permutation, wild cluster bootstrap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cpi_experiments.errors import DesignError
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.randomized.effects.itt import adjusted_by
from cpi_experiments.randomized.effects.row_case import Asked, Found, counted, resampling_diagnostic, what_is_said
from cpi_experiments.stats.adjustment import adjustment, linear_ratio
from cpi_experiments.stats.arm_means import ArmMeans, means_of_cells
from cpi_experiments.stats.cells import Cells, cells_of_rows
from cpi_experiments.stats.resampling.bootstrap import bootstrap_test
from cpi_experiments.stats.resampling.permutation import permutation_test
from cpi_experiments.stats.resampling.totals import totals_of
from cpi_experiments.stats.resampling.wild_bootstrap import wild_cluster_test

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.randomized.effects.outcomes import Mean, Ratio
    from cpi_experiments.randomized.effects.row_case import RowCase
    from cpi_experiments.stats.resampling.resampled import Resampled
    from cpi_experiments.stats.resampling.totals import Totals

Array = np.ndarray


class _Test(Protocol):
    def __call__(
        self, totals: Totals, *, rng: np.random.Generator, reps: int, confidence_level: float, alternative: str
    ) -> Resampled: ...


#: Test, its name, and what a resample is called, by inference; the last in place of "units" for clusters.
_TESTS: dict[str, tuple[_Test, str, str]] = {
    "bootstrap": (bootstrap_test, "studentised bootstrap", "resamples"),
    "permutation": (permutation_test, "studentised permutation", "assignments"),
    "wild": (wild_cluster_test, "wild cluster bootstrap (null imposed, CR3)", "sign patterns"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    means: ArmMeans
    varies: bool
    covariates: int
    notes: tuple[Diagnostic, ...]


def mean_effect(case: RowCase, outcome: Mean | Ratio, covariates: Sequence[str], asked: Asked) -> Found:
    """Estimate a difference of means or ratios as `compare` does, and test it by resampling.

    Raises
    ------
    DesignError
        If the wild bootstrap is asked for without clusters, or the formula, which needs no rows.
    EstimationError
        If an arm has fewer than two units or clusters, or clusters lie in both arms.
    """
    if asked.inference not in _TESTS:
        raise DesignError(f"the formula for {outcome.name!r} needs no rows", advice="`compare` answers it from sums.")
    if asked.inference == "wild" and case.clusters is None:
        raise DesignError(
            "the wild cluster bootstrap needs clusters", advice='Name `cluster`, or use inference="bootstrap".'
        )
    columns = np.column_stack([case.values[name] for name in (*outcome.columns, *covariates)])
    cells = cells_of_rows(columns, case.treated, strata=case.strata, clusters=case.clusters)
    ratio = len(outcome.columns) == 2
    point = _point(cells, covariates, ratio=ratio)
    test, name, what = _TESTS[asked.inference]
    method = ", ".join(
        [
            "ratio of means" if ratio else "difference in means",
            *(["CUPED"] if point.covariates else []),
            *(["post-stratified"] if case.strata is not None else []),
            name + (" of clusters" if case.clusters is not None and asked.inference != "wild" else ""),
        ]
    )
    notes = (*what_is_said(point.means, asked, covariates=point.covariates), *point.notes)
    if not point.varies:
        return _found(point, method, notes, None)
    resampled = test(
        _totals(case, cells, outcome.columns, covariates),
        rng=asked.rng(),
        reps=asked.reps,
        confidence_level=asked.confidence_level,
        alternative=asked.alternative,
    )
    method = f"{method}, {counted(resampled, what)}"
    return _found(point, method, (*notes, resampling_diagnostic(resampled, asked, what)), resampled)


def _found(point: _Point, method: str, notes: tuple[Diagnostic, ...], resampled: Resampled | None) -> Found:
    nothing = math.nan
    return Found(
        value=float(point.means.effect[0]),
        std_error=resampled.std_error if resampled else nothing,
        df=math.inf,
        ci_low=resampled.ci_low if resampled else nothing,
        ci_high=resampled.ci_high if resampled else nothing,
        p_value=resampled.p_value if resampled else nothing,
        rel_low=resampled.ratio_low if resampled and not point.covariates else nothing,
        rel_high=resampled.ratio_high if resampled and not point.covariates else nothing,
        control=float(point.means.control[1]),
        treatment=float(point.means.treatment[1]),
        control_error=math.sqrt(max(float(point.means.cov[1, 1]), 0.0)),
        means=point.means,
        method=method,
        diagnostics=notes,
        usable=resampled is not None,
    )


def _point(cells: Cells, covariates: Sequence[str], *, ratio: bool) -> _Point:
    found = adjusted_by(linear_ratio(cells) if ratio else cells, 1, covariates)
    return _Point(
        means=means_of_cells(found.cells),
        varies=found.cells.varies(0),
        covariates=len(covariates) - len(found.idle),
        notes=found.diagnostics,
    )


def _totals(case: RowCase, cells: Cells, columns: Sequence[str], covariates: Sequence[str]) -> Totals:
    """Take top and base as they are, or the linear form of a ratio where it is adjusted or weighted over strata."""
    top = case.values[columns[0]]
    ones = np.ones(len(top))
    base = case.values[columns[1]] if len(columns) == 2 else ones
    if len(columns) == 2 and (covariates or case.strata is not None):
        top, base = _linear(top, base, case.treated), ones
    if covariates:
        top = _adjusted(top, linear_ratio(cells) if len(columns) == 2 else cells, case, covariates)
    return totals_of(top, base, case.treated, strata=case.strata, clusters=case.clusters)


def _linear(top: Array, base: Array, treated: Array) -> Array:
    """Values whose mean in an arm is the ratio, with the delta method's variance; see `linear_ratio`."""
    values = np.zeros(len(top))
    for arm in (~treated, treated):
        mean = base[arm].mean()
        ratio = top[arm].mean() / mean
        values[arm] = ratio + (top[arm] - ratio * base[arm]) / mean
    return values


def _adjusted(top: Array, cells: Cells, case: RowCase, covariates: Sequence[str]) -> Array:
    found = adjustment(cells, 1)
    for name, weight in zip(covariates, found.coefficients[:, 0], strict=True):
        top = top - weight * (case.values[name] - case.values[name].mean())
    return top
