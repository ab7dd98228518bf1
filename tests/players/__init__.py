"""The players that people use, as judges of what is packaged."""
