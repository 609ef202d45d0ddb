"""The currency of all analyses: links, estimates with their uncertainty, and pairs of effects of one experiment."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, is_dataclass
from enum import Enum, StrEnum
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from cpi_experiments.display import Displayed, decimals, interval, level_text, number, plain, wrapped
from cpi_experiments.errors import CatalogError, EstimationError, kind_of
from cpi_experiments.wording.results import estimate_sentence

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Link:
    """An ordered pair CPI -> KPI.

    Examples
    --------
    >>> Link.parse("quote_hours -> win_rate")
    Link(cpi_id='quote_hours', kpi_id='win_rate')
    >>> str(Link(cpi_id="quote_hours", kpi_id="win_rate"))
    'quote_hours -> win_rate'
    """

    cpi_id: str
    kpi_id: str

    def __str__(self) -> str:
        return f"{self.cpi_id} -> {self.kpi_id}"

    @classmethod
    def parse(cls, text: str) -> Link:
        """Read ``"cpi -> kpi"``.

        Raises
        ------
        CatalogError
            If the text is not two ids with an arrow between them.
        """
        parts = [part.strip() for part in text.split("->")]
        if len(parts) != 2 or not all(parts):
            raise CatalogError(f"{text!r} is not a link", advice='Write it like "quote_hours -> win_rate".')
        return cls(cpi_id=parts[0], kpi_id=parts[1])


class Estimand(StrEnum):
    """What a number is an estimate of; verdicts refuse to mix them."""

    ATE = "ATE"
    ITT = "ITT"
    LATE = "LATE"
    ATT = "ATT"
    HAZARD_RATIO = "HAZARD_RATIO"
    ASSOCIATION = "ASSOCIATION"


class Status(StrEnum):
    """Whether an estimate can be used: fully, with care, or not at all."""

    OK = "ok"
    WEAK = "weak"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic(Displayed):
    """A check with its null in words.

    Parameters
    ----------
    name : str
        Short name, such as ``sample ratio``.
    null : str
        What would be true if nothing were wrong.
    statistic, p_value : float
        Test statistic and p-value; NaN where the check is not a test.
    passed : bool
        Whether nothing wrong was seen.
    advice : str
        What to look at or do when it failed; empty when it passed.
    blocks : bool
        Whether a verdict may not be given on these data.
    """

    name: str
    null: str
    statistic: float = math.nan
    p_value: float = math.nan
    passed: bool = True
    advice: str = ""
    blocks: bool = False

    def _title(self) -> str:
        state = "ok" if self.passed else ("BLOCKED" if self.blocks else "watch")
        return f"{self.name}: {state}. {self.advice if not self.passed else self.null}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate(Displayed):
    """One number for one estimand, with its uncertainty, diagnostics and provenance.

    Parameters
    ----------
    cause, outcome : str
        What was changed (arm, lever or CPI) and what was measured (CPI or KPI).
    estimand : Estimand
        What the value estimates.
    value, std_error, ci_low, ci_high, p_value : float
        In ``unit``. For LATE the p-value is the Anderson-Rubin test of zero, the interval is the hull of
        ``confidence_set`` (NaN if that is empty) and the standard error is the delta method's.
    confidence_set : tuple of (low, high)
        The intervals of the confidence set; infinite ends allowed, empty = rejected everywhere.
    unit : str
        Unit of ``value``, for example ``win_rate per 1 hour``.
    n_obs, n_clusters : int
        Rows used; clusters used, 0 if the errors are not clustered.
    dropped : tuple of (reason, rows)
        Rows not used, by reason.
    df : float
        Degrees of freedom of the t quantile; infinite for the normal.
    method : str
        Estimator and variance in a few words.
    diagnostics : tuple of Diagnostic
    status : Status
        ``failed`` estimates carry NaN instead of numbers that would mislead.
    """

    cause: str
    outcome: str
    estimand: Estimand
    value: float
    std_error: float
    ci_low: float
    ci_high: float
    p_value: float
    unit: str
    n_obs: int
    method: str
    confidence_set: tuple[tuple[float, float], ...] = ()
    confidence_level: float = 0.95
    df: float = math.inf
    n_clusters: int = 0
    dropped: tuple[tuple[str, int], ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    status: Status = Status.OK

    def __post_init__(self) -> None:
        if not 0 < self.confidence_level < 1:
            raise EstimationError(f"confidence level {self.confidence_level} is not between 0 and 1")

    @property
    def n_dropped(self) -> int:
        """Rows not used, all reasons together."""
        return sum(count for _, count in self.dropped)

    @property
    def digest(self) -> str:
        """Hash of every field: two estimates with one digest are the same estimate."""
        return digest_of(self.to_dict())

    def _title(self) -> str:
        digits = decimals(self.ci_low, self.ci_high)
        return estimate_sentence(
            cause=self.cause,
            outcome=self.outcome,
            estimand=self.estimand.value,
            value=number(self.value, digits, sign=True),
            interval=interval(self.ci_low, self.ci_high, digits, sign=True),
            level=level_text(self.confidence_level),
            status=self.status.value,
        )

    def __str__(self) -> str:
        size = f"{self.n_obs:,} rows" + (f" in {self.n_clusters:,} clusters" if self.n_clusters else "")
        lines = [self._title(), *wrapped(f"{size}; {self.method}")]
        if self.dropped:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped)
            lines += wrapped(f"not used: {self.n_dropped:,} rows ({reasons})")
        lines += [line for d in self.diagnostics if not d.passed for line in wrapped(f"{d.name}: {d.advice}")]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectPair(Displayed):
    """The five numbers of one experiment: effects on CPI and KPI, their variances and their covariance.

    The CPI side counts in increments, + = better for the customer. The KPI side keeps its own unit and sign.

    Parameters
    ----------
    effect_cpi, effect_kpi : float
        Effect of the lever on the CPI (increments) and on the KPI (its unit).
    var_cpi, var_kpi, cov : float
        Sampling variances and covariance, after the same covariate adjustment of both. NaN ``cov`` is not zero:
        a link judged from it is blocked.
    df : float
        Degrees of freedom of the variances; infinite for the normal.

    Raises
    ------
    EstimationError
        If one of them is no number, the variances are negative, or the covariance is impossible for them.
    """

    effect_cpi: float
    effect_kpi: float
    var_cpi: float
    var_kpi: float
    cov: float
    df: float = math.inf

    def __post_init__(self) -> None:
        for name in ("effect_cpi", "effect_kpi", "var_cpi", "var_kpi", "cov", "df"):
            if not _is_number(getattr(self, name)):
                raise EstimationError(
                    f"{name} of a pair of effects is {kind_of(getattr(self, name))}, not a number",
                    advice="Give NaN for what is not known; a missing covariance is never taken as zero.",
                )
        if self.var_cpi < 0 or self.var_kpi < 0:
            raise EstimationError(f"variances must not be negative: {self.var_cpi}, {self.var_kpi}")
        if abs(self.cov) > math.sqrt(self.var_cpi) * math.sqrt(self.var_kpi) * (1 + 1e-9):
            raise EstimationError(
                f"covariance {self.cov:g} is impossible for variances {self.var_cpi:g} and {self.var_kpi:g}"
            )

    def scaled(self, increment: float) -> EffectPair:
        """Count the CPI in other steps: ``increment`` of today's CPI units, negative if lower is better.

        Examples
        --------
        >>> pair = EffectPair(effect_cpi=-3.0, effect_kpi=0.03, var_cpi=0.04, var_kpi=1e-4, cov=-1e-3)
        >>> pair.scaled(-1.0).effect_cpi
        3.0
        """
        return EffectPair(
            effect_cpi=self.effect_cpi / increment,
            effect_kpi=self.effect_kpi,
            var_cpi=self.var_cpi / increment**2,
            var_kpi=self.var_kpi,
            cov=self.cov / increment,
            df=self.df,
        )


def _is_number(value: Any) -> bool:  # noqa: ANN401 - whatever stands where a number should
    if isinstance(value, float | int):
        return not isinstance(value, bool)
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, str | bytes)


def digest_of(content: Any) -> str:  # noqa: ANN401 - anything that JSON can hold
    """SHA-256 of the canonical JSON of plain content; numbers by their shortest exact text.

    Examples
    --------
    >>> digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})
    True
    """
    text = json.dumps(plain(content), sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def from_plain(kind: type[Any], content: Mapping[str, Any]) -> Any:  # noqa: ANN401 - an instance of `kind`
    """Rebuild a result from the plain content that `cpi_experiments.display.plain` made of it.

    Examples
    --------
    >>> pair = EffectPair(effect_cpi=3.0, effect_kpi=0.03, var_cpi=0.04, var_kpi=1e-4, cov=0.0)
    >>> from_plain(EffectPair, plain(pair)) == pair
    True
    """
    hints = get_type_hints(kind)
    return kind(**{name: _revive(hints[name], value) for name, value in content.items()})


def _revive(hint: Any, value: Any) -> Any:  # noqa: ANN401
    if hint is float:
        return math.nan if value is None else float(value)
    if get_origin(hint) in (Union, UnionType):
        return None if value is None else _revive(next(arg for arg in get_args(hint) if arg is not type(None)), value)
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_revive(kind, item) for kind, item in zip(kinds, value, strict=True))
    if isinstance(hint, type) and is_dataclass(hint):
        return from_plain(hint, value)
    return hint(value) if isinstance(hint, type) and issubclass(hint, Enum) else value
