"""Locks a process down before it touches bytes nobody vouches for."""
