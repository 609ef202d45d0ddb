"""Moments: one scan for the sums that estimates derive from."""
