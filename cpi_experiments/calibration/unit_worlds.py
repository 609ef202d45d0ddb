"""All worlds of customers, and all tables of methods, in the order in which they are reported."""

from cpi_experiments.calibration import (
    method_decisions,
    method_instruments,
    method_means,
    method_power,
    method_sequential,
    unit_accountability,
    unit_clusters,
    unit_integrity,
    unit_links,
)

WORLDS = (*unit_links.WORLDS, *unit_integrity.WORLDS, *unit_accountability.WORLDS, *unit_clusters.WORLDS)
TABLES = (
    *method_means.WORLDS,
    *method_instruments.WORLDS,
    *method_sequential.WORLDS,
    *method_power.WORLDS,
    *method_decisions.WORLDS,
)
