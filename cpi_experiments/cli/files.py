"""Commands on one file of a trial; no project is needed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from cpi_experiments.cli.app import BLOCKED, app
from cpi_experiments.errors import DesignError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cpi_experiments.randomized.effects.outcomes import AnyOutcome
    from cpi_experiments.randomized.links.arms_link import ArmsLink
    from cpi_experiments.randomized.links.link import LinkEffect, LinkEffects
    from cpi_experiments.stats.moments import Moments


def _of_a_trial(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every command on a trial asks for: the file, the arm, the control, the randomised group."""
    for option in (
        click.option("--cluster", default=None, help="Column of the randomised group."),
        click.option("--control", required=True, help="Label of the control arm."),
        click.option("--arm", required=True, help="Column of the arm."),
        click.argument("data"),
    ):
        command = option(command)
    return command


_COVARIATES = click.option("--covariate", "covariates", multiple=True, help="Column measured before; may be repeated.")
_STRATA = click.option("--strata", multiple=True, help="Column within which arms are compared; may be repeated.")
_LEVEL = click.option("--confidence-level", default=0.95, show_default=True)
_ALLOCATION = click.option(
    "--allocation", multiple=True, metavar="ARM=WEIGHT", help="Intended share of every arm; default: equal."
)


@app.command()
@_of_a_trial
@click.option("--cpi", required=True, help="Column of the CPI.")
@click.option("--kpi", required=True, multiple=True, help="Column of the KPI; may be repeated.")
@click.option("--increment", default=1.0, show_default=True, help="Raw CPI units per step; negative: lower is better.")
@click.option("--also-moved", multiple=True, help="Column of another CPI that the lever may have moved.")
@click.option("--adjustment", type=click.Choice(["cuped", "regression"]), default="cuped", show_default=True)
@_COVARIATES
@_STRATA
@_ALLOCATION
@_LEVEL
def link(data: str, kpi: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401 - the options of the door, as named
    """Estimate the KPI effect per increment of the CPI from one file or saved moments; exit 3 if it is blocked."""
    from cpi_experiments.randomized.links.link_effect import link_effect  # noqa: PLC0415

    found = link_effect(_data(data), kpi=list(kpi) if len(kpi) > 1 else kpi[0], **_read(options))
    click.echo(str(found))
    sys.exit(BLOCKED if any(each.integrity.blocks for each in _each(found)) else 0)


@app.command()
@_of_a_trial
@click.option("--cpi", required=True, help="Column of the CPI.")
@click.option("--kpi", required=True, help="Column of the KPI.")
@click.option("--increment", default=1.0, show_default=True, help="Raw CPI units per step; negative: lower is better.")
@click.option("--unit", default=None, help="Column of the unit; those in several arms are left out.")
@click.option("--negative-control", "negative_controls", multiple=True, help="Outcome that must not move.")
@click.option("--resample", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
@click.option("--seed", default=0, show_default=True)
@_COVARIATES
@_STRATA
@_ALLOCATION
@_LEVEL
def audit(data: str, **options: Any) -> None:  # noqa: ANN401 - the options of the door, as named
    """Look for what would undo a link: a direct path, customers moved the other way, outcomes that must not move."""
    from cpi_experiments.randomized.links.audit_link import audit_link  # noqa: PLC0415

    click.echo(str(audit_link(data, **_read(options))))


@app.command()
@_of_a_trial
@click.option("--outcome", "outcomes", multiple=True, help="Column; may be repeated.")
@click.option("--ratio", "ratios", multiple=True, metavar="TOP/BASE", help="Ratio of two columns.")
@click.option("--quantile", "quantiles", multiple=True, metavar="COLUMN@SHARE", help="Such as hours@0.9.")
@click.option("--rank", "ranks", multiple=True, metavar="COLUMN", help="Chance of a higher value.")
@click.option("--cap", "caps", multiple=True, metavar="COLUMN=CAP", help="Larger values count as it: 500, or p99.")
@click.option("--adjustment", type=click.Choice(["cuped", "lin"]), default="cuped", show_default=True)
@click.option(
    "--inference",
    type=click.Choice(["formula", "bootstrap", "permutation", "wild"]),
    default="formula",
    show_default=True,
)
@click.option("--seed", default=0, show_default=True)
@click.option("--margin", type=float, default=None, help="Non-inferiority: how much worse is still good enough.")
@click.option("--equivalence", type=float, default=None, help="Equivalence: how large a difference does not matter.")
@click.option("--better", type=click.Choice(["higher", "lower"]), default="higher", show_default=True)
@click.option(
    "--correction", type=click.Choice(["none", "bonferroni", "holm", "bh", "by"]), default="none", show_default=True
)
@click.option("--by", multiple=True, help="Column of a segment: the effect in each, and whether they differ.")
@click.option("--alternative", type=click.Choice(["two-sided", "greater", "less"]), default="two-sided")
@click.option("--unit", default=None, help="Column of the unit, to find those in several arms.")
@_COVARIATES
@_STRATA
@_ALLOCATION
@_LEVEL
def compare(data: str, **options: Any) -> None:  # noqa: ANN401 - the options of the door, as named
    """Compare the arms of a trial in one file, or in its saved moments; exit 3 if the sample ratio blocks it."""
    from cpi_experiments.randomized.effects.compare import compare as compare_arms  # noqa: PLC0415

    outcomes = _outcomes(options)
    found = compare_arms(_data(data), outcomes=outcomes, **_read(options))
    click.echo(str(found))
    sys.exit(BLOCKED if found.blocked else 0)


@app.command()
@_of_a_trial
@click.option("--unit", default=None, help="Column of the unit.")
@click.option("--outcome", "outcomes", multiple=True, help="Column whose missing values are compared.")
@click.option("--pre", multiple=True, help="Outcome of the time before, which must not differ.")
@click.option("--day", default=None, help="Column of the day.")
@click.option("--segment", "segments", multiple=True, help="Column; the split is looked at in each of its groups.")
@click.option("--received", default=None, help="Column of the arm that was received.")
@click.option("--exposed", default=None, help="Column that says who saw anything.")
@_COVARIATES
@_ALLOCATION
def integrity(data: str, **options: Any) -> None:  # noqa: ANN401 - the options of the door, as named
    """Check a trial before its results are looked at; exit 3 if no verdict may be given."""
    from cpi_experiments.randomized.integrity.check_trial import check_trial  # noqa: PLC0415

    found = check_trial(data, **{name: value for name, value in _read(options).items() if value not in (None, [])})
    click.echo(str(found))
    sys.exit(BLOCKED if found.blocks else 0)


@app.command()
@click.argument("data")
@click.option("--outcome", required=True, help="Column of the KPI.")
@click.option("--cluster", default=None, help="Column of the randomised group.")
@click.option("--n", type=int, default=None, help="Customers of both arms; default: all rows.")
@click.option("--ladder", is_flag=True, help="Try many sizes: at which is the test safe?")
@click.option("--share", default=0.5, show_default=True, help="Share of the treatment.")
@click.option("--reps", default=2000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@_COVARIATES
def aa(data: str, *, n: int | None, ladder: bool, **options: Any) -> None:  # noqa: ANN401 - the options of the door
    """Split your own customers at random again and again, and count how often nothing is called an effect."""
    from cpi_experiments.randomized.integrity.aa import aa as try_splits  # noqa: PLC0415

    if ladder and n is not None:
        raise DesignError("--n and --ladder were both given", advice="The ladder tries its own sizes: leave one out.")
    click.echo(str(try_splits(data, n="ladder" if ladder else n, **options)))


def _each(found: LinkEffect | ArmsLink | LinkEffects) -> Iterable[LinkEffect | ArmsLink]:
    from cpi_experiments.randomized.links.link import LinkEffects  # noqa: PLC0415

    return found if isinstance(found, LinkEffects) else (found,)


def _outcomes(options: dict[str, Any]) -> list[AnyOutcome]:
    """Take the outcomes out of the options."""
    from cpi_experiments.randomized.effects.outcomes import Mean, Ratio  # noqa: PLC0415
    from cpi_experiments.randomized.effects.row_outcomes import Quantile, Rank  # noqa: PLC0415

    caps = {name: _cap(cap) for name, cap in (_split(text, "=") for text in options.pop("caps"))}
    means = list(dict.fromkeys(options.pop("outcomes")))
    other = [name for name in caps if name not in means]
    if other:
        raise DesignError(
            f"--cap {other[0]} is for a column that is no outcome", advice=f"Add --outcome {other[0]}, or leave it out."
        )
    found: list[AnyOutcome] = [Mean(name, cap=caps.get(name)) for name in means]
    found += [Ratio(*_split(text, "/")) for text in options.pop("ratios")]
    for text in options.pop("quantiles"):
        column, share = _split(text, "@")
        found.append(Quantile(column, _number(share, text)))
    found += [Rank(name) for name in options.pop("ranks")]
    if not found:
        raise DesignError("no outcome is named", advice="Give --outcome, --ratio, --quantile or --rank.")
    return found


def _read(options: dict[str, Any]) -> dict[str, Any]:
    """Turn the pairs of an allocation into a mapping, and repeated options into lists."""
    given = options.pop("allocation")
    pairs = [_split(text, "=") for text in given]
    read = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    allocation = {arm: _number(weight, arm) for arm, weight in pairs} or None
    return {**read, "allocation": allocation}


def _split(text: str, mark: str) -> tuple[str, str]:
    left, found, right = text.rpartition(mark)
    if not (left and found and right):
        raise DesignError(f"{text!r} has no {mark!r} between two parts", advice=f"Write it like left{mark}right.")
    return left, right


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise DesignError(f"{text!r} is not a number", where=where) from error


def _cap(text: str) -> float | str:
    if text.startswith("p"):
        return text
    try:
        return float(text)
    except ValueError as error:
        raise DesignError(
            f"cap {text!r} is neither a number nor a percentile",
            where="--cap",
            advice="Such as 500, or p99 for the 99th percentile of all arms together.",
        ) from error


def _data(name: str) -> str | Moments:
    """Return saved moments, or the name of a file of rows."""
    if not name.endswith(".npz"):
        return name
    from cpi_experiments.measure.moments.store import load_moments  # noqa: PLC0415

    return load_moments(name)
