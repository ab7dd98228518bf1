"""Folders given to a nursery whose operations misbehave on purpose."""
