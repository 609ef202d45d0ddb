"""Balance table: were the arms alike before the start."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import Displayed, Row, number, p_text, short
from cpi_experiments.errors import DataError, EstimationError
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.randomized.arms import Label, arms_of, encode
from cpi_experiments.randomized.assigning.covariates import Columns, as_columns
from cpi_experiments.stats.balance import arm_sums, joint_distance, standardised_differences, whiten
from cpi_experiments.stats.student import p_value, satterthwaite
from cpi_experiments.stats.tails import chi_squared_tail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.engine import Data

Array = np.ndarray
#: Standardised differences beyond it are flagged.
LARGE_DIFFERENCE = 0.1
#: As for sample ratios: below the first p-value no verdict is given, below the second a warning is.
BALANCE_BLOCKS = 0.0005
BALANCE_WARNS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceRow:
    """One covariate (or level) in one arm, compared with the control.

    Parameters
    ----------
    covariate, arm : str
    n_control, n_treatment : int
        Units with a value.
    mean_control, mean_treatment : float
    difference : float
        Standardised: over the root of the mean of both variances.
    variance_ratio : float
        Treatment over control; NaN for a control without variance.
    p_value : float
        Welch's test of equal means; NaN where neither arm varies.
    """

    covariate: str
    arm: str
    n_control: int
    n_treatment: int
    mean_control: float
    mean_treatment: float
    difference: float
    variance_ratio: float
    p_value: float

    @property
    def large(self) -> bool:
        """Whether the standardised difference is beyond 0.1."""
        return abs(self.difference) > LARGE_DIFFERENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceTable(Displayed):
    """Every covariate in every arm, and one test of all together.

    Parameters
    ----------
    rows : tuple of BalanceRow
    statistic, p_value : float
        Joint chi-squared test that no covariate differs between the arms; NaN where units are too few for it.
    df : int
    n : int
        Units, or clusters.
    counted : str
        What `n` counts.
    missing : tuple of (covariate, rows)
    dropped : tuple of (reason, rows)
    """

    rows: tuple[BalanceRow, ...]
    statistic: float
    p_value: float
    df: int
    n: int
    counted: str = "units"
    missing: tuple[tuple[str, int], ...] = ()
    dropped: tuple[tuple[str, int], ...] = ()

    @property
    def large(self) -> tuple[BalanceRow, ...]:
        """Rows whose standardised difference is beyond 0.1."""
        return tuple(row for row in self.rows if row.large)

    def as_diagnostic(self) -> Diagnostic:
        """Return the joint test as a check: p below 0.0005 blocks a verdict, p below 0.01 warns."""
        passed = math.isnan(self.p_value) or self.p_value >= BALANCE_WARNS
        worst = max(self.rows, key=lambda row: -1.0 if math.isnan(row.difference) else abs(row.difference))
        advice = (
            f"Arms differ in what was known before the start (p {p_text(self.p_value)}), most in {worst.covariate!r} "
            f"of arm {worst.arm!r} ({number(worst.difference, 2, sign=True)} standard deviations). Either the "
            "assignment is not random, or a covariate was measured after it, or units were lost unequally."
        )
        return Diagnostic(
            name="covariate balance",
            null="arms were alike before the start",
            statistic=self.statistic,
            p_value=self.p_value,
            passed=passed,
            advice="" if passed else advice,
            blocks=not passed and self.p_value < BALANCE_BLOCKS,
        )

    def _title(self) -> str:
        large = f"{len(self.large)} of {len(self.rows)} standardised differences are beyond {LARGE_DIFFERENCE:g}"
        lost = "; ".join(f"{name}: {count:,} missing" for name, count in self.missing)
        dropped = "; ".join(f"{count:,} rows {reason}" for reason, count in self.dropped)
        test = "too few units for a joint test" if math.isnan(self.p_value) else f"joint test p {p_text(self.p_value)}"
        head = f"{self.n:,} {self.counted}: {test} (chi-squared {short(self.statistic)}, df {self.df}); {large}"
        return "\n".join(part for part in (head, lost, dropped) if part)

    def _rows(self) -> list[Row]:
        return [
            {
                "covariate": row.covariate,
                "arm": row.arm,
                "n_control": row.n_control,
                "n_treatment": row.n_treatment,
                "mean_control": row.mean_control,
                "mean_treatment": row.mean_treatment,
                "difference": row.difference,
                "variance_ratio": row.variance_ratio,
                "p_value": row.p_value,
                "large": row.large,
            }
            for row in self.rows
        ]

    def _shown(self) -> list[Row]:
        return [
            {
                "covariate": short(row.covariate[:24]),
                "arm": short(row.arm[:12]),
                "control": short(row.mean_control),
                "mean": short(row.mean_treatment),
                "SMD": number(row.difference, 3, sign=True) + (" !" if row.large else ""),
                "var ratio": short(row.variance_ratio),
                "p": p_text(row.p_value),
            }
            for row in self.rows
        ]


def balance_table(
    data: Data, *, arm: str, control: Label, covariates: Sequence[str], cluster: str | None = None
) -> BalanceTable:
    """Compare covariates between the arms of a trial.

    Differences are standardised by the root of the mean of both arms' variances. Texts count by their levels; where
    numbers are missing, the share that is missing is a row of its own. The joint test asks whether the arms' means
    differ in anything at all: under random assignment its statistic is chi-squared with rank x (arms - 1) degrees of
    freedom. It says nothing after re-randomisation, which balances by design.

    Parameters
    ----------
    data : DataFrame, path, relation, Spark DataFrame or warehouse table
    arm : str
    control : label
    covariates : sequence of str
        Columns measured before the assignment.
    cluster : str, optional
        Column of the clusters, if those were randomised: their means are compared, each cluster once.

    Raises
    ------
    DataError
        If a column cannot be used, an arm has fewer than two units, or a cluster lies in two arms.

    References
    ----------
    Austin (2009), Statistics in Medicine 28; Hansen and Bowers (2008), Statistical Science 23.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"arm": ["a", "b"] * 20, "age": [30 + j // 2 for j in range(40)]})
    >>> found = balance_table(table, arm="arm", control="a", covariates=["age"])
    >>> found.rows[0].difference, round(found.p_value, 6)
    (0.0, 1.0)
    """
    from cpi_experiments.measure.engine import read_columns  # noqa: PLC0415 - the engine starts where data are read

    table = read_columns(data, list(dict.fromkeys([arm, *covariates, *([cluster] if cluster else [])])))
    codes, labels = arms_of(table[arm], arm=arm, control=control, allocation=None)
    columns, clusters = as_columns(table, covariates), encode(table[cluster])[0] if cluster else None
    values, filled, keep = columns.values, columns.filled(), codes >= 0
    dropped = [("without arm", int(np.sum(codes < 0)))]
    if clusters is not None:
        dropped.append(("without cluster", int(np.sum(keep & (clusters < 0)))))
        keep &= clusters >= 0
        codes, values, filled = _by_cluster(clusters[keep], codes[keep], values[keep], filled[keep])
    else:
        codes, values, filled = codes[keep], values[keep], filled[keep]
    counts = np.bincount(codes, minlength=len(labels))
    counted = "clusters" if cluster else "units"
    if counts.min() < 2:
        raise DataError(
            f"arm {labels[int(np.argmin(counts))]!r} has {counts.min()} {counted}",
            advice="Every arm needs at least two.",
        )
    statistic, p, df = _joint(filled, codes, len(labels))
    return BalanceTable(
        rows=_compared(columns, values, codes, labels),
        statistic=statistic,
        p_value=p,
        df=df,
        n=len(codes),
        counted=counted,
        missing=tuple(columns.missing.items()),
        dropped=tuple((reason, count) for reason, count in dropped if count),
    )


def _by_cluster(clusters: Array, codes: Array, values: Array, filled: Array) -> tuple[Array, Array, Array]:
    _, code = np.unique(clusters, return_inverse=True)
    low, high = np.full(code.max() + 1, np.iinfo(np.intp).max), np.full(code.max() + 1, -1)
    np.minimum.at(low, code, codes)
    np.maximum.at(high, code, codes)
    if np.any(low != high):
        raise DataError(
            f"{int(np.sum(low != high)):,} clusters lie in two arms",
            advice="Leave `cluster` out if units were randomised.",
        )
    known = ~np.isnan(values)
    n = np.stack([np.bincount(code, weights=column) for column in known.T.astype(float)], axis=1)
    sums = np.stack([np.bincount(code, weights=column) for column in np.where(known, values, 0.0).T], axis=1)
    means = np.divide(sums, n, out=np.full(sums.shape, np.nan), where=n > 0)
    sizes = np.bincount(code)[:, None]
    return low, means, np.stack([np.bincount(code, weights=column) for column in filled.T], axis=1) / sizes


def _joint(filled: Array, codes: Array, arms: int) -> tuple[float, float, int]:
    try:
        white = whiten(filled)
    except EstimationError:
        return 0.0, 1.0, 0
    df = white.rank * (arms - 1)
    statistic = joint_distance(white, codes, arms)
    return statistic, chi_squared_tail(statistic, df) if white.rank < len(codes) - arms else math.nan, df


def _compared(columns: Columns, values: Array, codes: Array, labels: tuple[Label, ...]) -> tuple[BalanceRow, ...]:
    sums = arm_sums(values, codes, len(labels))
    differences, ratios = standardised_differences(sums)
    return tuple(
        BalanceRow(
            covariate=name,
            arm=str(labels[a]),
            n_control=int(sums.n[0, j]),
            n_treatment=int(sums.n[a, j]),
            mean_control=float(sums.means[0, j]),
            mean_treatment=float(sums.means[a, j]),
            difference=float(differences[a - 1, j]),
            variance_ratio=float(ratios[a - 1, j]),
            p_value=_welch(sums.means[[0, a], j], sums.variances[[0, a], j], sums.n[[0, a], j]),
        )
        for j, name in enumerate(columns.names)
        for a in range(1, len(labels))
    )


def _welch(means: Array, variances: Array, n: Array) -> float:
    parts = np.divide(variances, n, out=np.full(2, np.nan), where=n > 1)
    if not np.sum(parts) > 0:
        return math.nan
    return p_value(float((means[1] - means[0]) / math.sqrt(parts.sum())), satterthwaite(parts, n - 1))
