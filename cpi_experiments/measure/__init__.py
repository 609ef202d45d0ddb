"""From event tables to indicators: one locked engine, whitelisted expressions, panels, rows lost by reason."""
