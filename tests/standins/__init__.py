"""Stand-ins for packages that are extras: found as these packages are, where a folder of theirs is on the path."""
