"""The plan of an experiment for a link: its sizes, their power, and what stands against it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.display import Displayed, Row, percent
from cpi_experiments.errors import DesignError
from cpi_experiments.stats.instruments.fieller import hull
from cpi_experiments.stats.judging.exaggeration import Exaggeration, exaggeration
from cpi_experiments.stats.planning.planned_judging import PlannedTrial, expected_set, smallest_effect, verdict_power

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: A link is planned to be confirmed if it is this many times its smallest effect worth acting on.
MULTIPLE = 1.5
#: A first stage below this F leaves the size of a link vague.
STRONG_F = 20.0
#: Customers of every weekday.
WEEK = 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDesign(Displayed):
    """Sizes of a two-arm experiment for one link.

    Parameters
    ----------
    link, lever : str
    sesoi, planned_move : float
        Smallest effect worth acting on (KPI units per increment); expected move of the CPI in increments.
    power : float
    n_lift : int
        Customers in both arms together that show a KPI lift of 1.5 SESOI x planned move by a two-sided 5 % test.
    n_slope : int
        Customers with whom the 95 % Anderson-Rubin set excludes slopes one SESOI off a true 1.5 SESOI.
    n_confirm, n_refute : int
        Customers, of each experiment if there are several, with whom the judging rule confirms an effect of 1.5 SESOI,
        or refutes a link without effect as immaterial; by simulation.
    n_confirm_formula, n_refute_formula : int
        The same by the closed form, which takes the move of the CPI as known.
    days_confirm, days_refute : float
        At ``per_day`` customers, all experiments together; at least seven days, plus the KPI's window; NaN without
        traffic.
    f_confirm, f_refute : float
        Expected first-stage F at these sizes; infinite if the move was taken as known.
    mde : float
        Smallest KPI lift seen with that power at ``n_confirm`` customers, in KPI units.
    trial : PlannedTrial
        What is simulated.
    cluster_size : float
        Customers of a randomised unit.
    per_day, window_days : float
    population : int or None
    """

    link: str
    lever: str
    sesoi: float
    planned_move: float
    power: float
    n_lift: int
    n_slope: int
    n_confirm: int
    n_refute: int
    n_confirm_formula: int
    n_refute_formula: int
    days_confirm: float
    days_refute: float
    f_confirm: float
    f_refute: float
    mde: float
    trial: PlannedTrial
    cluster_size: float
    per_day: float
    window_days: float
    population: int | None

    def power_to_confirm(self, n: float, *, effect: float | None = None) -> float:
        """Chance that the judge confirms the link.

        Parameters
        ----------
        n : float
            Customers in both arms of each experiment.
        effect : float, optional
            True effect, KPI units per increment in the expected direction; 1.5 SESOI by default.
        """
        true = MULTIPLE * self.sesoi if effect is None else effect
        return verdict_power(self.trial, self._units(n), effect=true)[0]

    def power_to_refute(self, n: float, *, effect: float = 0.0) -> float:
        """Chance that the judge refutes the link as immaterial, or, if the true effect is negative, as harmful."""
        _, immaterial, harmful = verdict_power(self.trial, self._units(n), effect=effect)
        return immaterial + (harmful if effect < 0 else 0.0)

    def smallest_link(self, n: float, *, power: float | None = None) -> float:
        """Smallest true effect per increment that n customers confirm with the power; infinite if none is.

        With a weak first stage no effect is large enough, because its size stays vague.
        """
        units, target = self._units(n), self.power if power is None else power
        return smallest_effect(lambda e: verdict_power(self.trial, units, effect=e)[0], target, unit=self.sesoi)

    def half_width(self, n: float, *, effect: float | None = None) -> float:
        """Half-width of the expected 95 % Anderson-Rubin set of one experiment; infinite where it has no end."""
        true = MULTIPLE * self.sesoi if effect is None else effect
        low, high = hull(expected_set(self.trial, self._units(n), effect=true))
        return (high - low) / 2

    def expected_f(self, n: float) -> float:
        """Compute the expected first-stage F of an experiment with n customers."""
        return self.trial.expected_f(self._units(n))

    def exaggeration(self, n: float, *, effect: float | None = None) -> Exaggeration:
        """Type M and type S error of the two-sided 5 % test of the KPI lift, all experiments together.

        Parameters
        ----------
        n : float
            Customers in both arms of each experiment.
        effect : float, optional
            True effect, KPI units per increment; one SESOI by default.
        """
        true = self.sesoi if effect is None else effect
        variance = self.trial.covariance(self._units(n))[2] / self.trial.experiments
        return exaggeration(true * self.planned_move, math.sqrt(variance))

    def days(self, n: float) -> float:
        """Days until n customers per experiment have entered and their KPI is known."""
        return days_for(n * self.trial.experiments, per_day=self.per_day, window_days=self.window_days)

    def customers_by(self, days: float) -> float:
        """Count the customers per experiment whose KPI is known after some days: the inverse of `days`."""
        return max(days - self.window_days, 0.0) * self.per_day / self.trial.experiments

    def plot(self) -> Figure:
        """Draw the power to confirm and to refute against the number of customers."""
        from cpi_experiments.figures.link_curve import Curve, power_figure  # noqa: PLC0415 - loads matplotlib

        ends = sorted((self.n_confirm, self.n_refute))
        sizes = [ends[0] * 0.15 * (ends[1] * 1.6 / ends[0] / 0.15) ** (i / 30) for i in range(31)]
        sizes = sorted({*(max(size, 2.0 * self.trial.fewest * self.cluster_size) for size in sizes), *map(float, ends)})
        curves = [
            Curve(label=f"confirm a link of {MULTIPLE:g} x the smallest effect", x=tuple(sizes),
                  y=tuple(map(self.power_to_confirm, sizes)), planned=float(self.n_confirm)),
            Curve(label="refute a link without effect", x=tuple(sizes),
                  y=tuple(map(self.power_to_refute, sizes)), planned=float(self.n_refute)),
        ]  # fmt: skip
        each = " in each experiment" if self.trial.experiments > 1 else ""
        return power_figure(curves, title=f"{self.link}: power of the verdict", x_label=f"Customers{each}",
                            target=self.power)  # fmt: skip

    @property
    def notes(self) -> tuple[str, ...]:
        """What stands against the plan, one sentence each."""
        needed = self.n_refute * self.trial.experiments
        arm = self.n_confirm / self.cluster_size / (1 + max(self.trial.ratio, 1 / self.trial.ratio))
        enrolled = min(self.n_confirm, self.n_refute) * self.trial.experiments / self.per_day
        weakest = min(self.f_confirm, self.f_refute)
        vague = (
            f"The first stage is weak: expected F {weakest:.1f}, below {STRONG_F:g}. How much an increment is worth "
            "stays vague; look for a lever that moves the CPI more."
        )
        checks = (
            (
                self.trial.sd_cpi == 0,
                "The move of the CPI is taken as known: give cpi_sd and correlation to plan with a measured one.",
            ),
            (weakest < STRONG_F, vague),
            (
                self.population is not None and needed > self.population,
                f"Refuting is not feasible: {needed:,} customers are needed and {self.population or 0:,} exist.",
            ),
            (
                self.trial.clustered and arm < 10,
                f"{arm:.0f} clusters in the smaller arm: ten are needed for a variance that can be trusted.",
            ),
            (
                enrolled < WEEK,
                f"Customers enter within {enrolled:.1f} days: let it run for seven, a full weekly cycle.",
            ),
        )
        return tuple(text for holds, text in checks if holds)

    def _units(self, n: float) -> float:
        units = n / self.cluster_size
        if not units >= self.trial.fewest:
            what = "clusters" if self.trial.clustered else "customers"
            raise DesignError(
                f"{units:g} {what} are too few for a verdict", advice=f"It needs {self.trial.fewest} at least."
            )
        return units

    def _title(self) -> str:
        days = "" if math.isnan(self.days_confirm) else f" ({self.days_confirm:.0f} and {self.days_refute:.0f} days)"
        each = f" in each of {self.trial.experiments} experiments" if self.trial.experiments > 1 else ""
        steps = f"{self.planned_move:g} increment{'' if self.planned_move == 1 else 's'}"
        head = (
            f"{self.link} by {self.lever}: {self.n_confirm:,} customers to confirm, {self.n_refute:,} to refute"
            f"{each}{days}, if the lever moves the CPI by {steps}."
        )
        return "\n".join((head, *self.notes, self._curse()))

    def _curse(self) -> str:
        """Say what a significant estimate of the plan would make of a true effect of one SESOI."""
        found = self.exaggeration(self.n_confirm)
        wrong = percent(found.type_s, 1) if found.type_s >= 0.001 else "less than 0.1%"
        return (
            "Were the true effect just the SESOI, a significant estimate of this design would exaggerate it "
            f"{found.type_m:.1f} times and have the wrong sign in {wrong}."
        )

    def _rows(self) -> list[Row]:
        effect = MULTIPLE * self.sesoi
        together = self.trial.experiments
        goals = (
            ("lift", effect, self.n_lift, None, 1),
            ("slope", effect, self.n_slope, None, 1),
            ("confirm", effect, self.n_confirm, self.n_confirm_formula, together),
            ("refute", 0.0, self.n_refute, self.n_refute_formula, together),
        )
        return [
            {
                "goal": goal,
                "true_effect": true,
                "n": n,
                "n_formula": formula,
                "experiments": count,
                "days": days_for(n * count, per_day=self.per_day, window_days=self.window_days),
                "expected_f": self.expected_f(n),
                "power": self.power,
            }
            for goal, true, n, formula, count in goals
        ]


def days_for(n: float, *, per_day: float, window_days: float) -> float:
    """Days for n customers, a week at least; NaN without traffic."""
    return math.nan if math.isnan(per_day) else max(n / per_day, WEEK) + window_days
