"""The command line: numbers to stdout, progress to stderr; nothing heavy is imported before a command needs it."""

from cpi_experiments.cli import calibrate, deciding, demo, files, project, trials
from cpi_experiments.cli.app import app, main

__all__ = ["app", "calibrate", "deciding", "demo", "files", "main", "project", "trials"]
