"""Finding sources by what is said, shown and known of them."""
