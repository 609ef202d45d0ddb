"""Taking the winner's curse out of estimated sizes: one link by itself, or a portfolio that tells its own prior."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from cpi_experiments.errors import EstimationError

Floats = np.ndarray

#: Links with an estimate from which a portfolio tells its own prior.
FEWEST = 20
#: Ends of the posterior interval.
TAILS = (0.05, 0.95)
#: Shares of zero effects that are averaged over; their prior is flat.
_SHARES = (np.arange(40) + 0.5) / 40
#: Smallest spread of the effects that are not zero, in SESOI; below that nobody can tell them from zero.
_LEAST = 0.5
_SPREADS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunken:
    """Effects of a portfolio after the winner's curse.

    Parameters
    ----------
    mean, sd : array, shape (m,)
        Posterior mean and standard deviation, in the units of the estimates.
    low, high : array, shape (m,)
        5 % and 95 % points of the posterior.
    chance_zero : array, shape (m,)
        Posterior chance that the effect is zero; 0 under a normal prior.
    chance_wrong_sign : array, shape (m,)
        Posterior chance that the effect has the other sign than its estimate.
    prior : str
        What the estimates were shrunken with, in words.
    share_zero, spread : float
        Of the prior: share of zero effects, and standard deviation of the others in SESOI.
    """

    mean: Floats
    sd: Floats
    low: Floats
    high: Floats
    chance_zero: Floats
    chance_wrong_sign: Floats
    prior: str
    share_zero: float
    spread: float


def shrink(value: float, std_error: float, *, prior_sd: float) -> float:
    """Posterior mean under a normal prior around zero: what is left after the winner's curse.

    Examples
    --------
    >>> shrink(2.0, 1.0, prior_sd=1.0)
    1.0
    """
    if math.isinf(std_error) or math.isnan(value):
        return 0.0
    return value * prior_sd**2 / (prior_sd**2 + std_error**2)


def shrink_portfolio(values: Floats, std_errors: Floats, *, sesoi: float | Floats) -> Shrunken:
    """Posterior of every effect of a portfolio under a prior that the portfolio itself tells.

    With at least 20 usable estimates the prior is "spike and slab": a share of the effects is zero, the others are
    normal around zero. Share and spread are averaged over their posterior. With fewer, the prior is normal with a
    standard deviation of one SESOI.

    Parameters
    ----------
    values, std_errors : array, shape (m,)
        Estimates, each in its own unit, normal around the truth. What is missing or has an infinite standard error is
        not used, and gets the prior as its posterior.
    sesoi : float or array, shape (m,)
        Smallest effects worth acting on, above zero: the scale on which the effects of different links are compared.

    Returns
    -------
    Shrunken

    Raises
    ------
    EstimationError
        If shapes differ, a SESOI is not above zero or a standard error is negative.

    Notes
    -----
    With estimate y, standard error s and spread t, all in SESOI: density pi N(0, s^2) + (1 - pi) N(0, s^2 + t^2). A
    grid over pi (flat) and t (half-Cauchy of scale 1, from 0.5 up to twice the largest estimate) holds the likelihood
    of the portfolio; nothing is searched for, so the result is the same every time. The most likely pair alone would
    exaggerate 2 times where errors are twice the effects, with 90 % intervals that cover 72 %.

    References
    ----------
    Johnstone, Silverman (2004), Annals of Statistics 32 (spike and slab, empirical Bayes); Stephens (2017),
    Biostatistics 18 (chance of a wrong sign).

    Examples
    --------
    >>> few = shrink_portfolio(np.array([2.0, 0.5]), np.array([1.0, 0.5]), sesoi=1.0)
    >>> few.mean.tolist(), few.prior
    ([1.0, 0.4], 'normal prior around zero with a spread of 1 SESOI: 2 links, 20 are needed to tell one')
    >>> many = shrink_portfolio(np.r_[np.zeros(20), np.full(10, 3.0)], np.full(30, 0.5), sesoi=1.0)
    >>> many.prior
    'spike and slab over 30 links: 57% look like zero, spread of the rest 2.6 SESOI'
    >>> many.mean[[0, 20]].round(2).tolist(), many.chance_zero[[0, 20]].round(3).tolist()
    ([0.0, 2.89], [0.87, 0.0])
    """
    y, s, scale, usable = _checked(values, std_errors, sesoi)
    count = int(np.sum(usable))
    if count < FEWEST:
        mixture, told = _Mixture.of_one(y, s), "normal prior around zero with a spread of 1 SESOI"
        told += f": {count} link{'' if count == 1 else 's'}, {FEWEST} are needed to tell one"
    else:
        mixture = _Mixture.of_portfolio(y, s, usable)
        told = (
            f"spike and slab over {count} links: {100 * mixture.share_zero:.0f}% look like zero, spread of the rest "
            f"{mixture.spread:.2g} SESOI"
        )
    mean, sd = mixture.moments()
    low, high = (mixture.quantile(probability) for probability in TAILS)
    return Shrunken(
        mean=mean * scale,
        sd=sd * scale,
        low=low * scale,
        high=high * scale,
        chance_zero=mixture.zero,
        chance_wrong_sign=np.where(y >= 0, mixture.below, 1 - mixture.zero - mixture.below),
        prior=told,
        share_zero=mixture.share_zero,
        spread=mixture.spread,
    )


def _checked(values: Floats, std_errors: Floats, sesoi: float | Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Estimates and errors in SESOI, the SESOI of each, and which ones can be used."""
    y, s = (np.asarray(array, dtype=np.float64) for array in (values, std_errors))
    if y.ndim != 1 or y.shape != s.shape or np.shape(sesoi) not in ((), y.shape):
        raise EstimationError(
            f"estimates have shape {y.shape}, standard errors {s.shape}, SESOI {np.shape(sesoi)}",
            advice="Give one of each per link; the SESOI may be one number for all.",
        )
    scale = np.broadcast_to(np.asarray(sesoi, dtype=np.float64), y.shape)
    for name, wrong in (("SESOI", ~(np.isfinite(scale) & (scale > 0))), ("standard error", s < 0)):
        if np.any(wrong):
            first = int(np.flatnonzero(wrong)[0])
            raise EstimationError(
                f"{int(np.sum(wrong))} of {len(y)} links have an impossible {name}, first {first}",
                advice="A SESOI is above zero and finite, a standard error not negative.",
            )
    usable = np.isfinite(y) & np.isfinite(s)
    # an exact estimate keeps a hair of noise, so that densities exist
    return np.where(usable, y / scale, 0.0), np.where(usable, np.maximum(s / scale, 1e-9), np.inf), scale, usable


