"""Access to the HTTP API by tokens in files, which a running server reads again. Imports no web framework."""
