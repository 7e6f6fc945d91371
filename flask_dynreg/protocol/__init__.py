"""What goes over the wire: RFC 7591 and RFC 7592 by HTTP, and the documents of RFC 8414 and RFC 9728."""
