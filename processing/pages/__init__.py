"""Pages for people: facts in, a folder out."""
