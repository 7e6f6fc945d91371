"""Runnable examples: an authorization server, and an MCP server that trusts it."""
