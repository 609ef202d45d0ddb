"""Looks at a running trial that keep the error rate."""
