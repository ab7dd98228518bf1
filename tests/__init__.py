"""Tests of sourcebound."""
