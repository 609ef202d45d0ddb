"""Faults that experiments are known for, planted in the code that users call: each turns laws of this suite red.

Every law is first run as it stands and has to be green; then the fault is planted wherever the package (or the law)
bound the right function by name, and the same law has to fail. An entity taken for a time, the one fault of the list
that only panels can have, is not among these.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cpi_experiments.errors import CpiError

sys.path.insert(0, str(Path(__file__).parent))
import plants
from plants import Law, Plant, law, what_is_left

#: What makes a test red. Any other error would be a fault that was planted clumsily.
RED = (AssertionError, pytest.fail.Exception)

# -- which fault, how it is planted, and the laws that have to see it ---------------------------------------------------

RATES, RUNNING = "recovery/test_randomized_rates", "recovery/test_sequential_rates"
INTEGRITY, COMPARE, OPTIONS = (
    "recovery/test_integrity_rates",
    "randomized/test_compare",
    "randomized/test_compare_options",
)
LINK, MONITOR, MEANS = "randomized/test_link_effect", "randomized/test_monitor", "stats/test_arm_means"
DOORS, ROWS = "recovery/test_laws_of_doors", "recovery/test_row_effect_rates"
CLUSTERED = "clusters_raise_no_more_alarms_at_any_door"
UNEQUAL = "unequal_arms_with_unequal_noise_raise_no_more_alarms_at_any_door"
AGREE = "the_interval_leaves_out_zero_where_p_is_below_five_percent_at_any_door"
MISSING = "rows_without_an_outcome_count_in_neither_arm_at_any_door"


def kernel(name: str) -> Law:
    return law(RATES, "kernels_are_the_doors", kernel=name)


FAULTS: dict[str, list[tuple[Plant, list[Law]]]] = {
    "standard errors of independent units in clusters": [
        (plants.iid_errors, [
            kernel("clustered"),
            law("recovery/test_cluster_conventions", "the_kernels_cr3_is_the_door"),
            *(law(DOORS, CLUSTERED, way=way) for way in ("covariate", "ratio", "link")),
        ]),
        (plants.clusters_lost_by_moments, [law(DOORS, CLUSTERED, way=way) for way in ("mean", "link, covariate")]),
        (plants.clusters_lost_by_rows, [law(DOORS, CLUSTERED, way=way) for way in ("median", "rank", "bootstrap")]),
        (plants.clusters_lost_by_several_arms, [law("recovery/test_link_rates", "the_clustered_kernel_is_the_door")]),
        (plants.clusters_lost_by_regression, [law(DOORS, CLUSTERED, way="link, regression")]),
    ],
    "normal instead of t": [
        (plants.normal_for_t, [kernel("welch"), kernel("link"), law(COMPARE, "plain_means_are_scipys_welch")]),
        (plants.normal_for_t_at_looks, [law("stats/test_anytime", "small_samples_have_wider_bounds_with_the_same_tail")]),
    ],
    "naive peeking": [
        (plants.fixed_bounds_in_the_door, [law(RUNNING, "kernel_is_the_door", seed=0)]),
        (plants.early_effects_shown, [law(MONITOR, "c17_a_fixed_plan_read_early_holds_no_effect_at_all")]),
        (plants.fixed_bounds_of_guardrails, [law(MONITOR, "guardrails_use_their_own_one_sided_sequences")]),
        (plants.fixed_sequence, [
            law(RUNNING, "anytime_false_alarms_are_at_most_five_percent_and_the_price_is_a_width", looks=20, trials=20_000),
            law(RUNNING, "anytime_anderson_rubin_sets_cover_however_weak_the_first_stage", strength=0.05),
        ]),
        (plants.fixed_boundaries, [law(RUNNING, "planned_looks_keep_alpha_and_reach_the_planned_power", spending="pocock")]),
        (plants.plain_ratio_at_looks, [law(INTEGRITY, "fifty_looks_keep_the_rate_of_one")]),
    ],
    "one-sided p": [
        (plants.one_sided, [kernel("welch"), kernel("cuped"), kernel("clustered"), law(LINK, "p_value_is_the_itt_test_and_the_set_agrees"),
            law(ROWS, "kernels_are_the_doors"), law(DOORS, AGREE, way="lin"),
        ]),
        (plants.one_sided_counts, [law(ROWS, "kernels_are_the_doors"), law(DOORS, AGREE, way="bootstrap")]),
        (plants.one_sided_designs, [law(RATES, "planned_power_is_reached", effect=0.5, ratio_of_arms=3.0)]),
        (plants.one_sided_intervals, [law(COMPARE, "plain_means_are_scipys_welch"), law(DOORS, AGREE, way="link, regression")]),
    ],
    "covariates from after the assignment": [
        (plants.outcome_as_covariate, [
            law(COMPARE, "bad_input_is_answered", change={}, call={"covariates": ["revenue"]}, error=CpiError, found="both an outcome and a covariate"),
        ]),
        (plants.covariates_from_the_trial, [law("measure/test_measure_units", "windows_arms_and_counts_by_hand")]),
        (plants.moved_covariates_pass, [law("randomized/test_integrity_checks", "covariates_that_differ_are_named")]),
    ],
    "Benjamini-Hochberg over the significant ones": [
        (plants.hochberg_of_the_significant, [
            law("stats/test_multiplicity", "corrections_are_statsmodels", correction="bh", size=100),
            law("recovery/test_compare_rates", "kernels_are_the_door"),
        ]),
        (plants.holm_of_the_significant, [law("recovery/test_compare_rates", "kernels_are_the_door")]),
    ],
    "sample ratio with wrong weights": [
        (plants.weights_upside_down, [
            law(RATES, "sample_ratio_alarms_as_often_as_it_says"),
            law(INTEGRITY, "sample_ratio_alarms_as_often_as_it_says", weights=[9, 1]),
        ]),
        *((each, [law(DOORS, "every_door_tests_the_split_against_the_plan")])
          for each in (plants.allocation_forgotten, plants.plan_lost_by_checks, plants.plan_upside_down_at_looks)),
    ],
    "Wald interval of a ratio": [
        (plants.wald_for_the_set, [
            kernel("link"),
            law(DOORS, "sets_of_weak_levers_cover", arms=1),
            law(LINK, "c12_a_lever_that_hardly_moves_the_cpi_leaves_the_size_open"),
            law(RUNNING, "anytime_anderson_rubin_sets_cover_however_weak_the_first_stage", strength=0.0),
        ]),
        (plants.wald_where_strong, [kernel("link")]),
        (plants.wald_for_the_set_of_arms, [law(DOORS, "sets_of_weak_levers_cover", arms=3)]),
        (plants.wald_for_the_set_of_a_bundle, [
            law("stats/test_bundle_score", "the_projected_set_is_what_a_grid_of_both_effects_finds", k=2, strength=0.3),
        ]),
    ],
    "missing outcomes left out of the treatment only": [
        (plants.missing_kept_in_control, [
            law(COMPARE, "a_missing_outcome_is_not_a_zero_and_is_counted"),
            law(LINK, "rows_are_complete_in_both_and_counted"),
            law(MONITOR, "missing_outcomes_are_counted_and_are_no_zeros"),
            *(law(DOORS, MISSING, way=way) for way in ("mean", "ratio", "link")),
        ]),
        (plants.missing_rows_are_zeros_in_control, [
            law("randomized/test_row_effects", "missing_values_are_left_out_and_counted"),
            *(law(DOORS, MISSING, way=way) for way in ("rank", "permutation", "link, regression")),
        ]),
    ],
    "sums of squares about zero": [
        (plants.raw_squares, [
            kernel("offset"), law("measure/test_gather_accuracy", "numacc_has_every_digit_that_the_doubles_hold", name="NumAcc4"),
        ]),
        (plants.raw_squares_of_whole_numbers, [law("randomized/test_moments_door", "large_whole_numbers_keep_every_digit_of_their_variance")]),
        (plants.raw_squares_of_arrays, [law(MEANS, "a_common_offset_costs_only_the_digits_that_the_data_lack", offset=1e9)]),
    ],
    "degrees of freedom off by one": [
        (partial(plants.freedom_off_by, 1), [kernel("welch"), kernel("ratio"), law(MEANS, "without_clusters_it_is_welch", seed=0)]),
        (partial(plants.freedom_off_by, -1), [kernel("welch"), law(COMPARE, "plain_means_are_scipys_welch")]),
    ],
    "equal variances in unequal arms": [
        (plants.equal_variances, [
            kernel("welch"), kernel("cuped"), kernel("ratio"), *(law(DOORS, UNEQUAL, way=way) for way in ("mean", "link")),
        ]),
        (plants.equal_variances_in_lin, [law(DOORS, UNEQUAL, way="lin")]),
        (plants.equal_variances_in_regression, [law(DOORS, UNEQUAL, way="link, regression")]),
    ],
    "percent read as a fraction": [
        (plants.points_as_fractions, [law(DOORS, "a_point_is_a_hundredth_of_a_fraction")]),
        (plants.percent_taken_for_a_fraction, [
            law("measure/test_indicators", "fractions_outside_zero_to_one_are_an_error", values=[0.2, 97.3], says="unit percent"),
        ]),
        (plants.relative_margin_in_percent, [law(OPTIONS, "relative_margins_are_tests_of_a_contrast", covariates=None)]),
    ],
    "sign forgotten where lower is better": [
        (plants.higher_is_always_better, [law("catalog/test_entities", "units_are_counted_in_increments_toward_better")]),
        (plants.increments_without_a_sign, [
            law(LINK, "a_negative_increment_reads_lower_is_better", increment=-1, words="hour faster"),
            law(LINK, "pair_holds_the_joint_covariance_in_increments"),
        ]),
        (plants.margins_without_a_direction, [law(OPTIONS, "not_worse_is_scipys_test_of_shifted_values", better="lower", margin=0.3)]),
        (plants.guardrails_without_a_direction, [law(MONITOR, "guardrails_are_ok_watched_or_harmed", harm=0.1, margin=0.03, state="harm")]),
    ],
    "refuted because not significant": [
        (plants.not_significant_as_refuted, [
            Law("calibration/test_planted_judging_faults.py", "check", {"name": "boundary_imprecise", "reps": 50}),
        ]),
    ],
}  # fmt: skip


def name_of(each: Any) -> str:
    """Name a plant or a law, with what it is given."""
    whole, given = getattr(each, "func", each), getattr(each, "given", None) or getattr(each, "args", ())
    name = getattr(whole, "name", getattr(whole, "__name__", "")).removeprefix("test_")
    listed = given.values() if isinstance(given, dict) else given
    return f"{name}[{', '.join(map(str, listed))}]" if given else name


PLANTED = [
    pytest.param(plant, each, id=f"{fault}: {name_of(plant)}: {name_of(each)}")
    for fault, ways in FAULTS.items()
    for plant, laws in ways
    for each in laws
]
GREEN: set[str] = set()


def check_green(seen_by: Callable[[], None]) -> None:
    """Run a law as it stands, once."""
    name = f"{getattr(seen_by, 'file', '')} {name_of(seen_by)}"
    if name not in GREEN:
        seen_by()
        GREEN.add(name)


@pytest.mark.parametrize(("plant", "seen_by"), PLANTED)
def test_planted_fault_turns_a_law_red(plant: Plant, seen_by: Callable[[], None]) -> None:
    check_green(seen_by)
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        with pytest.raises(RED):
            seen_by()
    assert what_is_left() == []


def test_the_list_of_faults_is_whole() -> None:
    """Fifteen of the sixteen faults that a calibration has to see; each is planted in one place at least."""
    assert len(FAULTS) == 15
    assert all(ways and all(laws for _, laws in ways) for ways in FAULTS.values())
