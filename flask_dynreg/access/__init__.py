"""Through which door a client may come in."""
