"""A good client beside attacks on the HTTP API."""
