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
    from cpi_experiments.measure.engine import Tables
    from cpi_experiments.measure.panel import Panel, build_panel
    from cpi_experiments.observational.association import association
    from cpi_experiments.randomized.assignment import assign
    from cpi_experiments.randomized.compare import compare
    from cpi_experiments.randomized.design import design
    from cpi_experiments.randomized.experiment import Experiment
    from cpi_experiments.randomized.link_effect import link_effect
    from cpi_experiments.randomized.outcomes import Mean, Ratio
    from cpi_experiments.simulate.company import simulate_company
    from cpi_experiments.study import Study

__version__ = "0.1.0"

_HOMES = {
    "Catalog": "catalog.entities",
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
    "Link": "estimate",
    "Mean": "randomized.outcomes",
    "Panel": "measure.panel",
    "Ratio": "randomized.outcomes",
    "Study": "study",
    "Tables": "measure.engine",
    "Verdict": "evidence.verdict",
    "assign": "randomized.assignment",
    "association": "observational.association",
    "build_panel": "measure.panel",
    "candidates": "hypotheses.candidates",
    "charter": "accountability.assess",
    "compare": "randomized.compare",
    "design": "randomized.design",
    "judge": "evidence.quarter",
    "judge_links": "evidence.judge",
    "link_effect": "randomized.link_effect",
    "load_catalog": "catalog.load",
    "register": "hypotheses.registry",
    "simulate_company": "simulate.company",
}

__all__ = [
    "Catalog",
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
    "Link",
    "Mean",
    "Panel",
    "Ratio",
    "Study",
    "Tables",
    "Verdict",
    "assign",
    "association",
    "build_panel",
    "candidates",
    "charter",
    "compare",
    "design",
    "judge",
    "judge_links",
    "link_effect",
    "load_catalog",
    "register",
    "simulate_company",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
