"""Derivatives of speech and text."""
