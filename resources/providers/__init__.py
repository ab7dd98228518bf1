"""Who answers questions: models behind a network, in a process of their own, or in workers."""
