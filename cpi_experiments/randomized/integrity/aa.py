"""A/A on the user's own outcome: split it at random thousands of times and count false alarms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import Displayed, Row, percent
from cpi_experiments.errors import DesignError
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.randomized.arms import names_of
from cpi_experiments.randomized.effects.outcomes import Mean, Outcome, Ratio, as_outcome
from cpi_experiments.randomized.integrity.plug_in_limits import plug_in_limits
from cpi_experiments.randomized.integrity.rules import judged
from cpi_experiments.randomized.integrity.splitting import Sample, draw_tests, read_sample, sizes_of
from cpi_experiments.randomized.trial import check_seed
from cpi_experiments.stats.uniformity import TailCount, count_below, uniformity_test

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from matplotlib.figure import Figure

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.stats.resampling.random_splits import SplitTests

Array = np.ndarray
LEVELS = (0.05, 0.01)
#: Random splits below which bands are too wide to call anything safe.
_FEW_REPS = 200
#: Share of splits without variance above which there is no test to speak of.
_MOST_UNTESTED = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeTested:
    """Random splits of one size.

    Parameters
    ----------
    n_control, n_treatment : int
        Units of each arm, clusters if the test is clustered.
    below_05, below_01 : TailCount
        p-values below .05 and .01, with the exact band of a right test.
    gains, losses : TailCount
        Significant at .05 and above (below) zero; a right test has .025 of each.
    ks, ks_p_value : float
        Kolmogorov-Smirnov distance from uniform, and its p-value.
    untested : int
        Splits without variance, so without a test; they count as no alarm.
    limits : tuple of Diagnostic
        What `plug_in_limits` says of this size.
    p_values : tuple of float
    """

    n_control: int
    n_treatment: int
    below_05: TailCount
    below_01: TailCount
    gains: TailCount
    losses: TailCount
    ks: float
    ks_p_value: float
    untested: int
    limits: tuple[Diagnostic, ...]
    p_values: tuple[float, ...] = field(repr=False)

    @property
    def n(self) -> int:
        """Units (clusters) of both arms."""
        return self.n_control + self.n_treatment

    @property
    def safe(self) -> bool:
        """Whether nearly all splits have a test, and no count is above what a right test shows, in either direction."""
        counts = (self.below_05, self.below_01, self.gains, self.losses)
        return self.untested <= _MOST_UNTESTED * self.below_05.trials and not any(count.too_many for count in counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class AATest(Displayed):
    """Whether the test of an outcome keeps its error rate on the user's own data, and from which size on.

    Parameters
    ----------
    outcome, method : str
    unit : str
        What is split: ``units`` or ``clusters``.
    resampled : bool
        Whether splits were drawn with replacement (sizes were asked for) or all units were re-randomised.
    sizes : tuple of SizeTested
        From small to large.
    seed, reps : int
    """

    outcome: str
    method: str
    unit: str
    resampled: bool
    sizes: tuple[SizeTested, ...]
    seed: int
    reps: int

    @property
    def safe_from(self) -> int | None:
        """Smallest size (both arms) from which on every size that was tried is safe; None if the largest is not."""
        found = None
        for size in reversed(self.sizes):
            if not size.safe:
                break
            found = size.n
        return found

    @property
    def safe(self) -> bool:
        """Whether the largest size that was tried is safe."""
        return self.sizes[-1].safe

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Checks of the size that the verdict is about: the smallest safe one, or the largest."""
        at = self._judged()
        rates = [
            ("false alarms at 5%", at.below_05),
            ("false alarms at 1%", at.below_01),
            ("false gains", at.gains),
            ("false losses", at.losses),
        ]
        return (
            *(_rate(name, count) for name, count in rates),
            judged(
                "uniform p-values",
                null="p-values of random splits are uniform",
                p_value=at.ks_p_value,
                statistic=at.ks,
                advice="p-values are not uniform; where only large ones are too rare or too many, as with rare events, "
                "the counts below 5% and 1% decide.",
            ),
            *at.limits,
        )

    def _judged(self) -> SizeTested:
        return next((size for size in self.sizes if size.n == self.safe_from), self.sizes[-1])

    def _title(self) -> str:
        at = self._judged()
        count = at.below_05
        rate, low, high = (percent(each / count.trials, 1) for each in (count.count, count.low, count.high))
        found = f"{rate} false alarms at 5% (a right test: {low} to {high}), {self.reps:,} random splits"
        if at.untested:
            found += f", {at.untested:,} of them without variance and so without a test"
        if not at.safe:
            why = "" if at.below_05.too_many else f", {_why(at)}"
            return f"{self.outcome} is not safe for the {self.method} {self._where(at)}: {found}{why}. {_remedy(at)}"
        careful = " The test is careful here: it finds less than it may." if at.below_05.too_few else ""
        more = " or more" if len(self.sizes) > 1 else ""
        lines = [f"{self.outcome} is safe for the {self.method} {self._where(at)}{more}: {found}.{careful}"]
        worse = [size for size in self.sizes if not size.safe]
        if worse:
            lines.append(f"Not safe {self._where(worse[-1])}: {_why(worse[-1])}.")
        return " ".join([*lines, *(f"As evidence for a link: {d.advice}" for d in at.limits if not d.passed)])

    def _where(self, size: SizeTested) -> str:
        if size.n_control == size.n_treatment:
            return f"with {size.n_control:,} {self.unit} an arm"
        return f"with {size.n_control:,} and {size.n_treatment:,} {self.unit}"

    def _rows(self) -> list[Row]:
        return [
            {
                "n_control": size.n_control,
                "n_treatment": size.n_treatment,
                "below_05": size.below_05.rate,
                "below_01": size.below_01.rate,
                "gains": size.gains.rate,
                "losses": size.losses.rate,
                "ks_p_value": size.ks_p_value,
                "untested": size.untested,
                "safe": size.safe,
                "within_limits": all(d.passed for d in size.limits),
            }
            for size in self.sizes
        ]

    def _shown(self) -> list[dict[str, str]]:
        return [
            {
                self.unit: f"{size.n_control:,} + {size.n_treatment:,}",
                "below 5%": percent(size.below_05.rate, 1),
                "below 1%": percent(size.below_01.rate, 1),
                "gains": percent(size.gains.rate, 1),
                "losses": percent(size.losses.rate, 1),
                "uniform p": f"{size.ks_p_value:.3f}",
                "safe": "yes" if size.safe else "NO",
                "limits": "kept" if all(d.passed for d in size.limits) else "not kept",
            }
            for size in self.sizes
        ]

    def __str__(self) -> str:
        from cpi_experiments.display import text_table, wrapped  # noqa: PLC0415 - only for printing

        return "\n".join([*wrapped(self._title(), indent=""), "", text_table(self._shown())])

    def plot(self) -> Figure:
        """Draw the p-values of the size that the verdict is about, and the false alarms of every size."""
        from cpi_experiments.figures.p_values import Rate, p_values_figure  # noqa: PLC0415 - figures load matplotlib

        at = self._judged()
        rates = [
            Rate(label=f"{size.n:,}", rate=c.rate, low=c.low / c.trials, high=c.high / c.trials, safe=size.safe)
            for size in self.sizes
            for c in (size.below_05,)
        ]
        word = "is safe" if at.safe else "is not safe"
        return p_values_figure(
            np.array(at.p_values),
            rates,
            title=f"{self.outcome} {word} for the {self.method} {self._where(at)}",
            sizes_label=f"{self.unit} in both arms",
        )


