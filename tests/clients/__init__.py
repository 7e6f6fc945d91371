"""Real clients that nobody here wrote, each against the quickstart in a process of its own."""
