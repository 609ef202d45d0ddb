"""Stratified assignment: arms in their planned shares within every stratum, whatever the order of the rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.randomized.arms import names_of
from cpi_experiments.randomized.assigning.assignment import Assignment, constant_of, kept_units, roster
from cpi_experiments.randomized.assigning.hashing import ids_of, order_by_hash, uniform_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.randomized.assigning.holdout import Holdout
    from cpi_experiments.randomized.experiment import Experiment

Array = np.ndarray
#: Name of the method.
STRATIFIED = "stratified"


def assign_stratified(
    experiment: Experiment,
    data: Data,
    *,
    unit: str,
    strata: str | Sequence[str],
    holdout: Holdout | None = None,
    salt: str | None = None,
) -> Assignment:
    """Assign all units at once, so that every stratum is split as planned.

    Within a stratum units are put in order of their hash and dealt to the arms; how many each arm gets is the planned
    number, rounded up or down so that the totals over strata stay within one of the plan (two arms; within two for
    three or four). Every unit's chance of an arm is exactly the arm's share. Strata of one unit are allowed.

    The arm of a unit depends on which other units there are: assign once, and keep the list (`write_assignment`). For
    clusters give a table with one row a cluster, then `members`.

    Parameters
    ----------
    experiment : Experiment
    data : DataFrame, path, relation, Spark DataFrame or warehouse table
    unit : str
        Column of the ids; a unit may have several rows of one stratum.
    strata : str or sequence of str
        Columns known before the start; every combination of their values is a stratum.
    holdout : Holdout, optional
        Its units are left out before the dealing.
    salt : str, optional
        The experiment's id by default.

    Raises
    ------
    DataError
        If an id or a stratum is missing, or a unit is in two strata.

    References
    ----------
    Zelen (1974), J. Chronic Diseases 27 (permuted blocks); Cox (1987), JASA 82 (unbiased controlled rounding).

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.randomized.experiment import Experiment
    >>> trial = Experiment(id="demo", lever="auto_quote", control="manual", allocation={"manual": 1, "auto": 1},
    ...                    hypotheses=(), randomize="customer_id", start="2026-01-01", end="2026-03-31")
    >>> table = pd.DataFrame({"customer_id": range(10), "region": list("nnnnssssss")})
    >>> found = assign_stratified(trial, table, unit="customer_id", strata="region")
    >>> found.counts()
    {'manual': 5, 'auto': 5}
    """
    salt = experiment.id if salt is None else salt
    ids, columns = roster(data, unit=unit, columns=names_of(strata))
    of_unit = strata_of(ids, columns)
    kept, held = kept_units(of_unit, holdout=holdout, salt=salt)
    return Assignment(
        experiment=experiment.id,
        salt=salt,
        arms=deal(kept, [of_unit[unit] for unit in kept], experiment.allocation, salt=salt),
        allocation=dict(experiment.allocation),
        method=STRATIFIED,
        strata={unit: of_unit[unit] for unit in kept},
        held_out=held,
    )


def strata_of(ids: Sequence[str], columns: Mapping[str, Iterable[object]]) -> dict[str, str]:
    """Return the stratum of every unit; without columns all are in one, named by the empty text.

    Parameters
    ----------
    ids : sequence of str, shape (n,)
    columns : mapping of name to values, shape (n,)

    Raises
    ------
    DataError
        If a value is missing or no label, or a unit is in two strata.

    Examples
    --------
    >>> strata_of(["7", "8"], {"region": ["n", "s"], "age": [1, 2]})
    {'7': '["n","1"]', '8': '["s","2"]'}
    """
    texts = [_labels(name, values) for name, values in columns.items()]
    if not texts:
        return dict.fromkeys(ids, "")
    if len(texts) == 1:
        return constant_of(ids, texts[0], what="stratum")
    joint = [json.dumps(parts, ensure_ascii=False, separators=(",", ":")) for parts in zip(*texts, strict=True)]
    return constant_of(ids, joint, what="stratum")


def _labels(name: str, values: Iterable[object]) -> list[str]:
    try:
        return ids_of(values, what="row")
    except DataError as error:
        raise DataError(
            f"{error.found.replace('no id', 'no value').replace('an id', 'the name of a stratum')}",
            where=f"stratum {name!r}",
            advice="Fill missing values with a word such as 'unknown', and group real numbers into classes.",
        ) from None


def deal(units: Sequence[str], strata: Sequence[str], allocation: Mapping[str, float], *, salt: str) -> dict[str, str]:
    """Deal arms to units within strata.

    Parameters
    ----------
    units : sequence of str, shape (n,)
        Distinct.
    strata : sequence of str, shape (n,)
    allocation : mapping of arm to weight
    salt : str

    Returns
    -------
    dict of unit to arm, in the order of `units`

    Examples
    --------
    >>> deal(["a", "b", "c", "d"], ["x", "x", "y", "y"], {"manual": 1, "auto": 1}, salt="demo")
    {'a': 'manual', 'b': 'auto', 'c': 'manual', 'd': 'auto'}
    """
    labels = sorted(set(strata))
    labels = [labels[j] for j in order_by_hash(labels, salt=f"{salt}:strata")]
    rank = {label: j for j, label in enumerate(labels)}
    stratum = np.array([rank[label] for label in strata])
    by_text = sorted(range(len(units)), key=units.__getitem__)  # equal hashes, should they ever occur
    shuffled = np.array(by_text)[order_by_hash([units[j] for j in by_text], salt=salt)]
    order = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    seats = _seats(np.bincount(stratum), list(allocation.values()), salt=salt)
    codes = np.empty(len(units), dtype=np.intp)
    codes[order] = np.repeat(np.tile(np.arange(len(allocation)), len(labels)), seats.ravel())
    arms = list(allocation)
    return dict(zip(units, (arms[code] for code in codes), strict=True))


def _seats(sizes: Array, weights: Sequence[float], *, salt: str) -> Array:
    """Split the units of every stratum: halve the arms again and again, rounding the running total each time.

    With m units so far, and a share p for the first half, the first half has floor(m p + u) of them, u uniform: every
    stratum gets its planned number rounded up or down, with the chances that keep the plan, and so does the total.
    """
    if len(weights) == 1:
        return sizes[:, None]
    half = len(weights) // 2
    share = sum(weights[:half]) / sum(weights)
    start = uniform_hash(json.dumps([float(weight) for weight in weights]), salt=f"{salt}:start")
    running = np.floor(np.concatenate([[0], np.cumsum(sizes)]) * share + start).astype(np.intp)
    first = np.diff(running)
    return np.hstack(
        [_seats(first, weights[:half], salt=f"{salt}<"), _seats(sizes - first, weights[half:], salt=f"{salt}>")]
    )
