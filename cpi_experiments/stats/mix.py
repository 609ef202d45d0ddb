"""A change of a mean, split into what changed within groups and what changed because the groups' shares changed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.contrast import MeanChange, mean_change, sample_mean

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class MixShift:
    """The two parts of a change; they add up to it exactly.

    Parameters
    ----------
    within : MeanChange
        Change of the groups' means at average shares.
    mix : MeanChange
        Change of the groups' shares at average means. Groups in one period only count here.
    """

    within: MeanChange
    mix: MeanChange


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grouped:
    """Rows of one period.

    Parameters
    ----------
    values : float array, shape (n,)
    groups : int array, shape (n,)
        Codes 0, 1, ... .
    clusters : int array, shape (n,)
        Codes of the sampled units.
    """

    values: Floats
    groups: Floats
    clusters: Floats


def mix_shift(now: Grouped, before: Grouped) -> MixShift:
    """Split the change of a mean into a part within groups and a part of the mix (Kitagawa).

    ``within = sum_g (w_g + w'_g) / 2 * (m_g - m'_g)`` and ``mix = sum_g (m_g + m'_g) / 2 * (w_g - w'_g)`` with shares w
    and means m of the groups. Errors by the delta method on shares and means together, units in both periods paired.

    Parameters
    ----------
    now, before : Grouped
        With one coding of groups and of clusters.

    Raises
    ------
    EstimationError
        If a period has no rows.

    References
    ----------
    Kitagawa (1955), JASA 50; Oaxaca (1973), Int. Econ. Rev. 14; Jann (2008), Stata J. 8 (variance).

    Examples
    --------
    >>> before = Grouped(values=np.array([1.0, 1, 5, 5]), groups=np.array([0, 0, 1, 1]), clusters=np.arange(4))
    >>> now = Grouped(values=np.array([1.0, 5, 5, 5]), groups=np.array([0, 1, 1, 1]), clusters=np.arange(4) + 4)
    >>> split = mix_shift(now, before)
    >>> split.within.value, split.mix.value
    (0.0, 1.0)
    """
    if not (len(now.values) and len(before.values)):
        raise EstimationError("a period has no rows: its change cannot be split")
    size = int(max(now.groups.max(), before.groups.max())) + 1
    (w, m), (w0, m0) = _shares(now, size), _shares(before, size)
    both = (w > 0) & (w0 > 0)
    m, m0 = np.where(w > 0, m, m0), np.where(w0 > 0, m0, m)
    m, m0 = np.nan_to_num(m), np.nan_to_num(m0)  # a group without rows in either period weighs nothing
    dm, dw, mid_w, mid_m = m - m0, w - w0, (w + w0) / 2, (m + m0) / 2
    slope_mix = np.where(both, dw / 2, dw)
    within, mix = (
        _part(value, _influence(now, (w, m), *here), _influence(before, (w0, m0), *there), now, before)
        for value, here, there in (
            (float(mid_w @ dm), (np.where(both, mid_w, 0.0), dm / 2), (np.where(both, -mid_w, 0.0), dm / 2)),
            (float(mid_m @ dw), (slope_mix, mid_m), (slope_mix, -mid_m)),
        )
    )
    return MixShift(within=within, mix=mix)


def _part(value: float, here: Floats, there: Floats, now: Grouped, before: Grouped) -> MeanChange:
    change = mean_change(sample_mean(here, now.clusters), sample_mean(-there, before.clusters))
    return replace(change, value=value)


def _shares(rows: Grouped, size: int) -> tuple[Floats, Floats]:
    counts = np.bincount(rows.groups, minlength=size).astype(float)
    sums = np.bincount(rows.groups, weights=rows.values, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        return counts / len(rows.values), sums / counts


def _influence(rows: Grouped, levels: tuple[Floats, Floats], by_mean: Floats, by_share: Floats) -> Floats:
    """Value per row whose mean has the sampling error of the part; ``by_*`` are its derivatives."""
    w, m = levels
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(w > 0, by_mean / w, 0.0)
    pull = by_share - float(w @ by_share)
    return np.asarray(slope[rows.groups] * (rows.values - m[rows.groups]) + pull[rows.groups])
