"""What happens to a client, from its registration to its end."""
