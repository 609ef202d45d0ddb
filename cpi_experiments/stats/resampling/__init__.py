"""Answers from drawing again: bootstrap, permutation, wild bootstrap, trials made of history."""
