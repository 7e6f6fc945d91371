"""Through which door."""
