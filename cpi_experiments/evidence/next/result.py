"""The ranked tests: nouns and how they are told."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

from cpi_experiments.display import (
    WIDTH,
    Displayed,
    Row,
    decimals,
    html_table,
    number,
    one_line,
    text_table,
    wrapped,
)
from cpi_experiments.evidence.next.words import amount, chance, folded


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTest(Displayed):
    """One test that is worth running: its size, its worth, and what each answer would make us do.

    Effects count KPI units per step, oriented so that the claimed sign is +; chances hold if the lever does move the
    CPI.

    Parameters
    ----------
    link, lever : str
    new_lever : bool
        Whether the link was never tested with this lever.
    grade : str
        Of the evidence so far.
    n, weeks : int, float
        Customers of both arms, and weeks until the last window closes; NaN if nobody knows how many enter a day.
    value : float
        Expected gain of deciding after the test instead of now, chance of an inert lever taken into account.
    lever_cost : float
        Money to build the lever first.
    customer_weeks : float
        Customers x weeks.
    rate : float
        Value less the cost of the lever, per week (or per customer and week).
    inert_chance : float
    std_error : float
        Of the test's estimate per step.
    acts_today : bool
        Whether what is known today says to act.
    decide_at, chance_act : float
        Result from which one acts, and its chance.
    confirm_at, chance_confirm, refute_at, chance_refute : float
        Results from which the link would be confirmed, and below which refuted as immaterial (NaN: this size cannot),
        if no other link of the portfolio helps.
    n_confirm, n_refute : int
        Customers of a test that, with the trials so far, confirms an effect of 1.5 SESOI, or refutes a link without
        effect, with power 0.8.
    factor, unit : float, str
        How effects are told.
    adverse : bool
        Whether the claim is of damage.
    confirmed : bool
        Whether the link is confirmed already, so that one acts on it today.
    """

    link: str
    lever: str
    new_lever: bool
    grade: str
    n: int
    weeks: float
    value: float
    lever_cost: float
    customer_weeks: float
    rate: float
    inert_chance: float
    std_error: float
    acts_today: bool
    decide_at: float
    chance_act: float
    confirm_at: float
    chance_confirm: float
    refute_at: float
    chance_refute: float
    n_confirm: int
    n_refute: int
    factor: float = 1.0
    unit: str = ""
    adverse: bool = False
    confirmed: bool = False

    def _title(self) -> str:
        return f"{self._plan()} {self.answers}"

    def _plan(self) -> str:
        new = " (a new lever for it)" if self.new_lever else ""
        weeks = "" if math.isnan(self.weeks) else f" in {number(math.ceil(self.weeks), 0)} weeks"
        return f"{self.link} with {self.lever}{new}: {self.n:,} customers{weeks}."

    @property
    def answers(self) -> str:
        """What each answer would make us do, with the numbers at which it would."""
        digits = decimals(-self.factor * self.std_error, self.factor * self.std_error)

        def told(value: float) -> str:
            return number(self.factor * value, digits, sign=True)

        above, below = ("the damage is real, hold it back", "go on with it") if self.adverse else self._doing()
        refuted = (
            "cannot be refuted by so few"
            if math.isnan(self.refute_at)
            else f"refuted below {told(self.refute_at)} ({chance(self.chance_refute)})"
        )
        words = [
            f"{told(self.decide_at)}{self.unit} per step or more (chance {chance(self.chance_act)}): {above}.",
            f"Less: {below}. Confirmed from {told(self.confirm_at)} ({chance(self.chance_confirm)}), {refuted}.",
            *self._sizes(),
        ]
        if self.lever_cost:
            words.append(f"The lever costs {amount(self.lever_cost)} first.")
        if self.inert_chance >= LIKELY_INERT:
            words.append(f"The lever may not move the CPI at all (chance {chance(self.inert_chance)}).")
        return " ".join(words)

    def _doing(self) -> tuple[str, str]:
        if not self.confirmed:
            return "scale it", "leave it, spend nothing on it"
        return "keep scaling it", "stop spending on it"

    def _sizes(self) -> list[str]:
        """Sizes that would settle the verdict, where this one may not."""
        goals = ((self.n_confirm, "confirm 1.5 times the SESOI"), (self.n_refute, "refute a link without effect"))
        larger = [f"{n:,} to {goal}" for n, goal in goals if n > self.n]
        return [f"Power 0.8 takes {' and '.join(larger)}."] if larger else []

    def _rows(self) -> list[Row]:
        hidden = ("factor", "unit", "adverse")
        row = {name: getattr(self, name) for name in self.__slots__ if name not in hidden}
        return [{**row, "answers": self.answers}]


#: Chances that the lever does nothing are told from here on.
LIKELY_INERT = 0.25
#: What values count where no money is declared.
STEPS = "SESOI steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTests(Displayed):
    """What to test next, best first, and which links need no test now.

    Parameters
    ----------
    tests : tuple of NextTest
        One a link.
    left_out : tuple of (link, why)
    currency : str
        Unit of the values; empty if nobody named it.
    in_money : bool
        Whether values count money; else SESOI-sized steps, because no money is declared.
    scarce : str
        What the rank is per: ``weeks``, or ``customers`` (times weeks; the table counts per 1,000 of them).
    notes : tuple of str
        What was assumed.
    """

    tests: tuple[NextTest, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    currency: str = ""
    in_money: bool = False
    scarce: str = "weeks"
    notes: tuple[str, ...] = ()

    def _title(self) -> str:
        if not self.tests:
            return "No link needs a test that could be run now."
        best = self.tests[0]
        worth = f"{amount(best.value)} {self._counted_in()}"
        return f"Test next {best._plan()} Knowing the answer is worth {worth}."  # noqa: SLF001 - same family

    def _counted_in(self) -> str:
        if not self.in_money:
            return STEPS
        return self.currency or "(in the unit of `value`)"

    def _legend(self) -> str:
        """Say what the last columns count."""
        costs = any(test.lever_cost for test in self.tests)
        less = ", less the cost of the lever," if costs else ""
        per = "week of the test" if self.scarce == "weeks" else "1,000 customers x weeks of the test"
        if self.scarce != "weeks" and all(test.customer_weeks == test.n for test in self.tests):
            per = "1,000 customers of the test"
        name = "a week" if self.scarce == "weeks" else "per 1000"
        unit = self._counted_in().strip("()").removeprefix("in ")
        return f"value: what the answer is worth, in {unit}; {name}: that{less} per {per}."

    def _rows(self) -> list[Row]:
        return [{"rank": i, **row} for i, test in enumerate(self.tests, 1) for row in test._rows()]  # noqa: SLF001 - same family

    def _shown(self) -> list[Row]:
        per, factor = ("a week", 1.0) if self.scarce == "weeks" else ("per 1000", 1000.0)
        return [
            {
                "": str(i),
                "link": one_line(test.link),
                "lever": one_line(test.lever),
                "n": f"{test.n:,}",
                "weeks": "?" if math.isnan(test.weeks) else number(math.ceil(test.weeks), 0),
                "value": amount(test.value),
                "cost": amount(test.lever_cost) if test.lever_cost else "-",
                per: amount(factor * test.rate),
            }
            for i, test in enumerate(self.tests, 1)
        ]

    def __str__(self) -> str:
        rows = folded(self._shown(), ("link", "lever"), width=WIDTH)
        right = [name for name in rows[0] if name not in ("link", "lever")] if rows else []
        parts = ["\n".join(wrapped(self._title(), indent=""))]
        parts += ["\n".join([text_table(rows, right=right), *wrapped(self._legend(), indent="")])] if rows else []
        told = (f"{i}. {test.link}: {test.answers}" for i, test in enumerate(self.tests, 1))
        parts += ["\n".join(line for text in told for line in wrapped(text))] if rows else []
        if self.left_out:
            why = (f"{link}: {reason}" for link, reason in self.left_out)
            parts.append("\n".join(["Not now:", *(line for text in why for line in wrapped(text))]))
        parts += ["\n".join(line for text in self.notes for line in wrapped(text, indent=""))] if self.notes else []
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        answers = "".join(f"<li>{html.escape(test.answers)}</li>" for test in self.tests)
        left = "".join(f"<li>{html.escape(f'{link}: {why}')}</li>" for link, why in self.left_out)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        table = f"{html_table(self._shown())}<p>{html.escape(self._legend())}</p>" if self.tests else ""
        listed = (f"<ol>{answers}</ol>" if answers else "") + (f"<p>Not now:</p><ul>{left}</ul>" if left else "")
        return f"<p>{html.escape(self._title())}</p>{table}{listed}{notes}"
