"""Acknowledged batches against stored rows: `audit` compares and repairs, `rebuild` restores the ledger."""
