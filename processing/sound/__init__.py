"""Derivatives of sound."""
