"""The staged data plane and the ledger: rows in DuckDB segment files, what is known of them in SQLite.

This layer does not know that partitions or a lake exist.
"""
