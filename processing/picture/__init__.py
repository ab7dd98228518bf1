"""Derivatives of pictures."""
