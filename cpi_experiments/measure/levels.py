"""Today's level of every indicator: its mean over customers in the last period of a panel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cpi_experiments.measure.panel import Panel


def latest_levels(panel: Panel) -> dict[str, float]:
    """Return the mean of every CPI and KPI over customers in the last period, NaN where none was measured.

    Parameters
    ----------
    panel : Panel

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.measure.panel import Panel
    >>> frame = pd.DataFrame({"customer": [1, 2, 1, 2], "month": ["2026-01", "2026-01", "2026-02", "2026-02"],
    ...                       "hours": [9.0, 7.0, 3.0, 5.0], "won": [0.0, 1.0, 1.0, 1.0]})
    >>> latest_levels(Panel.from_frame(frame, unit="customer", time="month", cpis=["hours"], kpis=["won"]))
    {'hours': 4.0, 'won': 1.0}
    """
    last = panel.frame[panel.frame["period"] == panel.frame["period"].max()]
    means = last[[*panel.cpis, *panel.kpis]].mean()
    return {str(name): float(value) if not math.isnan(value) else math.nan for name, value in means.items()}
