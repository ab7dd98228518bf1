"""Answers people: the command line and the supervisor."""
