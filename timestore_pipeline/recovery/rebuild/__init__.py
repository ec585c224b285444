"""Reconciling or rebuilding the ledger from segment files, journals, the Delta log and a damaged ledger's remains."""
