"""Terms that can be meant, and experiments that can count."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cpi_experiments.display import decimals
from cpi_experiments.errors import DataError, EstimationError, kind_of
from cpi_experiments.evidence.case import broken
from cpi_experiments.evidence.combining.terms import ends_text, is_number, is_sign
from cpi_experiments.wording.verdicts import reason

if TYPE_CHECKING:
    from cpi_experiments.evidence.case import Trialed

#: What a lever did to the CPI when its experiment says nothing about the link.
NO_EVIDENCE = ("inert", "wrong way")


def check_terms(sesoi: object, expected_sign: object, scale: object, overlaps: object) -> None:
    """Refuse sizes and signs that nobody can have registered.

    Raises
    ------
    EstimationError
    """
    if not (is_number(sesoi) and 0 < sesoi < math.inf):
        raise EstimationError(f"sesoi is {sesoi}", advice="It is a size above zero, in KPI units per increment.")
    if not is_sign(expected_sign):
        raise EstimationError(f"expected_sign is {expected_sign}", advice="Give +1 or -1.")
    if not (is_number(scale) and sesoi <= scale < math.inf):
        raise EstimationError(
            f"scale {scale} is not a size of at least the SESOI, {sesoi}",
            advice="The mixture scale is frozen at registration: the SESOI, or more if larger effects were expected.",
        )
    if overlaps is not None and not hasattr(overlaps, "items"):
        raise EstimationError(f"overlaps is {kind_of(overlaps)}", advice='Give a dict such as {"E2": ["E1"]}.')


def check_trial(trial: Trialed, times: int) -> None:
    """Refuse an experiment that appears more than once, is broken or is none.

    Raises
    ------
    DataError
    """
    where = f"experiment {trial.experiment!r}"
    if times > 1:
        raise DataError(
            f"it appears {times} times", where=where, advice="Give one row per experiment: what it says after its end."
        )
    reasons = (
        trial.blocked or broken(trial.pair),
        trial.exploratory,
        trial.left_out,
        trial.projected and f"its KPI is projected (known on {trial.projected})",
        "it is a holdout, not an experiment with a lever of its own" if trial.holdout else "",
    )
    why = next(filter(None, reasons), "")
    if why:
        raise DataError(
            f"it cannot count: {why}",
            where=where,
            advice="Repair it or leave it out; a missing covariance is never taken as zero.",
        )


def note_of(trial: Trialed) -> str:
    """Say what the lever did to the CPI.

    Examples
    --------
    >>> from cpi_experiments.estimate import EffectPair
    >>> from cpi_experiments.evidence.case import Trialed
    >>> pair = EffectPair(effect_cpi=-3.0, effect_kpi=0.03, var_cpi=0.04, var_kpi=1e-4, cov=0.0)
    >>> note_of(Trialed(experiment="E1", lever="auto_quote", pair=pair))
    'E1: auto_quote moved the CPI against its declared sign (-3.33 to -2.67 steps).'
    """
    low, high = trial.cpi_interval
    span = ends_text(low, high, decimals(low, high), sign=True)
    return reason(trial.move, experiment=trial.experiment, lever=trial.lever or "the lever", span=span)
