"""Runs without a cold start: a process that has everything imported forks one process a run."""
