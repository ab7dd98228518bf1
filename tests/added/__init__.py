"""Derivatives that a test adds: modules of operations, found by workers as if they lay in processing."""
