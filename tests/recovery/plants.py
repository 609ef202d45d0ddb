"""Faults that experiments are known for, each as what plants it in the code that users call; and laws to see them."""

import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from scipy import special

from cpi_experiments import units
from cpi_experiments.measure import audit, trials
from cpi_experiments.randomized import cases, rows, trial
from cpi_experiments.randomized.effects import decisions, outcomes
from cpi_experiments.randomized.integrity import balance_checks, trial_units
from cpi_experiments.randomized.links import regressed_link
from cpi_experiments.randomized.links.bundle import steps_of
from cpi_experiments.randomized.monitoring import guardrails, looks, sequences
from cpi_experiments.stats import arm_means, cells, counts, equivalence, interacted, moments, multiplicity, student
from cpi_experiments.stats.exact_sums import as_floats
from cpi_experiments.stats.instruments import (
    anderson_rubin,
    bundle_score,
    fieller,
    instrument_regression,
    several_instruments,
    shared_control,
)
from cpi_experiments.stats.planning import power
from cpi_experiments.stats.resampling import resampled
from cpi_experiments.stats.sequential import anytime, group_sequential, sequential_counts

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]
Array = np.ndarray
TESTS = Path(__file__).resolve().parents[1]
Z = 1.959963984540054


# -- laws: tests of this suite, called with their fixtures -------------------------------------------------------------


@cache
def module_of(file: str) -> ModuleType:
    name = "law_" + Path(file).stem
    spec = importlib.util.spec_from_file_location(name, TESTS / file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@dataclass(frozen=True)
class Law:
    file: str
    name: str
    given: dict[str, Any]

    def __call__(self) -> None:
        module = module_of(self.file)
        test = getattr(module, self.name)
        fixtures = {"rng": self.rng, "frame": self.frame, "frame_of": lambda: build}
        asked = [each for each in inspect.signature(test).parameters if each not in self.given]
        test(**{each: fixtures[each]() for each in asked}, **self.given)

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([module_of(self.file).ROOT, crc32(self.name.encode())]))

    def frame(self) -> Any:
        own = getattr(module_of(self.file), "trial", None)
        return build() if own is None else own()


def build(seed: int = 1, n: int = 240) -> Any:
    return module_of("randomized/conftest.py").build(seed, n)


def law(file: str, name: str, /, **given: Any) -> Law:
    return Law(file + ".py", "test_" + name, given)


def everywhere(patch: Patch, right: Any, faulty: Any) -> None:
    """Bind the faulty function wherever the right one is bound by name, also as a value of a table."""
    places = 0
    for name, module in list(sys.modules.items()):
        if not name.startswith(("cpi_experiments", "law_")):
            continue
        for key, value in list(vars(module).items()):
            if value is right:
                patch.setattr(module, key, faulty)
                places += 1
            elif isinstance(value, dict) and not key.startswith("__"):
                for at in [at for at, each in value.items() if each is right]:
                    patch.setitem(value, at, faulty)
                    places += 1
    assert places


def what_is_left() -> list[str]:
    """Faults that are still bound somewhere."""
    return [
        f"{name}.{key}"
        for name, module in list(sys.modules.items())
        if name.startswith(("cpi_experiments", "law_"))
        for key, value in list(vars(module).items())
        for each in (value.values() if type(value) is dict and not key.startswith("__") else [value])
        if type(each) is FunctionType and each.__module__ == __name__
    ]


# -- faults ----------------------------------------------------------------------------------------------------------


def products_of_units(patch: Patch) -> None:
    """Gather what variances of independent units need."""
    right = outcomes.pairs_of_outcome
    everywhere(patch, right, lambda *columns, clustered: right(*columns, clustered=False))  # noqa: ARG005 - the fault


def clusters_lost_by_moments(patch: Patch) -> None:
    products_of_units(patch)
    right = trial.read_trial
    everywhere(patch, right, lambda data, **roles: right(data, **{**roles, "cluster": None}))


def clusters_lost_by_rows(patch: Patch) -> None:
    right = rows.read_rows
    everywhere(patch, right, lambda data, **roles: right(data, **{**roles, "cluster": None}))


def clusters_lost_by_regression(patch: Patch) -> None:
    right = instrument_regression.instrument_effects
    plain = {"cluster": None, "variance": "HC1"}
    everywhere(patch, right, lambda *values, **options: right(*values, **{**options, **plain}))


