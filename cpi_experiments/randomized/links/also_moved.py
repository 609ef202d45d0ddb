"""Which other CPIs a lever moves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cpi_experiments.errors import DataError, EstimationError
from cpi_experiments.estimate import Diagnostic, Estimate
from cpi_experiments.randomized.cases import complete
from cpi_experiments.randomized.effects.itt import adjusted_by, itt_estimate, method_of
from cpi_experiments.stats.arm_means import means_of_cells
from cpi_experiments.stats.student import p_value as t_p_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.randomized.trial import Trial

#: A lever moves another CPI as well if its |t| exceeds this.
ALSO_MOVED = 2.0


def moved_too(trial: Trial, others: Sequence[str], covariates: Sequence[str]) -> Diagnostic:
    """Say which other CPIs the lever moves: then one CPI alone may not be credited with what the lever did to a KPI.

    Parameters
    ----------
    trial : Trial
        Its moments hold the squares of these columns and their products with the covariates.
    others : sequence of str
    covariates : sequence of str

    Returns
    -------
    Diagnostic
        Failed where some arm moves one of them with |t| above 2; it never blocks by itself.

    References
    ----------
    Sanderson, Windmeijer (2016), J. Econometrics 190: one instrument cannot tell two causes apart.
    """
    found = [
        (abs(e.value / e.std_error), e)
        for name in others
        for j in range(1, len(trial.labels))
        if (e := _alone(trial, j, name, covariates)) is not None
    ]
    moved = [(t, e) for t, e in found if t > ALSO_MOVED]
    worst = max(found, key=lambda each: each[0], default=None)
    told = ", ".join(f"{e.outcome} ({e.cause}: t {t:.1f})" for t, e in moved)
    advice = (
        f"The lever also moved {told}: what it did to the KPI cannot be credited to one CPI. Read the CPIs as a bundle "
        "(`bundle_effect`); with as many arms as CPIs their effects can be told apart."
    )
    return Diagnostic(
        name="bundle",
        null="the lever moves no other CPI",
        statistic=math.nan if worst is None else worst[0],
        p_value=math.nan if worst is None else t_p_value(worst[0], worst[1].df),
        passed=not moved,
        advice=advice if moved else "",
    )


def _alone(trial: Trial, j: int, name: str, covariates: Sequence[str]) -> Estimate | None:
    """Estimate the effect of one arm on another CPI in its own complete cases; None where that is not possible."""
    try:
        found = effect_of_arm(trial, j, name=name, columns=[name, *covariates], covariates=covariates)
    except (DataError, EstimationError):
        return None
    return found if found.std_error > 0 else None


def effect_of_arm(
    trial: Trial,
    treatment: int,
    *,
    name: str,
    columns: Sequence[str],
    covariates: Sequence[str],
    confidence_level: float = 0.95,
) -> Estimate:
    """Estimate the effect of one arm on one column, in the rows that are complete in all columns."""
    at = [name, *covariates]
    cases = complete(trial, treatment, list(columns))
    cells = cases.cells.take([list(columns).index(column) for column in at])
    found = adjusted_by(cells, 1, covariates)
    return itt_estimate(
        means_of_cells(found.cells),
        cause=str(trial.labels[treatment]),
        outcome=name,
        cases=cases,
        usable=found.cells.varies(0),
        method=method_of(cases, adjusted=found.used),
        diagnostics=(*trial.diagnostics, *found.diagnostics),
        confidence_level=confidence_level,
    )
