"""What was promised against what is held: `audit` compares and repairs, `rebuild` restores the ledger."""