def clusters_lost_by_several_arms(patch: Patch) -> None:
    products_of_units(patch)
    right = shared_control.effects_against_control

    def faulty(pairs: Any, **_: Any) -> Any:
        return right([replace(each, clusters=None) for each in pairs])

    everywhere(patch, right, faulty)


def iid_errors(patch: Patch) -> None:
    """Standard errors of independent units, whatever the clusters."""
    products_of_units(patch)
    right = arm_means.means_of_cells
    everywhere(patch, right, lambda found: right(replace(found, clusters=None)))


def normal_for_t(patch: Patch) -> None:
    everywhere(patch, student.upper_tail, lambda statistic, _df: float(special.ndtr(-statistic)))
    everywhere(patch, student.quantile, lambda probability, _df: float(special.ndtri(probability)))


def normal_for_t_at_looks(patch: Patch) -> None:
    everywhere(patch, anytime.student_bound, lambda z, df: np.broadcast_arrays(np.asarray(z, float), df)[0])


def fixed_bounds_in_the_door(patch: Patch) -> None:
    """Every look is read like the only one."""
    patch.setattr(sequences, "_bounds", lambda info, _rule, *, ended: np.full(len(info), Z))  # noqa: ARG005 - as called


def early_effects_shown(patch: Patch) -> None:
    """The only look of a fixed plan is today's."""
    patch.setattr(looks.LookPlan, "places", lambda _plan, total: [len(total) - 1])


def fixed_bounds_of_guardrails(patch: Patch) -> None:
    patch.setattr(guardrails, "boundary", lambda time, **_: np.full(np.shape(time), 1.6448536269514722))


def fixed_sequence(patch: Patch) -> None:
    def faulty(time: Any, *, alpha: float = 0.05, alternative: str = "two-sided") -> Array:
        level = alpha / 2 if alternative == "two-sided" else alpha
        return np.full(np.shape(time), -special.ndtri(level))

    everywhere(patch, anytime.boundary, faulty)


def fixed_boundaries(patch: Patch) -> None:
    right = group_sequential.boundaries
    everywhere(patch, right, lambda info, **_: np.full(len(info), float(right([1.0])[0])))


def plain_ratio_at_looks(patch: Patch) -> None:
    """The sample ratio tested anew at every look: evidence as large as a chi-squared p-value makes it look."""

    def faulty(seen: Array, allocation: Any, **_: Any) -> Array:
        n, shares = np.asarray(seen, float), np.asarray(allocation, float) / np.sum(allocation)
        expected = n.sum(axis=-1, keepdims=True) * shares
        return -np.log(special.chdtrc(len(shares) - 1, np.sum((n - expected) ** 2 / expected, axis=-1)))

    everywhere(patch, sequential_counts.log_bayes_factor, faulty)


def one_sided(patch: Patch) -> None:
    right = student.p_value

    def faulty(statistic: float, df: float, *, alternative: str = "two-sided") -> float:
        p = right(statistic, df, alternative=alternative)
        return p / 2 if alternative == "two-sided" else p

    everywhere(patch, right, faulty)


def one_sided_counts(patch: Patch) -> None:
    """Resamples are counted on one side only."""
    right = resampled.extreme

    def faulty(draws: Array, statistic: Any, *, alternative: str) -> Array:
        return right(draws, statistic, alternative="greater" if alternative == "two-sided" else alternative)

    everywhere(patch, right, faulty)


def one_sided_designs(patch: Patch) -> None:
    """Sizes for a one-sided test, to be tested on two sides."""
    right = power.power

    def faulty(effect: float, n: float, **options: Any) -> float:
        return right(abs(effect), n, **{**options, "alternative": "greater"})

    everywhere(patch, right, faulty)


def one_sided_intervals(patch: Patch) -> None:
    right = student.interval

    def faulty(*values: float, confidence_level: float = 0.95, alternative: str = "two-sided") -> tuple[float, float]:
        level = 2 * confidence_level - 1 if alternative == "two-sided" else confidence_level
        return right(*values, confidence_level=level, alternative=alternative)

    everywhere(patch, right, faulty)


def outcome_as_covariate(patch: Patch) -> None:
    everywhere(patch, trial.check_covariates, lambda _covariates, _outcomes: None)


