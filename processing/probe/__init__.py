"""Finds out what a file is."""
