"""Regressions held against experiments: by how much past data misstate effects, and what that allows to forecast."""
