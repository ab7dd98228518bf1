"""Models that the installation carries: operations that answer a question without any network."""
