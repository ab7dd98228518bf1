"""Measurements of the figures the product promises, each beside its bar; `results.json` keeps the latest."""
