"""Pairs of processes: which is measured next, and what the pairs say."""
