"""A program with an actor in a process of its own."""