def covariates_from_the_trial(patch: Patch) -> None:
    """The window before the assignment moves behind it."""
    right = trials._window_columns

    def faulty(batch: Any, group: Any) -> tuple[dict[str, str], dict[str, str]]:
        written, names = right(batch, group)
        sql_of = {column: sql for sql, column in written.items()}
        late: dict[str, str] = {}
        for name, column in names.items():
            sql = sql_of[column].replace(
                "event_at < assigned_at AND event_at >= assigned_at - ",
                "event_at >= assigned_at AND event_at < assigned_at + ",
            )
            names[name] = late.setdefault(sql, f"c{len(late)}")
        return late, names

    patch.setattr(trials, "_window_columns", faulty)


def moved_covariates_pass(patch: Patch) -> None:
    """Nobody asks whether a covariate was moved by the lever."""
    patch.setattr(balance_checks, "hotelling", lambda _means: (0.0, 1.0))


def hochberg_of_the_significant(patch: Patch) -> None:
    """Benjamini-Hochberg over the tests below .05 as if the others had not been made."""

    def faulty(p: Array) -> Array:
        m = max(int(np.sum(p < 0.05)), 1)
        order = np.argsort(p, kind="stable")
        steps = p[order] * m / np.arange(1, len(p) + 1)
        return multiplicity._placed(np.minimum.accumulate(steps[::-1])[::-1], order)

    everywhere(patch, multiplicity._benjamini_hochberg, faulty)


def holm_of_the_significant(patch: Patch) -> None:
    right = multiplicity._holm
    everywhere(patch, right, lambda p: right(p) * max(int(np.sum(p < 0.05)), 1) / len(p))


def weights_upside_down(patch: Patch) -> None:
    right = counts.sample_ratio_test
    everywhere(patch, right, lambda seen, allocation: right(seen, [1 / each for each in allocation]))


def allocation_forgotten(patch: Patch) -> None:
    """Arms are tested against equal shares whatever was planned."""
    patch.setattr(trial, "_weights", lambda labels, _allocation: {str(label): 1.0 for label in labels})


def plan_lost_by_checks(patch: Patch) -> None:
    patch.setattr(trial_units, "_shares", lambda labels, _allocation: np.full(len(labels), 1 / len(labels)))


def plan_upside_down_at_looks(patch: Patch) -> None:
    right = sequential_counts.sequential_ratio_test
    everywhere(patch, right, lambda seen, allocation: right(seen, [1 / each for each in allocation]))


def wald_for_the_set(patch: Patch) -> None:
    """The delta method's interval, however weak the first stage."""

    def faulty(x: float, y: float, *, var_x: float, var_y: float, cov: float, critical: float) -> Any:
        half = critical * fieller.delta_std_error(x, y, var_x=var_x, var_y=var_y, cov=cov)
        return ((y / x - half, y / x + half),)

    everywhere(patch, fieller.fieller_set, faulty)


def wald_where_strong(patch: Patch) -> None:
    """The delta method's interval where F is above 10, nothing elsewhere."""

    def faulty(x: float, y: float, *, var_x: float, var_y: float, cov: float, critical: float) -> Any:
        if x * x <= 10 * var_x:
            return fieller.LINE
        half = critical * fieller.delta_std_error(x, y, var_x=var_x, var_y=var_y, cov=cov)
        return ((y / x - half, y / x + half),)

    everywhere(patch, fieller.fieller_set, faulty)


def wald_for_the_set_of_arms(patch: Patch) -> None:
    """Two-stage least squares and 1.96 standard errors for several arms."""

    def faulty(joint: Any, *_: Any, **__: Any) -> Any:
        theta, error = several_instruments.two_stage(joint)
        return ((theta - Z * error, theta + Z * error),)

    everywhere(patch, anderson_rubin.anderson_rubin_set, faulty)


def wald_for_the_set_of_a_bundle(patch: Patch) -> None:
    def faulty(effects: Any, cause: int, **_: Any) -> Any:
        theta, cov = bundle_score.bundle_two_stage(effects)
        half = Z * float(cov[cause, cause]) ** 0.5
        return ((theta[cause] - half, theta[cause] + half),)

    everywhere(patch, bundle_score.projected_set, faulty)


def missing_kept_in_control(patch: Patch) -> None:
    """Rows without an outcome are left out of the treatment only."""
    right = cases._kept

    def faulty(found: Any, treatment: int, columns: tuple[str, ...]) -> Any:
        present = found.moments.present | (found.arm == 0)[:, None]
        return right(replace(found, moments=replace(found.moments, present=present)), treatment, columns)

    patch.setattr(cases, "_kept", faulty)


