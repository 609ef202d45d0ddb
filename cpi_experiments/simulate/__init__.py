"""Companies with known truth: event tables, experiments and a catalog, for the demo and for tests."""
