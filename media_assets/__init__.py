"""Decides what exists: declarations of derivatives and the Dagster definitions built from them."""