def aa(  # noqa: PLR0913 - a door: every argument after the first is named by the caller
    data: Data,
    *,
    outcome: str | Outcome,
    covariates: str | Sequence[str] = (),
    cluster: str | None = None,
    n: int | Sequence[int] | Literal["ladder"] | None = None,
    share: float = 0.5,
    reps: int = 2_000,
    seed: int = 0,
) -> AATest:
    """Split your own units at random, test as `compare` would, and count how often nothing is called an effect.

    Parameters
    ----------
    data : table of any kind
        Units without a treatment, such as last month's customers: one row each (or several in a ``cluster``).
    outcome : column name, `Mean` or `Ratio`
        With its cap, as it will be compared. A percentile is taken of all units, once.
    covariates : str or sequence of str
        Measured before (CUPED).
    cluster : str, optional
        Column of the randomised group; sizes then count clusters.
    n : int, sequence of int, "ladder" or None
        Units of both arms together. None re-randomises all units: right for this very population, and by a hair
        careful, as the arms of a finite population are not independent. Sizes are drawn with replacement, as new
        units like the old ones. "ladder" tries 50, 100, 200, ... units up to as many as there are.
    share : float
        Of units in the treatment.
    reps : int
        Random splits of every size.
    seed : int

    Returns
    -------
    AATest
        ``safe_from``, ``sizes``, ``diagnostics``, ``plot()``. A size is safe if the counts of p below .05 and .01, of
        significant gains and of significant losses are within the exact binomial band (99.9 %) or below.

    Raises
    ------
    DataError
        If a column cannot be used or there are fewer than four units.
    DesignError
        If a size, the share or the number of splits makes no test.

    References
    ----------
    Kohavi, Tang, Xu (2020), Trustworthy Online Controlled Experiments, chapter 19; Jeunen (2025), arXiv 2502.04793.

    Examples
    --------
    >>> import pandas as pd
    >>> past = pd.DataFrame({"revenue": np.random.default_rng(1).normal(50, 10, 400)})
    >>> found = aa(past, outcome="revenue", n=[100, 200], reps=1_000)
    >>> found.safe_from, found.sizes[0].n_control
    (100, 50)
    """
    wanted = as_outcome(outcome)
    if not isinstance(wanted, Mean | Ratio):
        raise DesignError(f"{wanted.name} has no kernel here", advice="Give a column name, Mean or Ratio.")
    check_seed(seed, reps)
    if not (np.isreal(share) and 0 < share < 1) or reps < _FEW_REPS:
        raise DesignError(
            f"share {share} and reps {reps} make no test", advice=f"0 < share < 1; reps {_FEW_REPS} or more."
        )
    sample = read_sample(data, wanted, names_of(covariates), cluster)
    sizes = sizes_of(n, len(sample.rows), share)
    tested = [_try(sample, size, resampled=n is not None, reps=reps, seed=seed) for size in sizes]
    return AATest(
        outcome=wanted.name,
        method=_method(sample),
        unit="clusters" if sample.clustered else "units",
        resampled=n is not None,
        sizes=tuple(tested),
        seed=seed,
        reps=reps,
    )


