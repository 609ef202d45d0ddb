"""Who gets which arm: stable, balanced, by unit, group or time."""
