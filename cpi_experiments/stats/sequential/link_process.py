"""Evidence about one link, read after every experiment: e-processes over experiments and the levers tried in them.

Letters as in `cpi_experiments.stats.combining.effects`; the arrays there may have leading axes, one row a sequence, and
everything here has the shape (..., K): element k is the state after experiment k. An e-process starts at 1 and its
chance ever to reach e is at most 1 / e if its null is true (Ville 1939), so it may be read after every experiment.

Valid for normal effects of known covariance whose experiments share no customers, as long as no lever moves x against
its declared sign. For the levers tried: under the null every one of them has no effect. Where effects differ between
levers and only their mean is zero, `general_log_e` is the process to read.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from cpi_experiments.errors import EstimationError

if TYPE_CHECKING:
    from cpi_experiments.stats.combining.effects import Effects

Floats = np.ndarray

#: Factor of the variances until this many experiments tell how far they spread.
FIRST_SPREAD = 1.5
SPREAD_FROM = 5
#: Experiments below which levers in general cannot be spoken of.
GENERAL_FROM = 20
_STEPS = 2
#: Numbers that are held at once while prefixes are compared.
_CELLS = 200_000
_LARGEST = 700.0
_TINY = 1e-300


def log_mixture(score: Floats | float, information: Floats | float, *, scale: Floats | float) -> Floats:
    """Log of the one-sided mixture e-value, for a half-normal prior of the given scale on the effect.

    ``2 sqrt(l / (V + l)) exp(S^2 / (2 (V + l))) Phi(S / sqrt(V + l))`` with ``l = scale^-2``: the mean of
    ``exp(h S - h^2 V / 2)`` over h ~ abs(N(0, scale^2)).

    Parameters
    ----------
    score, information, scale : array or float
        S, V (at least 0) and the scale (above 0), broadcast.

    References
    ----------
    Howard, Ramdas, McAuliffe, Sekhon (2021), Ann. Stat. 49, one-sided normal mixture.

    Examples
    --------
    >>> log_mixture(np.array([0.0, 12.0]), np.array([10.0, 10.0]), scale=1.0).round(4)
    array([-1.1989,  6.0395])
    """
    rate = np.asarray(scale, dtype=float) ** -2
    total = information + rate
    z = score / np.sqrt(total)
    return np.asarray(math.log(2) + 0.5 * (np.log(rate / total) + z * z) + special.log_ndtr(z))


def as_e_values(log_e: Floats) -> Floats:
    """Return e-values from their logs, kept inside the doubles.

    Examples
    --------
    >>> as_e_values(np.array([0.0, 1e4])).tolist()[0]
    1.0
    """
    return np.asarray(np.exp(np.minimum(log_e, _LARGEST)))


def averaged(log_e: Floats, *, axis: int = 0) -> Floats:
    """Log of the mean of e-values: how those that share data are joined. Those of disjoint data multiply.

    Examples
    --------
    >>> averaged(np.log([[1.0, 30.0], [3.0, 10.0]])).round(4)  # log 2, log 20
    array([0.6931, 2.9957])
    """
    if log_e.shape[axis] == 1:
        return log_e.squeeze(axis)
    return np.asarray(special.logsumexp(log_e, axis=axis) - math.log(log_e.shape[axis]))


def calibrated(p_value: float, *, kappa: float = 0.5) -> float:
    """Turn a p-value of earlier work into an e-value, ``kappa p^(kappa - 1)``.

    It may enter a sequence once, at its start.

    Raises
    ------
    EstimationError
        If the p-value is not above 0 and at most 1.

    References
    ----------
    Shafer, Shen, Vereshchagin, Vovk (2011), Stat. Sci. 26.

    Examples
    --------
    >>> calibrated(0.01), calibrated(1.0)
    (5.0, 0.5)
    """
    given: object = p_value
    if not (isinstance(given, Real) and 0 < float(given) <= 1):
        raise EstimationError(f"p-value {p_value} is not above 0 and at most 1", advice="Give it unrounded.")
    return float(kappa * p_value ** (kappa - 1))


def predictable_spread(effects: Effects) -> Floats:
    """Factors by which the variances are inflated, each known before its experiment: (..., K), at least 1.

    The mean square of the earlier residuals around the one value that fits the earlier experiments best,
    ``max(1, min_t Q(t) / (n - 1))`` with Q the sum of ``u^2 / v`` over them; 1.5 for the first five. Levers that differ
    by more than chance thus count less. For looks within one experiment, or one planned look, the factor is 1.

    Notes
    -----
    Any factor that is known beforehand keeps the process valid. Residuals around the value *tested* instead would
    grow with the very effect that is to be shown: eight experiments with F near 100 and no effect refuted one of the
    SESOI with power 0.32 that way, and 0.53 with this one (4,000 sequences, std error of the link a quarter SESOI).
    """
    spread = np.full(effects.x.shape, FIRST_SPREAD)
    ends = np.arange(SPREAD_FROM, effects.x.shape[-1])
    block = max(1, _CELLS // max(effects.x.size, 1))
    for start in range(0, len(ends), block):
        n = ends[start : start + block]
        spread[..., n] = np.maximum(1.0, _least_misfit(_first(effects, int(n[-1])), n) / (n - 1))
    return spread


def _first(effects: Effects, n: int) -> Effects:
    """Take the first n experiments of every sequence, with an axis for the prefixes before the last one."""
    return type(effects)(**{name: getattr(effects, name)[..., None, :n] for name in effects.__dataclass_fields__})


def _least_misfit(effects: Effects, n: Floats) -> Floats:
    """Return the least Q over the first n[j] experiments, by scoring steps from the better of zero and the slope.

    Shapes (..., 1, N) and (B,), result (..., B). Far from the least Q a scoring step may lead away from it; a value
    that is not the best one makes the factor larger than need be, never invalid.
    """
    among = np.arange(effects.x.shape[-1]) < n[:, None]
    x, y, yy = effects.x, effects.y, effects.yy
    slope = np.sum(among * x * y / yy, axis=-1) / np.sum(among * (x**2 / yy) + _TINY, axis=-1)
    (least, step), (q, onward) = _misfit(effects, 0 * slope, among), _misfit(effects, slope, among)
    at, step, least = np.where(q < least, slope, 0.0), np.where(q < least, onward, step), np.minimum(q, least)
    for _ in range(_STEPS):
        at = at + step
        with np.errstate(over="ignore", invalid="ignore"):  # a step may leave the doubles; then it is not better
            q, step = _misfit(effects, at, among)
        least = np.fmin(q, least)
    return np.asarray(least)


def _misfit(effects: Effects, t: Floats, among: Floats) -> tuple[Floats, Floats]:
    """Q at t over the experiments of each prefix, and the scoring step from there; shapes (..., B)."""
    u, v = effects.u(t), effects.v(t)
    first_stage = effects.x - (effects.xy - t[..., None] * effects.xx) / v * u
    bread = np.sum(among * (first_stage**2 / v), axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        step = np.where(bread > 0, np.sum(among * (first_stage * u / v), axis=-1) / bread, 0.0)
    return np.asarray(np.sum(among * (u * u / v), axis=-1)), step


def purged_log_e(
    effects: Effects, t: float = 0.0, *, scale: float, spread: Floats | float | None = None, side: int = 1
) -> Floats:
    """Log e-process against "no lever has more than t" (side 1) or "less than t" (side -1), weights purged of noise.

    The weight of an experiment is its purged first stage, independent of its residual under the null for any strength,
    where that has the declared sign of the lever, else 0.

    Parameters
    ----------
    effects : Effects
        Arrays (..., K), in order of time.
    t : float
        KPI per increment.
    scale : float
        Frozen scale of the half-normal mixture; the SESOI unless declared otherwise.
    spread : array (..., K) or float, optional
        Factors of the variances; `predictable_spread` by default, 1 for looks within one experiment.
    side : int

    References
    ----------
    Kleibergen (2002), Econometrica 70, for the weights; Howard et al. (2021), Ann. Stat. 49, for the mixture.

    Examples
    --------
    >>> from cpi_experiments.stats.combining.effects import Effects
    >>> sequence = Effects(**{name: np.full(3, value) for name, value in dict(
    ...     x=3.0, y=0.015, xx=0.04, xy=0.0, yy=4e-5, df=np.inf, sign=1.0, move=3.0).items()})
    >>> as_e_values(purged_log_e(sequence, scale=0.004)).round(2)
    array([ 3.86, 18.38, 97.44])
    """
    score, information = _cumulated(effects, t, _purged_weights(effects, t), spread=spread)
    return log_mixture(side * score, information, scale=scale)


def planned_log_e(
    effects: Effects,
    t: float | Floats,
    *,
    side: int,
    scale: float | Floats,
    spread: Floats | float | None = None,
) -> Floats:
    """Log e-process against "every lever has t or less" (side 1) or "t or more" (side -1), by planned moves.

    Weights fixed beforehand keep their sign far from t, where purged ones may turn: this is the process for harm
    (t 0, side -1), for "not as large as the SESOI" (t = SESOI, side -1; t = -SESOI, side 1) and for confidence
    sequences.

    Parameters
    ----------
    effects : Effects
        Arrays (..., K), in order of time.
    t : float or array
        KPI per increment; an array of shape (n, 1, ...) with one axis fewer than its result.
    side : int
    scale : float or array
        Of the mixture; an array broadcasts with the result.
    spread : array (..., K) or float, optional
        As in `purged_log_e`.

    Examples
    --------
    >>> from cpi_experiments.stats.combining.effects import Effects
    >>> sequence = Effects(**{name: np.full(3, value) for name, value in dict(
    ...     x=3.0, y=0.0, xx=0.04, xy=0.0, yy=4e-5, df=np.inf, sign=1.0, move=3.0).items()})
    >>> as_e_values(planned_log_e(sequence, 0.004, side=-1, scale=0.004)).round(2)
    array([ 2.25,  5.73, 15.59])
    """
    score, information = _cumulated(effects, t, _planned_weights(effects), spread=spread)
    return log_mixture(side * score, information, scale=scale)


def general_log_e(effects: Effects, t: float = 0.0, *, scale: float, side: int = 1) -> Floats:
    """Log e-process against "levers have t or less on average"; NaN until there are 20 experiments.

    Planned-move weights and an information that is never less than what the scores themselves show:
    ``S = sum xi``, ``V = max(sum m^2 / v, sum xi^2)`` with ``xi = s m u / v``.

    Notes
    -----
    Exact where the scores are symmetric about zero under the null (de la Pena 1999). Measured otherwise, sd of the
    effects .3 and .6, ever at least 20 within 40 experiments: at most 0.01 where a few levers do much good, 0.02 where
    they are skewed the other way. Where one lever in ten does great harm and the others a little good, twenty
    experiments may not have met the one: up to 0.15 then, and no method can know.

    Examples
    --------
    >>> from cpi_experiments.stats.combining.effects import Effects
    >>> sequence = Effects(**{name: np.full(21, value) for name, value in dict(
    ...     x=3.0, y=0.012, xx=0.04, xy=0.0, yy=4e-5, df=np.inf, sign=1.0, move=3.0).items()})
    >>> general_log_e(sequence, scale=0.004)[[18, 19]].round(2)
    array([  nan, ...
    """
    v, weight = effects.v(t), _planned_weights(effects)
    xi = side * weight * effects.u(t) / v
    information = np.maximum(np.cumsum(weight * weight / v, axis=-1), np.cumsum(xi * xi, axis=-1))
    log_e = log_mixture(np.cumsum(xi, axis=-1), information, scale=scale)
    log_e[..., : GENERAL_FROM - 1] = np.nan
    return log_e


def _purged_weights(effects: Effects, t: float) -> Floats:
    return np.asarray(np.maximum(effects.sign * effects.purged(t), 0) * effects.sign)


def _planned_weights(effects: Effects) -> Floats:
    return np.asarray(effects.sign * effects.move)


def _cumulated(
    effects: Effects, t: float | Floats, weight: Floats, *, spread: Floats | float | None
) -> tuple[Floats, Floats]:
    """Score and information after every experiment."""
    v = effects.v(t) * (predictable_spread(effects) if spread is None else spread)
    return np.cumsum(weight * effects.u(t) / v, axis=-1), np.cumsum(weight * weight / v, axis=-1)
