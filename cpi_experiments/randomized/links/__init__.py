"""KPI per step of a CPI: one arm or many, one CPI or several, and what would undo it."""