@dataclass(frozen=True, kw_only=True)
class _Mixture:
    """Posteriors of m effects: a point at zero and T normals each; in SESOI.

    Arrays: ``weight`` (of each normal), ``centre``, ``width`` (T, m); ``zero`` (m,).
    """

    weight: Floats
    centre: Floats
    width: Floats
    share_zero: float
    spread: float

    @classmethod
    def of_one(cls, y: Floats, s: Floats) -> _Mixture:
        """Build the posteriors under the normal prior with standard deviation 1."""
        return cls(weight=np.ones((1, len(y))), **_normal_posteriors(y, s, np.ones(1)), share_zero=0.0, spread=1.0)

    @classmethod
    def of_portfolio(cls, y: Floats, s: Floats, usable: Floats) -> _Mixture:
        """Build the posteriors under spike and slab, averaged over the posterior of share and spread."""
        top = max(4.0, 2 * float(np.max(np.abs(y[usable]))))
        spreads = np.exp(np.linspace(math.log(_LEAST), math.log(top), _SPREADS))
        ratio = _log_ratio(y, s, spreads)
        log_prior = np.log(spreads) - np.log1p(spreads**2)  # half-Cauchy, on a grid of equal steps of the logarithm
        log_like = np.array([_log_share(share, ratio[:, usable]).sum(axis=1) for share in _SHARES])
        posterior = special.softmax(log_like + log_prior)
        likely = posterior.sum(axis=0)
        kept = likely > 1e-7 * likely.max()
        ratio, posterior, spreads = ratio[kept], posterior[:, kept], spreads[kept]
        posterior = posterior / posterior.sum()
        weight = np.zeros_like(ratio)
        for share, row in zip(_SHARES, posterior, strict=True):
            weight += row[:, None] * special.expit(ratio + math.log1p(-share) - math.log(share))
        return cls(
            weight=weight,
            **_normal_posteriors(y, s, spreads),
            share_zero=float(posterior.sum(axis=1) @ _SHARES),
            spread=float(np.exp(posterior.sum(axis=0) @ np.log(spreads))),
        )

    @property
    def zero(self) -> Floats:
        """Chance of zero, shape (m,)."""
        return np.maximum(1 - self.weight.sum(axis=0), 0.0) if self.share_zero else np.zeros(self.weight.shape[1])

    @property
    def below(self) -> Floats:
        """Chance of a negative effect, shape (m,)."""
        return self._normals_up_to(np.zeros(self.weight.shape[1]))

    def moments(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation, shapes (m,)."""
        mean = np.sum(self.weight * self.centre, axis=0)
        variance = np.sum(self.weight * ((self.centre - mean) ** 2 + self.width**2), axis=0) + self.zero * mean**2
        return mean, np.sqrt(variance)

    def quantile(self, probability: float) -> Floats:
        """Quantile of each posterior by bisection; exactly zero where the point at zero holds it."""
        if len(self.weight) == 1 and not self.share_zero:  # a single normal needs no search
            return np.asarray(self.centre[0] + self.width[0] * special.ndtri(probability))
        reach = np.max(np.abs(self.centre) + 9 * self.width, axis=0)
        low, high = -reach, reach
        for _ in range(40):
            middle = (low + high) / 2
            under = self._normals_up_to(middle) + self.zero * (middle >= 0) < probability
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        at_zero = (self.below < probability) & (probability <= self.below + self.zero)
        return np.where(at_zero, 0.0, (low + high) / 2)

    def _normals_up_to(self, x: Floats) -> Floats:
        return np.asarray(np.sum(self.weight * special.ndtr((x - self.centre) / self.width), axis=0))


def _normal_posteriors(y: Floats, s: Floats, spreads: Floats) -> dict[str, Floats]:
    """Centres and widths (T, m) of the posteriors under normal priors; an infinite error gives the prior."""
    wide = spreads[:, None]
    precision = 1 / wide**2 + 1 / s**2
    return {"centre": y / s**2 / precision, "width": 1 / np.sqrt(precision)}


def _log_ratio(y: Floats, s: Floats, spreads: Floats) -> Floats:
    """Log of the density with that spread over the density without, shape (T, m)."""
    share = 1 / (1 + (s / spreads[:, None]) ** 2)  # of the spread in the whole variance; 0 for an infinite error
    return np.asarray(0.5 * ((y / s) ** 2 * share - np.log1p((spreads[:, None] / s) ** 2)))


def _log_share(share: float, ratio: Floats) -> Floats:
    return np.asarray(np.logaddexp(math.log(share), math.log1p(-share) + ratio))
