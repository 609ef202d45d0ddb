"""Worlds with known truth, and how often the judge and its methods say what is true: ``calibration.run()``."""

from cpi_experiments.calibration.harness import run
from cpi_experiments.calibration.result import Calibration

__all__ = ["Calibration", "run"]
