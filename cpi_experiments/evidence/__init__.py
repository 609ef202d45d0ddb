"""What may be believed: records of estimates, verdicts by one decision table, error rates over the portfolio."""
