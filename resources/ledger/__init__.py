"""The record: what arrived, what was decided, what was tried, what state things are in."""
