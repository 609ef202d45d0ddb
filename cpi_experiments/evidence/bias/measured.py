"""Measuring the bias of regressions from a table of links."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.evidence.bias.gaps import LinkGap, RegressionBias
from cpi_experiments.measure.engine import numeric, read_columns
from cpi_experiments.stats.judging.calibrated_bias import FEWEST, calibrate_bias, pool

if TYPE_CHECKING:
    from cpi_experiments.measure.engine import Data

Floats = np.ndarray

_PAIRS = (("effect_past", "se_past"), ("effect_trial", "se_trial"))
_ESTIMATES = tuple(name for pair in _PAIRS for name in pair)
_BASES = {
    (True, True): "regression, corrected, and experiment: forecast only",
    (True, False): "regression, corrected: forecast only",
    (False, True): "experiment alone",
    (False, False): "neither estimate",
}


def regression_bias(table: Data) -> RegressionBias:
    """Say by how much regressions on past data misstate effects.

    Parameters
    ----------
    table : DataFrame, or path of a Parquet or CSV file
        One row per link with columns ``link, effect_past, se_past, effect_trial, se_trial``: KPI per increment from
        past data and from experiments, with standard errors. A link may lack one of the two pairs. Optional: ``sesoi``
        (the smallest effect worth acting on, which puts links with different KPIs on one scale; without it all effects
        must have one unit) and ``expected_sign`` (+1 or -1; 1).

    Returns
    -------
    RegressionBias

    Raises
    ------
    DataError
        If a column is missing or no number, a link appears twice, an effect comes without its error, a size cannot be,
        or no link has both.

    Notes
    -----
    Past data and experiments of a link must not share customers' noise. Links that were tested *because* their
    regression was large make the bias look larger: it is that of regressions as they are used here. The method stands
    in `cpi_experiments.stats.judging.calibrated_bias`.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"link": [f"cpi_{i} -> kpi" for i in range(12)], "sesoi": 1.0,
    ...     "effect_past": [2.9, 1.6, 2.2, 3.1, 0.8, 1.9, 2.7, 1.2, 2.4, 1.0, 3.3, 1.8], "se_past": 0.1,
    ...     "effect_trial": [2.1, 0.9, 1.2, 2.0, 0.1, 1.4, 1.6, 0.5, 1.3, 0.6, 1.9, 1.1], "se_trial": 0.2})
    >>> found = regression_bias(table)
    >>> print(str(found).splitlines()[0])
    Over 12 links with both, our regressions overstate effects by 0.8 times the
    >>> print(str(found).splitlines()[1].strip())
    smallest effect worth acting on (95% 0.7 to 1.0), 1.7 times the experiment's
    >>> found.to_frame()[["forecast", "basis"]].round(2).values.tolist()[0]
    [2.08, 'regression, corrected, and experiment: forecast only']
    """
    names, numbers, has_sesoi = _read(table)
    scale = numbers["expected_sign"] / numbers["sesoi"]
    obs, exp = scale * numbers["effect_past"], scale * numbers["effect_trial"]
    errors = [numbers[name] / numbers["sesoi"] for name in ("se_past", "se_trial")]
    both = np.isfinite(obs) & np.isfinite(exp)
    if not np.any(both):
        raise DataError(
            f"none of {len(names)} links has a regression and an experiment",
            advice="The bias of regressions can only be seen where both exist.",
        )
    bias = calibrate_bias(obs, errors[0], exp, errors[1])
    forecast = np.full((3, len(names)), math.nan)
    if bias.links >= FEWEST:
        pooled = pool(obs, errors[0], exp, errors[1])
        forecast = np.stack([pooled.value, pooled.low, pooled.high]) / scale
        forecast[1:] = np.sort(forecast[1:], axis=0)
    return RegressionBias(
        links=tuple(_gap(names, numbers, forecast, i, links=bias.links) for i in range(len(names))),
        bias=bias,
        ratio=_ratio(obs[both], exp[both], errors[1][both]),
        in_sesoi=has_sesoi,
    )


def _read(table: Data) -> tuple[list[str], dict[str, Floats], bool]:
    """Names of the links and their numbers, checked; sizes and signs filled in, and whether there are sizes."""
    columns = read_columns(table, ["link", *_ESTIMATES], optional=["sesoi", "expected_sign"])
    names = [str(name).strip() if name is not None else "" for name in columns["link"].tolist()]
    count = len(names)
    numbers = {name: numeric(columns, name) for name in _ESTIMATES}
    for name in ("sesoi", "expected_sign"):
        numbers[name] = numeric(columns, name) if name in columns else np.ones(count)
    _check_names(names)
    for effect, error in _PAIRS:
        _refuse(
            np.isfinite(numbers[effect]) != np.isfinite(numbers[error]),
            names,
            f"{effect} and {error} are not both there",
            advice="Give an effect with its standard error, or leave both empty.",
        )
        _refuse(
            numbers[error] <= 0, names, f"{error} is not above zero",
            advice="Give its standard error, or leave it and the effect empty: an effect without error cannot be.",
        )  # fmt: skip
    _refuse(
        ~(numbers["sesoi"] > 0), names, "sesoi is not a size above zero",
        advice="Give every link the smallest effect worth acting on, or leave the column out if all have one unit.",
    )  # fmt: skip
    _refuse(
        np.abs(numbers["expected_sign"]) != 1, names, "expected_sign is not +1 or -1",
        advice="Give +1 if the KPI should rise with the CPI, -1 if it should fall.",
    )  # fmt: skip
    return names, numbers, "sesoi" in columns


def _check_names(names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if "" in names:
        unnamed = names.count("")
        raise DataError(
            "1 row has no link" if unnamed == 1 else f"{unnamed} rows have no link",
            advice="Name the link of every row.",
        )
    if twice is not None:
        raise DataError(
            f"link {twice!r} appears {names.count(twice)} times",
            advice="Give one row per link; combine its experiments before.",
        )


def _refuse(wrong: Floats, names: list[str], found: str, *, advice: str) -> None:
    if np.any(wrong):
        first = names[int(np.argmax(wrong))]
        raise DataError(f"{found} for {int(np.sum(wrong))} of {len(names)} links, first {first!r}", advice=advice)


def _gap(names: list[str], numbers: dict[str, Floats], forecast: Floats, i: int, *, links: int) -> LinkGap:
    past, se_past, trial, se_trial = (float(numbers[name][i]) for name in _ESTIMATES)
    basis = _BASES[not math.isnan(past), not math.isnan(trial)]
    return LinkGap(
        link=names[i],
        past=past,
        se_past=se_past,
        trial=trial,
        se_trial=se_trial,
        sesoi=float(numbers["sesoi"][i]),
        expected_sign=int(numbers["expected_sign"][i]),
        forecast=float(forecast[0, i]),
        forecast_low=float(forecast[1, i]),
        forecast_high=float(forecast[2, i]),
        basis=basis if links >= FEWEST else _no_forecast(links),
    )


def _no_forecast(links: int) -> str:
    return f"no forecast: {links} {'link' if links == 1 else 'links'} with both, {FEWEST} are needed"


def _ratio(past: Floats, trial: Floats, trial_errors: Floats) -> float:
    """Mean of the regressions over that of the experiments; NaN where the latter may be zero."""
    error = math.sqrt(float(np.sum(trial_errors**2))) / len(trial)
    return float(np.mean(past) / np.mean(trial)) if np.mean(trial) > 3 * error else math.nan
