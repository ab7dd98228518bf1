"""Good media files made bad on purpose, from a seed: structure-aware mutations, one module a family of formats."""
