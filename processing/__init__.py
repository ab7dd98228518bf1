"""Transforms media: values and files in, files out. Knows no database, network, setting or Dagster."""
