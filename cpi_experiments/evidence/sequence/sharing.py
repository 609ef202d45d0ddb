"""Experiments of one link that share customers: which belong together, and the ways to choose among them.

A group counts when its last experiment is in: until then the first ones are evidence on which the noise of the others
depends, and no average of processes that are read in between would keep its promise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError, EstimationError, kind_of, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from cpi_experiments.stats.combining.effects import Effects


def partners(names: Sequence[str], sources: Sequence[Mapping[str, Collection[str]]]) -> list[set[int]]:
    """Find the positions of the experiments with which each shares customers, told by either side.

    Raises
    ------
    DataError
        If an experiment is not known.
    EstimationError
        If those that share customers are neither a name nor a list of names.

    Examples
    --------
    >>> partners(["a", "b", "c"], [{"c": ["a"]}])
    [{2}, set(), {0}]
    """
    at = {name: i for i, name in enumerate(names)}
    found: list[set[int]] = [set() for _ in names]
    for source in sources:
        for name, others in source.items():
            if not isinstance(others, Iterable):
                raise EstimationError(
                    f"overlaps of {name!r} is {kind_of(others)}", advice='Give a dict such as {"E2": ["E1"]}.'
                )
            for other in [others] if isinstance(others, str) else others:
                unknown = next((each for each in (name, other) if each not in at), None)
                if unknown is not None:
                    raise DataError(f"overlaps with unknown experiment {unknown!r}", advice=nearest(unknown, names))
                found[at[name]].add(at[other])
                found[at[other]].add(at[name])
    return found


def groups_of(partners: Sequence[set[int]], counts: Sequence[bool]) -> list[list[int]]:
    """Join those experiments that count and share customers, each group sorted, in order of their last members.

    Examples
    --------
    >>> groups_of([{2}, set(), {0}, set()], [True, True, True, False])
    [[1], [0, 2]]
    """
    left, groups = {i for i, each in enumerate(counts) if each}, []
    while left:
        group, reached = set(), {min(left)}
        while reached:
            group |= reached
            reached = (set().union(*(partners[i] for i in reached)) & left) - group
        left -= group
        groups.append(sorted(group))
    return sorted(groups, key=lambda group: group[-1])


def streams_of(effects: Effects, groups: Sequence[Sequence[int]]) -> Effects:
    """Make arrays (streams, groups): each stream takes one experiment of every group, so that all are disjoint."""
    many = max(map(len, groups))
    index = np.array([[group[j % len(group)] for group in groups] for j in range(many)])
    return type(effects)(**{name: getattr(effects, name)[index] for name in effects.__dataclass_fields__})