def missing_rows_are_zeros_in_control(patch: Patch) -> None:
    right = rows.read_rows

    def faulty(data: Any, **roles: Any) -> Any:
        found = right(data, **roles)
        kept = {name: np.where(np.isnan(v) & (found.arm == 0), 0.0, v) for name, v in found.values.items()}
        return replace(found, values=kept)

    everywhere(patch, right, faulty)


def raw_squares(patch: Patch) -> None:
    """Sums of squares about zero, of values far from it."""
    everywhere(patch, moments.origin_of, lambda _sample, *, whole: 0.0)  # noqa: ARG005 - as called


def raw_squares_of_whole_numbers(patch: Patch) -> None:
    """Sums of whole numbers in doubles, subtracted from each other."""

    def faulty(products: Array, one: Array, other: Array, n: Array, *, exact: bool) -> Array:
        return np.asarray(as_floats(products) - as_floats(one) * as_floats(other) / n)

    everywhere(patch, moments.origin_of, lambda _sample, *, whole: 0.0)  # noqa: ARG005 - as called
    patch.setattr(cases, "_centred", faulty)


def raw_squares_of_arrays(patch: Patch) -> None:
    right = cells.cells_of_rows

    def faulty(values: Array, treated: Array, **roles: Any) -> Any:
        found = right(values, treated, **roles)
        sides = [values[treated == side] for side in (False, True)]
        raw = [each.T @ each - np.outer(each.sum(axis=0), each.sum(axis=0)) / len(each) for each in sides]
        return replace(found, cross=np.stack(raw))

    everywhere(patch, right, faulty)


def freedom_off_by(one: int, patch: Patch) -> None:
    right = student.satterthwaite
    everywhere(patch, right, lambda variances, dfs: right(variances, np.asarray(dfs) + one))


def equal_variances(patch: Patch) -> None:
    """One variance for both arms, as in Student's test."""
    right = arm_means.means_of_cells

    def faulty(found: Any) -> Any:
        if found.clusters is not None or len(found.n) > 2:
            return right(found)
        pooled = found.cross.sum(axis=0) / (found.n.sum() - 2)
        return right(replace(found, cross=pooled * (found.n - 1)[:, None, None]))

    everywhere(patch, right, faulty)


def equal_variances_in_regression(patch: Patch) -> None:
    everywhere(patch, regressed_link.variance_for, lambda _asked, *, clustered: "iid")  # noqa: ARG005 - the fault


def equal_variances_in_lin(patch: Patch) -> None:
    right = interacted._residual_squares

    def faulty(found: Any, slopes: Array) -> Array:
        left = right(found, slopes)
        return left.sum() / (found.n.sum() - len(found.n)) * (found.n - 1)

    patch.setattr(interacted, "_residual_squares", faulty)


def points_as_fractions(patch: Patch) -> None:
    """One percentage point counts as one."""
    for unit in ("pp", "percent"):
        patch.setitem(units._UNITS, unit, ("share", 1.0))


def percent_taken_for_a_fraction(patch: Patch) -> None:
    patch.setattr(audit, "_check_fraction", lambda *_: None)


def relative_margin_in_percent(patch: Patch) -> None:
    """A margin of .2 is read as .2 %."""
    right = decisions._relative
    patch.setattr(decisions, "_relative", lambda margin, *given: right(replace(margin, size=margin.size / 100), *given))


def higher_is_always_better(patch: Patch) -> None:
    patch.setattr(units.Direction, "sign", property(lambda _: 1))


def increments_without_a_sign(patch: Patch) -> None:
    everywhere(patch, steps_of, lambda given, cpis: {name: abs(step) for name, step in steps_of(given, cpis).items()})


def margins_without_a_direction(patch: Patch) -> None:
    right = equivalence.noninferiority
    everywhere(patch, right, lambda *values, **options: right(*values, **{**options, "better": "higher"}))


def guardrails_without_a_direction(patch: Patch) -> None:
    right = guardrails.judge_guardrail
    everywhere(patch, right, lambda *given, **options: right(*given, **{**options, "better": "higher"}))


def not_significant_as_refuted(patch: Patch) -> None:
    module_of("calibration/test_planted_judging_faults.py").not_significant_as_refuted(patch)
