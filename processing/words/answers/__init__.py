"""Readers of what models answer: untrusted bytes of a provider's format become one shape a task, or a failure."""
