"""Engines: where tables are and SQL runs."""
