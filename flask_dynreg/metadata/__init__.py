"""What a client says of itself: RFC 7591 section 2. This room never reads the store."""
