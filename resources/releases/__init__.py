"""Releases of models and prompts, their prices, and the golden sets by which they are compared."""
