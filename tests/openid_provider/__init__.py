"""The OpenID Provider of examples/, in this process."""
