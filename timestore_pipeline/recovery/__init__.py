"""Acknowledged batches against stored rows: an audit compares and repairs, a rebuild restores the ledger."""
