"""While the trial runs: looks that keep the error rate."""
