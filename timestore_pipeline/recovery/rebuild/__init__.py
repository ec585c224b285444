"""The ledger brought up to what else is known: segment files, the Delta log, the remains of a damaged ledger."""
