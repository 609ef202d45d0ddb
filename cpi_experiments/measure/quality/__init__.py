"""Quality gates: tables against their contracts, and what looks wrong without one."""