def _try(sample: Sample, size: tuple[int, int], *, resampled: bool, reps: int, seed: int) -> SizeTested:
    rng = np.random.default_rng(np.random.SeedSequence([seed, *size]))
    found = draw_tests(sample, size, resampled=resampled, reps=reps, rng=rng)
    p = found.p_value
    ks, ks_p = uniformity_test(p) if not np.all(np.isnan(p)) else (np.nan, np.nan)
    return SizeTested(
        n_control=size[0],
        n_treatment=size[1],
        below_05=count_below(p, LEVELS[0]),
        below_01=count_below(p, LEVELS[1]),
        gains=_one_side(found, 1),
        losses=_one_side(found, -1),
        ks=ks,
        ks_p_value=ks_p,
        untested=int(np.isnan(p).sum()),
        limits=plug_in_limits(size, sample.values, clustered=sample.clustered),
        p_values=tuple(p.tolist()),
    )


def _one_side(found: SplitTests, sign: int) -> TailCount:
    p = np.where(np.sign(found.effect) == sign, found.p_value / 2, 1.0)
    return count_below(p, LEVELS[0] / 2)


def _rate(name: str, count: TailCount) -> Diagnostic:
    advice = f"{count.count:,} of {count.trials:,} random splits; a right test has {count.low:,} to {count.high:,}."
    return Diagnostic(
        name=name,
        null=f"{percent(count.level, 1)} of random splits are called significant",
        statistic=count.rate,
        passed=not count.too_many,
        advice=advice if count.too_many else "",
    )


def _method(sample: Sample) -> str:
    kind = "cluster jackknife" if sample.clustered else "t-test"
    return f"{kind}{' of a ratio' if sample.ratio else ''}{' with covariates' if sample.covariates else ''}"


def _why(size: SizeTested) -> str:
    """Say what is wrong with a size that is not safe."""
    if size.untested > _MOST_UNTESTED * size.below_05.trials:
        return f"{percent(size.untested / size.below_05.trials)} of splits have no variance and no test"
    words = {
        "false alarms at 5%": size.below_05,
        "false losses at 2.5%": size.losses,
        "false gains at 2.5%": size.gains,
        "false alarms at 1%": size.below_01,
    }
    return ", ".join(f"{percent(count.rate, 1)} {name}" for name, count in words.items() if count.too_many)


def _remedy(at: SizeTested) -> str:
    limits = [d.advice for d in at.limits if not d.passed]
    return " ".join(limits) or "Try more units (a ladder of sizes), a cap, or arms of equal size."
