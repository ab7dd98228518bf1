"""The one way to what is scarce outside: providers of AI, their limits, their money."""
