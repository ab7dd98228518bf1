"""Renders pages: facts in, a folder out."""
