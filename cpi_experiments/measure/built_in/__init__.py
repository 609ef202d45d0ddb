"""Built-in indicators: level and interval by group."""
