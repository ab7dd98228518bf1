"""Words: texts that came with a source, and later what is said and shown in it."""
