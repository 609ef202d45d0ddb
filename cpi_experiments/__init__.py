"""Link what customers value (CPIs) to what the company earns (KPIs), test every link, and say which are true.

The argument, one line a stage:

1. ``catalog``: what customers value, in increments; what the company earns; who can change what.
2. ``measure``: from event tables to indicators, every lost row counted.
3. ``hypotheses``: which links are claimed, frozen before the data are looked at.
4. ``observational``: what past data say; they nominate, they never confirm.
5. ``randomized``: what trials say; assignment is the instrument for the CPI: KPI per customer-valued increment.
6. ``evidence``: what may be believed: confirmed, refuted, inconclusive or blocked, over the whole portfolio.
7. ``accountability``: which team can own which CPI, at which target.
8. ``report``: what people are told.

Nothing heavy is imported before a name is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cpi_experiments.accountability.assess import charter
    from cpi_experiments.catalog.contract import Contract, Limits, Range
    from cpi_experiments.catalog.entities import Catalog
    from cpi_experiments.catalog.load import load_catalog
    from cpi_experiments.errors import CpiError, CpiWarning
    from cpi_experiments.estimate import Diagnostic, EffectPair, Estimand, Estimate, Link
    from cpi_experiments.evidence.bias.gaps import RegressionBias
    from cpi_experiments.evidence.bias.measured import regression_bias
    from cpi_experiments.evidence.combining.combination import Combination
    from cpi_experiments.evidence.combining.combine import combine
    from cpi_experiments.evidence.combining.several_cpis import SeveralCombined, combine_several
    from cpi_experiments.evidence.judge import judge_links
    from cpi_experiments.evidence.next.next_tests import next_tests
    from cpi_experiments.evidence.next.result import NextTests
    from cpi_experiments.evidence.quarter import judge
    from cpi_experiments.evidence.sequence.evidence_sequence import EvidenceSequence
    from cpi_experiments.evidence.sequence.follow import follow
    from cpi_experiments.evidence.verdict import Evidence, Verdict
    from cpi_experiments.hypotheses.candidates import candidates
    from cpi_experiments.hypotheses.hypothesis import Hypothesis
    from cpi_experiments.hypotheses.registry import register
    from cpi_experiments.ledger.store import Ledger
    from cpi_experiments.measure.built_in.indicator import indicator
    from cpi_experiments.measure.engine import Tables
    from cpi_experiments.measure.engines.spark import SparkTables
    from cpi_experiments.measure.engines.warehouse import Warehouse
    from cpi_experiments.measure.moments.gather import gather
    from cpi_experiments.measure.moments.store import export_moments, gather_files, load_moments, save_moments
    from cpi_experiments.measure.moments.tuples import gather_tuples
    from cpi_experiments.measure.panel import Panel, build_panel
    from cpi_experiments.measure.quality.checks import check_data
    from cpi_experiments.measure.quality.files import check_files
    from cpi_experiments.measure.quality.keys import check_join
    from cpi_experiments.measure.quality.quarantine import quarantine, write_quarantine
    from cpi_experiments.measure.scores.attrition import attrition_reasons
    from cpi_experiments.measure.scores.churn_what_if import what_if_churn, what_if_churn_in
    from cpi_experiments.measure.scores.customer_segments import customer_segments
    from cpi_experiments.measure.scores.promoter_gap import promoter_gap
    from cpi_experiments.measure.scores.scorecard import scorecard
    from cpi_experiments.observational.association import association
    from cpi_experiments.observational.screen import screen
    from cpi_experiments.randomized.assigning.assignment import Assignment, assign
    from cpi_experiments.randomized.assigning.balance import balance_table
    from cpi_experiments.randomized.assigning.holdout import hold_out
    from cpi_experiments.randomized.assigning.lists import read_assignment, write_assignment
    from cpi_experiments.randomized.assigning.rerandomized import assign_balanced
    from cpi_experiments.randomized.assigning.stratified import assign_stratified
    from cpi_experiments.randomized.assigning.switchback import schedule_switchback
    from cpi_experiments.randomized.effects.compare import compare
    from cpi_experiments.randomized.effects.comparison import Comparison
    from cpi_experiments.randomized.effects.outcomes import Mean, Ratio
    from cpi_experiments.randomized.effects.row_outcomes import Quantile, Rank
    from cpi_experiments.randomized.experiment import Experiment
    from cpi_experiments.randomized.integrity.aa import aa
    from cpi_experiments.randomized.integrity.check_trial import check_trial
    from cpi_experiments.randomized.integrity.rules import blocking_rules
    from cpi_experiments.randomized.links.audit_link import audit_link
    from cpi_experiments.randomized.links.bundle import bundle_effect
    from cpi_experiments.randomized.links.link import LinkEffect
    from cpi_experiments.randomized.links.link_effect import link_effect
    from cpi_experiments.randomized.links.project_link import project_link
    from cpi_experiments.randomized.links.projected_link import ProjectedLink
    from cpi_experiments.randomized.monitoring.guardrails import ship_rule
    from cpi_experiments.randomized.monitoring.monitor import monitor
    from cpi_experiments.randomized.planning.analysis_plan import AnalysisPlan
    from cpi_experiments.randomized.planning.design import Design, design
    from cpi_experiments.randomized.planning.link_design import design_link
    from cpi_experiments.randomized.planning.link_sizes import LinkDesign
    from cpi_experiments.randomized.planning.planned_outcomes import (
        PlannedCount,
        PlannedEvents,
        PlannedMean,
        PlannedProportion,
        PlannedRatio,
    )
    from cpi_experiments.randomized.planning.precision import Clusters, Looks, Repeated, Switchback
    from cpi_experiments.randomized.planning.simulated_power import simulate_power
    from cpi_experiments.simulate.company import simulate_company
    from cpi_experiments.stats.moments import Moments, add_moments
    from cpi_experiments.study.study import Study

__version__ = "0.1.0"

_HOMES = {
    "AnalysisPlan": "randomized.planning.analysis_plan",
    "Assignment": "randomized.assigning.assignment",
    "Catalog": "catalog.entities",
    "Clusters": "randomized.planning.precision",
    "Combination": "evidence.combining.combination",
    "Comparison": "randomized.effects.comparison",
    "Contract": "catalog.contract",
    "CpiError": "errors",
    "CpiWarning": "errors",
    "Design": "randomized.planning.design",
    "Diagnostic": "estimate",
    "EffectPair": "estimate",
    "Estimand": "estimate",
    "Estimate": "estimate",
    "Evidence": "evidence.verdict",
    "EvidenceSequence": "evidence.sequence.evidence_sequence",
    "Experiment": "randomized.experiment",
    "Hypothesis": "hypotheses.hypothesis",
    "Ledger": "ledger.store",
    "Limits": "catalog.contract",
    "Link": "estimate",
    "LinkDesign": "randomized.planning.link_sizes",
    "LinkEffect": "randomized.links.link",
    "Looks": "randomized.planning.precision",
    "Mean": "randomized.effects.outcomes",
    "Moments": "stats.moments",
    "NextTests": "evidence.next.result",
    "Panel": "measure.panel",
    "PlannedCount": "randomized.planning.planned_outcomes",
    "PlannedEvents": "randomized.planning.planned_outcomes",
    "PlannedMean": "randomized.planning.planned_outcomes",
    "PlannedProportion": "randomized.planning.planned_outcomes",
    "PlannedRatio": "randomized.planning.planned_outcomes",
    "ProjectedLink": "randomized.links.projected_link",
    "Quantile": "randomized.effects.row_outcomes",
    "Range": "catalog.contract",
    "Rank": "randomized.effects.row_outcomes",
    "Ratio": "randomized.effects.outcomes",
    "RegressionBias": "evidence.bias.gaps",
    "Repeated": "randomized.planning.precision",
    "SeveralCombined": "evidence.combining.several_cpis",
    "SparkTables": "measure.engines.spark",
    "Study": "study.study",
    "Switchback": "randomized.planning.precision",
    "Tables": "measure.engine",
    "Verdict": "evidence.verdict",
    "Warehouse": "measure.engines.warehouse",
    "aa": "randomized.integrity.aa",
    "add_moments": "stats.moments",
    "assign": "randomized.assigning.assignment",
    "assign_balanced": "randomized.assigning.rerandomized",
    "assign_stratified": "randomized.assigning.stratified",
    "association": "observational.association",
    "attrition_reasons": "measure.scores.attrition",
    "audit_link": "randomized.links.audit_link",
    "balance_table": "randomized.assigning.balance",
    "blocking_rules": "randomized.integrity.rules",
    "build_panel": "measure.panel",
    "bundle_effect": "randomized.links.bundle",
    "candidates": "hypotheses.candidates",
    "charter": "accountability.assess",
    "check_data": "measure.quality.checks",
    "check_files": "measure.quality.files",
    "check_join": "measure.quality.keys",
    "check_trial": "randomized.integrity.check_trial",
    "combine": "evidence.combining.combine",
    "combine_several": "evidence.combining.several_cpis",
    "compare": "randomized.effects.compare",
    "customer_segments": "measure.scores.customer_segments",
    "design": "randomized.planning.design",
    "design_link": "randomized.planning.link_design",
    "export_moments": "measure.moments.store",
    "follow": "evidence.sequence.follow",
    "gather": "measure.moments.gather",
    "gather_files": "measure.moments.store",
    "gather_tuples": "measure.moments.tuples",
    "hold_out": "randomized.assigning.holdout",
    "indicator": "measure.built_in.indicator",
    "judge": "evidence.quarter",
    "judge_links": "evidence.judge",
    "link_effect": "randomized.links.link_effect",
    "load_catalog": "catalog.load",
    "load_moments": "measure.moments.store",
    "monitor": "randomized.monitoring.monitor",
    "next_tests": "evidence.next.next_tests",
    "project_link": "randomized.links.project_link",
    "promoter_gap": "measure.scores.promoter_gap",
    "quarantine": "measure.quality.quarantine",
    "read_assignment": "randomized.assigning.lists",
    "register": "hypotheses.registry",
    "regression_bias": "evidence.bias.measured",
    "save_moments": "measure.moments.store",
    "schedule_switchback": "randomized.assigning.switchback",
    "scorecard": "measure.scores.scorecard",
    "screen": "observational.screen",
    "ship_rule": "randomized.monitoring.guardrails",
    "simulate_company": "simulate.company",
    "simulate_power": "randomized.planning.simulated_power",
    "what_if_churn": "measure.scores.churn_what_if",
    "what_if_churn_in": "measure.scores.churn_what_if",
    "write_assignment": "randomized.assigning.lists",
    "write_quarantine": "measure.quality.quarantine",
}

__all__ = [
    "AnalysisPlan",
    "Assignment",
    "Catalog",
    "Clusters",
    "Combination",
    "Comparison",
    "Contract",
    "CpiError",
    "CpiWarning",
    "Design",
    "Diagnostic",
    "EffectPair",
    "Estimand",
    "Estimate",
    "Evidence",
    "EvidenceSequence",
    "Experiment",
    "Hypothesis",
    "Ledger",
    "Limits",
    "Link",
    "LinkDesign",
    "LinkEffect",
    "Looks",
    "Mean",
    "Moments",
    "NextTests",
    "Panel",
    "PlannedCount",
    "PlannedEvents",
    "PlannedMean",
    "PlannedProportion",
    "PlannedRatio",
    "ProjectedLink",
    "Quantile",
    "Range",
    "Rank",
    "Ratio",
    "RegressionBias",
    "Repeated",
    "SeveralCombined",
    "SparkTables",
    "Study",
    "Switchback",
    "Tables",
    "Verdict",
    "Warehouse",
    "aa",
    "add_moments",
    "assign",
    "assign_balanced",
    "assign_stratified",
    "association",
    "attrition_reasons",
    "audit_link",
    "balance_table",
    "blocking_rules",
    "build_panel",
    "bundle_effect",
    "candidates",
    "charter",
    "check_data",
    "check_files",
    "check_join",
    "check_trial",
    "combine",
    "combine_several",
    "compare",
    "customer_segments",
    "design",
    "design_link",
    "export_moments",
    "follow",
    "gather",
    "gather_files",
    "gather_tuples",
    "hold_out",
    "indicator",
    "judge",
    "judge_links",
    "link_effect",
    "load_catalog",
    "load_moments",
    "monitor",
    "next_tests",
    "project_link",
    "promoter_gap",
    "quarantine",
    "read_assignment",
    "register",
    "regression_bias",
    "save_moments",
    "schedule_switchback",
    "scorecard",
    "screen",
    "ship_rule",
    "simulate_company",
    "simulate_power",
    "what_if_churn",
    "what_if_churn_in",
    "write_assignment",
    "write_quarantine",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
