"""The library: all sources on a wall, a page for each, search, uploads, and the same by HTTP."""
