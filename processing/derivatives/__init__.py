"""Derivatives of your own, one module each, found by themselves; docs/tutorial.md adds one.

Belongs here: modules with a `DERIVATIVE` (processing/derivative), its operation and its contract. Does not belong here:
what every house makes (the rooms beside this one).
"""
