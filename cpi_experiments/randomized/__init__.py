"""What trials say: design, random assignment, integrity, the effect of a lever, and assignment as instrument."""
