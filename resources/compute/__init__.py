"""Where tasks run and what bounds them."""
