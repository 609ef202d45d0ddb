"""Intervals of shares: Wilson's score interval, also where the answers of one customer go together."""

from __future__ import annotations

import numpy as np
from scipy import special

from cpi_experiments.errors import EstimationError

Floats = np.ndarray


def wilson(successes: Floats, n: Floats, *, confidence_level: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson's score interval of a share.

    Parameters
    ----------
    successes, n : float array, shape (G,)
        Hits and trials; trials above zero, hits between 0 and them. Neither needs to be whole.
    confidence_level : float

    Returns
    -------
    low, high : float array, shape (G,)
        Within [0, 1], and exactly 0 or 1 where there is no hit or no miss.

    Raises
    ------
    EstimationError
        If a number of trials is not above zero, or hits lie outside 0 to the trials.

    References
    ----------
    Wilson (1927), J. Am. Stat. Assoc. 22, 209-212; Newcombe (1998), Stat. Med. 17, 857-872, method 3.

    Examples
    --------
    >>> low, high = wilson(np.array([81.0]), np.array([263.0]))
    >>> low.round(4), high.round(4)
    (array([0.2553]), array([0.3662]))
    """
    hits, trials = np.asarray(successes, dtype=float), np.asarray(n, dtype=float)
    if not np.all(trials > 0) or not np.all((hits >= 0) & (hits <= trials)):
        raise EstimationError(
            "a share needs trials above zero and between 0 and all hits", advice="Leave empty groups out."
        )
    critical = np.asarray(special.ndtri(0.5 + confidence_level / 2))
    return score_interval(hits / trials, trials, critical)


def clustered_wilson(
    share: Floats, n: Floats, *, variance: Floats, clusters: Floats, confidence_level: float = 0.95
) -> tuple[Floats, Floats]:
    """Wilson's interval with the effective number of trials, for answers that come in clusters.

    The effective number is ``share (1 - share) / variance``, never more than ``n``; Student's t with one degree of
    freedom fewer than clusters takes the normal's place. Where every answer is the same no variance can be seen, and
    a cluster counts as one trial.

    Parameters
    ----------
    share, n : float array, shape (G,)
        Share of hits and number of answers.
    variance : float array, shape (G,)
        Sampling variance of the share by clusters.
    clusters : float array, shape (G,)
        Number of clusters; with one there is no interval (NaN).

    Returns
    -------
    low, high : float array, shape (G,)

    References
    ----------
    Korn, Graubard (1998), Survey Methodology 24, 193-201 (effective sample size); Dean, Pagano (2015), J. Survey
    Stat. Methodol. 3, 484-503 (Wilson's interval does best among those that use it).

    Examples
    --------
    >>> low, high = clustered_wilson(np.array([0.5]), np.array([100.0]), variance=np.array([0.005]),
    ...                              clusters=np.array([50.0]))
    >>> low.round(4), high.round(4)
    (array([0.3633]), array([0.6367]))
    """
    effective = effective_trials(share, n, variance=variance, clusters=clusters)
    df = np.maximum(np.asarray(clusters, dtype=float) - 1, 1.0)
    low, high = score_interval(share, effective, np.asarray(special.stdtrit(df, 0.5 + confidence_level / 2)))
    alone = np.asarray(clusters) < 2
    return np.where(alone, np.nan, low), np.where(alone, np.nan, high)


def effective_trials(share: Floats, n: Floats, *, variance: Floats, clusters: Floats) -> Floats:
    """Return how many independent answers tell as much about a share as these clustered ones.

    Parameters
    ----------
    share, n, variance, clusters : float array, shape (G,)
        As in `clustered_wilson`.

    Examples
    --------
    >>> effective_trials(np.array([0.5, 1.0]), np.array([100.0, 100.0]), variance=np.array([0.005, 0.0]),
    ...                  clusters=np.array([40.0, 40.0]))
    array([50., 40.])
    """
    spread = np.asarray(share * (1 - share), dtype=float)
    seen = (spread > 0) & (variance > 0)
    shrunk = np.divide(spread, variance, out=np.asarray(clusters, dtype=float).copy(), where=seen)
    return np.asarray(np.minimum(shrunk, n))


def score_interval(share: Floats, n: Floats, critical: Floats) -> tuple[Floats, Floats]:
    """Wilson's interval for a given critical value.

    Parameters
    ----------
    share : array, shape (k,)
    n : array, shape (k,)
        Trials, perhaps effective ones.
    critical : array, shape (k,)
        Quantile of the normal or of Student's t.

    Examples
    --------
    >>> [round(float(end), 4) for end in score_interval(np.array(0.5), np.array(10.0), np.array(1.96))]
    [0.2366, 0.7634]
    """
    squared = np.square(critical) / n
    centre = (share + squared / 2) / (1 + squared)
    half = np.sqrt(squared) * np.sqrt(share * (1 - share) + squared / 4) / (1 + squared)
    low = np.where(share <= 0, 0.0, np.maximum(centre - half, 0.0))
    high = np.where(share >= 1, 1.0, np.minimum(centre + half, 1.0))
    return low, high
