"""For those who run it."""
