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
    from cpi_experiments.evidence.judge import judge_links
    from cpi_experiments.evidence.quarter import judge
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
    from cpi_experiments.randomized.assigning.assignment import assign
    from cpi_experiments.randomized.compare import compare
    from cpi_experiments.randomized.experiment import Experiment
    from cpi_experiments.randomized.link_effect import link_effect
    from cpi_experiments.randomized.outcomes import Mean, Ratio
    from cpi_experiments.randomized.planning.link_design import design_link
    from cpi_experiments.simulate.company import simulate_company
    from cpi_experiments.stats.moments import Moments, add_moments
    from cpi_experiments.study import Study

__version__ = "0.1.0"

_HOMES = {
    "Catalog": "catalog.entities",
    "Contract": "catalog.contract",
    "CpiError": "errors",
    "CpiWarning": "errors",
    "Diagnostic": "estimate",
    "EffectPair": "estimate",
    "Estimand": "estimate",
    "Estimate": "estimate",
    "Evidence": "evidence.verdict",
    "Experiment": "randomized.experiment",
    "Hypothesis": "hypotheses.hypothesis",
    "Ledger": "ledger.store",
    "Limits": "catalog.contract",
    "Link": "estimate",
    "Mean": "randomized.outcomes",
    "Moments": "stats.moments",
    "Panel": "measure.panel",
    "Range": "catalog.contract",
    "Ratio": "randomized.outcomes",
    "SparkTables": "measure.engines.spark",
    "Study": "study",
    "Tables": "measure.engine",
    "Verdict": "evidence.verdict",
    "Warehouse": "measure.engines.warehouse",
    "add_moments": "stats.moments",
    "assign": "randomized.assigning.assignment",
    "association": "observational.association",
    "attrition_reasons": "measure.scores.attrition",
    "build_panel": "measure.panel",
    "candidates": "hypotheses.candidates",
    "charter": "accountability.assess",
    "check_data": "measure.quality.checks",
    "check_files": "measure.quality.files",
    "check_join": "measure.quality.keys",
    "compare": "randomized.compare",
    "customer_segments": "measure.scores.customer_segments",
    "design_link": "randomized.planning.link_design",
    "export_moments": "measure.moments.store",
    "gather": "measure.moments.gather",
    "gather_files": "measure.moments.store",
    "gather_tuples": "measure.moments.tuples",
    "indicator": "measure.built_in.indicator",
    "judge": "evidence.quarter",
    "judge_links": "evidence.judge",
    "link_effect": "randomized.link_effect",
    "load_catalog": "catalog.load",
    "load_moments": "measure.moments.store",
    "promoter_gap": "measure.scores.promoter_gap",
    "quarantine": "measure.quality.quarantine",
    "register": "hypotheses.registry",
    "save_moments": "measure.moments.store",
    "scorecard": "measure.scores.scorecard",
    "screen": "observational.screen",
    "simulate_company": "simulate.company",
    "what_if_churn": "measure.scores.churn_what_if",
    "what_if_churn_in": "measure.scores.churn_what_if",
    "write_quarantine": "measure.quality.quarantine",
}

__all__ = [
    "Catalog",
    "Contract",
    "CpiError",
    "CpiWarning",
    "Diagnostic",
    "EffectPair",
    "Estimand",
    "Estimate",
    "Evidence",
    "Experiment",
    "Hypothesis",
    "Ledger",
    "Limits",
    "Link",
    "Mean",
    "Moments",
    "Panel",
    "Range",
    "Ratio",
    "SparkTables",
    "Study",
    "Tables",
    "Verdict",
    "Warehouse",
    "add_moments",
    "assign",
    "association",
    "attrition_reasons",
    "build_panel",
    "candidates",
    "charter",
    "check_data",
    "check_files",
    "check_join",
    "compare",
    "customer_segments",
    "design_link",
    "export_moments",
    "gather",
    "gather_files",
    "gather_tuples",
    "indicator",
    "judge",
    "judge_links",
    "link_effect",
    "load_catalog",
    "load_moments",
    "promoter_gap",
    "quarantine",
    "register",
    "save_moments",
    "scorecard",
    "screen",
    "simulate_company",
    "what_if_churn",
    "what_if_churn_in",
    "write_quarantine",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
