"""What is kept: clients, initial access tokens, events. Everything here takes part in the caller's transaction."""
