"""Commands of an experiment: plan it, lock its analysis, deal the arms, look at it, analyse it."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cpi_experiments.cli.app import BLOCKED, app
from cpi_experiments.cli.output import new_path
from cpi_experiments.cli.project import FOLDER
from cpi_experiments.errors import DesignError, ReportError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.randomized.planning.planned_outcomes import PlannedOutcome
    from cpi_experiments.study.study import Study

_OF_A_METRIC = ("rate", "sd", "count_rate", "effect", "n", "days", "margin", "looks", "cluster_size")
_OUTCOMES = (
    "Give what is known of the outcome: --rate (yes/no), --sd (mean), --count-rate (events), or a link with --lever."
)


@app.command()
@click.argument("link", required=False)
@click.option("--rate", type=float, default=None, help="Share of yes in the control, such as 0.1.")
@click.option("--sd", type=float, default=None, help="Standard deviation of a mean between customers.")
@click.option("--mean", type=float, default=None, help="Its mean, for relative effects.")
@click.option("--count-rate", type=float, default=None, help="Events a customer in the control.")
@click.option("--dispersion", type=float, default=1.0, show_default=True, help="Variance of the count over its mean.")
@click.option("--effect", type=float, default=None, help="Difference to find, in the outcome's unit.")
@click.option("--relative", is_flag=True, help="The effect is a share of the control: 0.05 is 5% more.")
@click.option("--n", type=float, default=None, help="Customers in all arms together.")
@click.option("--days", type=float, default=None, help="Duration instead of --n; needs --per-day.")
@click.option("--power", type=float, default=None, help="Chance to find the effect; default 0.8.")
@click.option("--per-day", type=float, default=None, help="Customers who enter a day.")
@click.option("--population", type=int, default=None, help="Customers who exist.")
@click.option("--alpha", type=float, default=0.05, show_default=True)
@click.option(
    "--alternative", type=click.Choice(["two-sided", "greater", "less"]), default="two-sided", show_default=True
)
@click.option(
    "--goal",
    type=click.Choice(["superiority", "non_inferiority", "equivalence"]),
    default="superiority",
    show_default=True,
)
@click.option("--margin", type=float, default=None, help="For non-inferiority and equivalence.")
@click.option("--better", type=click.Choice(["higher", "lower"]), default="higher", show_default=True)
@click.option("--arm", "arms", multiple=True, metavar="NAME=WEIGHT", help="Every arm, the control first.")
@click.option("--correction", type=click.Choice(["none", "bonferroni", "dunnett"]), default="none", show_default=True)
@click.option("--covariate-r2", type=float, default=0.0, show_default=True, help="Share of variance known beforehand.")
@click.option("--cluster-size", type=float, default=None, help="Customers a group that is assigned as a whole.")
@click.option("--icc", type=float, default=0.0, show_default=True, help="Correlation within such a group.")
@click.option("--looks", type=int, default=None, help="Planned looks that may stop early.")
@click.option("--lever", default=None, help="For a link: the lever that will be varied.")
@click.option("--kpi-sd", type=float, default=None, help="For a link: standard deviation of the KPI.")
@click.option("--cpi-sd", type=float, default=None, help="For a link: standard deviation of the CPI in increments.")
@click.option("--planned-move", type=float, default=None, help="For a link: expected move of the CPI in increments.")
@FOLDER
def design(link: str | None, folder: str, **options: Any) -> None:  # noqa: ANN401 - the options of the doors, as named
    """Say how many customers an experiment needs, what it can find, or how surely.

    \b
    cpi design --rate 0.10 --effect 0.01 --per-day 1200
    cpi design --sd 12 --n 5000 --covariate-r2 0.4
    cpi design "quote_hours -> win_rate" --lever auto_quote --kpi-sd 0.4 --planned-move 3
    """  # noqa: D301 - click's mark for lines that must not be wrapped
    click.echo(str(_link_design(link, folder, options) if link else _metric_design(options)))


def _link_design(link: str, folder: str, options: Mapping[str, Any]) -> object:
    from cpi_experiments.estimate import Link  # noqa: PLC0415
    from cpi_experiments.hypotheses.candidates import hypothesis_of  # noqa: PLC0415
    from cpi_experiments.study.study import Study  # noqa: PLC0415

    needed = {name: options[name] for name in ("lever", "kpi_sd", "planned_move")}
    lost = [name for name, value in needed.items() if value is None]
    if lost:
        raise DesignError(
            f"a design for a link lacks {', '.join('--' + name.replace('_', '-') for name in lost)}",
            advice="The standard deviation comes from past data: see cpi measure.",
        )
    _refuse_idle(options, _OF_A_METRIC, "link")
    given = {name: options[name] for name in ("cpi_sd", "per_day", "population")}
    if options["power"] is not None:
        given["power"] = options["power"]
    with Study.open(folder) as study:
        return study.design(hypothesis_of(study.catalog, Link.parse(link)), **needed, **given)


def _metric_design(options: Mapping[str, Any]) -> object:
    from cpi_experiments.randomized.planning.design import design as plan  # noqa: PLC0415
    from cpi_experiments.randomized.planning.precision import Clusters, Looks  # noqa: PLC0415

    names = (
        "effect", "n", "days", "power", "per_day", "population", "alpha", "alternative", "goal", "margin", "better",
        "covariate_r2", "correction",
    )  # fmt: skip
    _refuse_idle(options, ("lever", "kpi_sd", "cpi_sd", "planned_move"), "metric")
    if options["icc"] and options["cluster_size"] is None:
        raise DesignError("--icc says nothing without --cluster-size", advice="Say how many customers a group has.")
    if options["dispersion"] != 1 and options["count_rate"] is None:
        raise DesignError("--dispersion says nothing without --count-rate", advice="It is that of a count of events.")
    allocation = _allocation(options["arms"])
    control: dict[str, Any] = {} if allocation is None else {"control": next(iter(allocation))}
    size, looks = options["cluster_size"], options["looks"]
    return plan(
        _outcome(options),
        **{name: options[name] for name in names},
        **control,
        allocation=allocation,
        effect_scale="relative" if options["relative"] else "absolute",
        clusters=None if size is None else Clusters(size=size, icc=options["icc"]),
        looks=None if looks is None else Looks(number=looks),
    )


def _refuse_idle(options: Mapping[str, Any], names: tuple[str, ...], what: str) -> None:
    """Refuse options that the design of a link (or of a metric) does not use."""
    idle = ["--" + name.replace("_", "-") for name in names if options[name] is not None]
    if idle:
        other = (
            "Name the link first: cpi design LINK ..." if what == "metric" else "They describe a metric, not a link."
        )
        raise DesignError(f"the design of a {what} does not use {', '.join(idle)}", advice=other)


def _outcome(options: Mapping[str, Any]) -> PlannedOutcome:
    from cpi_experiments.randomized.planning.planned_outcomes import (  # noqa: PLC0415
        PlannedCount,
        PlannedMean,
        PlannedProportion,
    )

    given = [name for name in ("rate", "sd", "count_rate") if options[name] is not None]
    if len(given) != 1:
        raise DesignError(f"{len(given)} outcomes are described", advice=_OUTCOMES)
    if given == ["rate"]:
        return PlannedProportion(rate=options["rate"])
    if given == ["sd"]:
        return PlannedMean(sd=options["sd"], mean=options["mean"])
    return PlannedCount(rate=options["count_rate"], dispersion=options["dispersion"])


def _allocation(arms: tuple[str, ...]) -> dict[str, float] | None:
    found: dict[str, float] = {}
    for text in arms:
        name, _, weight = text.rpartition("=")
        try:
            number = float(weight)
        except ValueError:
            number = math.nan
        if not name or math.isnan(number) or name in found:
            raise DesignError(
                f"{text!r} is not a new arm with its weight", advice="Write it like --arm control=1 --arm auto=1."
            )
        found[name] = number
    return found or None


@app.command()
@click.argument("experiment")
@FOLDER
@click.option("--who", default="", help="Name to record beside the user of this machine.")
@click.option("--amend", default="", metavar="REASON", help="Change a plan that is locked, and why.")
def lock(experiment: str, folder: str, who: str, amend: str) -> None:
    """Freeze the analysis plan of EXPERIMENT in the ledger; exit 1 if the files differ from a lock that stands."""
    from cpi_experiments.study.study import Study  # noqa: PLC0415

    with Study.open(folder) as study:
        locked = study.lock(experiment, who=who, amend=amend)
        differs = study.deviations(experiment)
    click.echo(str(locked))
    for change in differs:
        click.echo(f"the files differ from this lock: {change}")
    if differs:
        click.echo('Undo these changes, or run cpi lock with --amend "why". Until then the analysis is exploratory.')
    sys.exit(1 if differs else 0)


@app.command()
@click.argument("experiment")
@FOLDER
@click.option("--out", required=True, metavar="FILE", help="CSV file to write; its description goes beside it.")
@click.option("--units", default=None, metavar="FILE", help="File of the units; default: the table customers.")
@click.option("--unit", default=None, help="Column of the unit; default: the plan's `randomize`.")
@click.option("--strata", multiple=True, help="Split within this column as planned; may be repeated.")
@click.option("--balance", multiple=True, help="Deal again until this column is balanced; may be repeated.")
@click.option("--cluster", default=None, help="Column of the group that gets one arm as a whole.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def assign(experiment: str, folder: str, out: str, *, force: bool, **options: Any) -> None:  # noqa: ANN401 - as named
    """Deal the arms of EXPERIMENT to its units, and write the list.

    By the hash of each id; with --strata split exactly as planned; with --balance dealt until covariates agree.
    """
    from cpi_experiments.randomized.assigning.lists import beside, write_assignment  # noqa: PLC0415
    from cpi_experiments.study.study import Study  # noqa: PLC0415

    target = new_path(out)
    taken = [path for path in (target, beside(Path(target))) if path.exists()]
    if taken and not force:
        raise ReportError(f"{taken[0]} exists", advice="Choose another file, or pass --force to replace it.")
    with Study.open(folder) as study:
        plan = study.planned(experiment)
        unit = options["unit"] or plan.randomize
        found = _dealt(study, experiment, unit, options)
        write_assignment(found, target, unit=unit)
    click.echo(f"{found._title()}\nwrote {target}")  # noqa: SLF001 - the list itself is in the file


def _dealt(study: Study, experiment: str, unit: str, options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - an Assignment
    from cpi_experiments.randomized.assigning.assignment import assign as deal  # noqa: PLC0415
    from cpi_experiments.randomized.assigning.rerandomized import assign_balanced  # noqa: PLC0415
    from cpi_experiments.randomized.assigning.stratified import assign_stratified  # noqa: PLC0415

    plan = study.planned(experiment)
    data: Data = options["units"] or _customers(study)
    strata, balance, cluster = options["strata"], options["balance"], options["cluster"]
    if cluster and (strata or balance):
        raise DesignError("clusters are dealt by their hash only", advice="Leave out --strata and --balance.")
    if balance:
        return assign_balanced(plan, data, unit=unit, covariates=list(balance), strata=list(strata))
    if strata:
        return assign_stratified(plan, data, unit=unit, strata=list(strata))
    return deal(plan, data, unit=unit, cluster=cluster)


def _customers(study: Study) -> str:
    if "customers" not in study.project.sources:
        raise DesignError(
            "the project has no table `customers`", advice="Name a file of the units: --units customers.csv."
        )
    return str(study.project.root / study.project.sources["customers"])


@app.command()
@click.argument("experiment")
@FOLDER
@click.option("--as-of", required=True, metavar="DAY", help="Last day that is seen.")
@click.option("--link", default=None, help="One of several links of the plan; default: the first.")
def monitor(experiment: str, folder: str, as_of: str, link: str | None) -> None:
    """Look at a running EXPERIMENT: its split, guardrails, how many of the planned; effects only if planned so."""
    from cpi_experiments.catalog.resolve import read_date  # noqa: PLC0415
    from cpi_experiments.study.study import Study  # noqa: PLC0415

    with Study.open(folder) as study:
        found = study.monitor(experiment, as_of=read_date(as_of), link=link)
    click.echo(str(found))
    sys.exit(BLOCKED if found.integrity.blocks else 0)


@app.command()
@click.argument("experiment")
@FOLDER
@click.option("--as-of", default=None, metavar="DAY", help="Last day that is seen.")
def analyze(experiment: str, folder: str, as_of: str | None) -> None:
    """Analyse EXPERIMENT: integrity first, then every link that it tests; all of it is recorded.

    While customers are still measured, effects stay hidden: only integrity and how many of the planned are in.
    """
    from cpi_experiments.catalog.resolve import read_date  # noqa: PLC0415
    from cpi_experiments.study.study import Study  # noqa: PLC0415

    with Study.open(folder) as study:
        last = read_date(as_of) if as_of else None
        checks = study.integrity(experiment, as_of=last)
        found = study.analyze(experiment, as_of=last)
    click.echo("\n\n".join(map(str, (checks, *found))))
    sys.exit(BLOCKED if any(evidence.blocked for evidence in found) else 0)
