"""Who can own which customer outcome: whose lever moved it, at which target, worth how much."""
