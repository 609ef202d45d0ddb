"""The cases: what is run against what, on which data, and which ratio is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

#: Rows at which a few figures are stated besides those at the case's own rows.
SMALL = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One ratio or amount, and what it must and may be.

    Parameters
    ----------
    words : str
    measure : {"wall", "cpu", "peak"}
    over, under : str
        Works whose measures are divided; without ``under`` the measure itself (seconds or megabytes).
    must, aim : float
        Largest allowed, or smallest where ``faster``.
    faster : bool
        Whether more is better (a rival's time over ours).
    small : (float, float), optional
        Must and aim at a million rows, where they are stated.
    """

    words: str
    measure: str
    over: str
    under: str = ""
    must: float
    aim: float
    faster: bool = False
    small: tuple[float, float] | None = None

    def wanted(self, rows: int, stated: int) -> tuple[float, float] | None:
        """Must and aim at these rows; None where none are stated, as start-up weighs more in fewer rows."""
        if rows >= stated:
            return self.must, self.aim
        return self.small if rows == SMALL else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case of the table.

    Parameters
    ----------
    title : str
    data : tuple of str
        Tables of `tables.WRITERS`.
    works : tuple of str
        What is run in turn; the first is the product's.
    figures : tuple of Figure
    expected : str
        Function of `expected` that finds the same numbers by numpy.
    agree : mapping of work to tolerances
        Works whose numbers have to agree with the product's, by kind of number.
    needs : mapping of work to module
        What has to be installed for a work; without it the work is left out and said so.
    rows : int
        Rows that the figures are stated for.
    """

    title: str
    data: tuple[str, ...]
    works: tuple[str, ...]
    figures: tuple[Figure, ...]
    expected: str
    agree: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    rows: int = 10_000_000


#: Against numpy, by kind of number: small effects lose digits to the difference of means.
TO_NUMPY = {"effect": 1e-8, "se": 1e-8, "p": 1e-8, "total": 1e-9, "count": 0.0}
_TEA, _LM, _PF, _SM = "rivals.tea_tasting", "rivals.linearmodels", "rivals.pyfixest", "rivals.statsmodels"


def _scan(work: str, scan: str, must: float, aim: float, *, words: str = "bare scan") -> Figure:
    return Figure(words=words, measure="wall", over=work, under=scan, must=must, aim=aim)


def _rival(words: str, measure: str, rival: str, work: str, must: float, aim: float) -> Figure:
    return Figure(words=words, measure=measure, over=rival, under=work, must=must, aim=aim, faster=True)


CASES: dict[int, Case] = {
    1: Case(
        title="8 metrics, 5 with CUPED, 2 ratios, sample ratio",
        data=("trial",),
        works=("doors.compare", "scans.trial"),
        figures=(_scan("doors.compare", "scans.trial", 2.4, 1.6),),
        expected="compare",
        agree={"scans.trial": {"total": 1e-9}},
    ),
    2: Case(
        title="the same against tea-tasting on DuckDB",
        data=("trial",),
        works=("doors.compare", _TEA),
        figures=(replace(_rival("tea-tasting", "wall", _TEA, "doors.compare", 3.5, 5), small=(6, 7)),),
        expected="compare",
        agree={_TEA: {"effect": 1e-6, "se": 1e-3, "p": 0.05}},  # its sample ratio is an exact binomial test
        needs={_TEA: "tea_tasting"},
    ),
    3: Case(
        title="8 segments × 26 weeks in the same scan",
        data=("trial",),
        works=("doors.compare_by_segment_and_week", "doors.compare"),
        figures=(_scan("doors.compare_by_segment_and_week", "doors.compare", 1.4, 1.25, words="case 1"),),
        expected="compare_by_segment_and_week",
        agree={"doors.compare": {"effect": 1e-9, "se": 1e-9, "total": 1e-12}},
    ),
    4: Case(
        title="2SLS with Anderson-Rubin set, a cluster per 100 rows",
        data=("trial",),
        works=("doors.link", "scans.link", _LM),
        figures=(
            _scan("doors.link", "scans.link", 2.6, 1.8),
            _rival("linearmodels", "wall", _LM, "doors.link", 50, 75),
            _rival("its memory", "peak", _LM, "doors.link", 40, 45),
        ),
        expected="link",
        agree={_LM: {"effect": 1e-8, "se": 0.02}},
        needs={_LM: "linearmodels"},
    ),
    5: Case(
        title="6 KPIs × 2 CPIs in one pass",
        data=("trial",),
        works=("doors.links", "doors.link"),
        figures=(_scan("doors.links", "doors.link", 1.8, 1.5, words="one pair"),),
        expected="links",
        agree={"doors.link": {"effect": 1e-9, "se": 1e-9}},
    ),
    6: Case(
        title="two-way fixed effects, unbalanced, clustered",
        data=("panel",),
        works=("doors.panel", "scans.panel", _PF),
        figures=(
            _scan("doors.panel", "scans.panel", 10, 5),
            _rival("pyfixest", "wall", _PF, "doors.panel", 5, 10),
            _rival("its memory", "peak", _PF, "doors.panel", 15, 18),
        ),
        expected="panel",
        agree={_PF: {"effect": 1e-8, "se": 1e-6}},
        needs={_PF: "pyfixest"},
    ),
    7: Case(
        title="screen of 7,200 cells (CPI × lag × KPI × segment)",
        data=("screen",),
        works=("doors.screen", "scans.screen", _SM),
        figures=(
            _scan("doors.screen", "scans.screen", 2.0, 1.5),
            _rival("statsmodels (cpu, from 24 fits)", "cpu", _SM, "doors.screen", 35, 60),
        ),
        expected="screen",
        agree={_SM: {"effect": 1e-8, "se": 1e-8}},
        needs={_SM: "statsmodels"},
        rows=1_000_000,
    ),
    8: Case(
        title="memory at the most rows: units, and a cluster per 100 rows",
        data=("trial",),
        works=("doors.compare", "doors.link", "scans.trial"),
        figures=(
            Figure(words="MB, units", measure="peak", over="doors.compare", must=200, aim=160),
            Figure(words="MB, clusters", measure="peak", over="doors.link", must=400, aim=300),
            _scan("doors.compare", "scans.trial", 1.8, 1.4),
        ),
        expected="compare",
        agree={"scans.trial": {"total": 1e-9}},
        rows=100_000_000,
    ),
    9: Case(
        title="another metric, adjustment or segment on saved moments",
        data=("trial",),
        works=("doors.saved",),
        figures=(
            Figure(words="s, slowest", measure="wall", over="doors.saved", must=0.1, aim=0.02, small=(0.1, 0.02)),
        ),
        expected="saved",
    ),
    10: Case(
        title="a new week of data (1 of 26 files)",
        data=("weeks",),
        works=("doors.new_week", "scans.new_week", "doors.new_week_alone"),
        figures=(
            _scan("doors.new_week", "scans.new_week", 1.5, 1.1, words="bare scan of the new file"),
            _scan("doors.new_week", "doors.new_week_alone", 1.5, 1.1, words="the new file alone"),
        ),
        expected="new_week",
    ),
}
#: Too long to be run unless asked for.
LONG = (8,)
