"""The one pass over moving pictures: grid, decode, taps."""
