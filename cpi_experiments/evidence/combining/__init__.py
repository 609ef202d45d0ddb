"""Experiments of one link, put together: how much the KPI gains per step of the CPI, and what a scatter would say."""
