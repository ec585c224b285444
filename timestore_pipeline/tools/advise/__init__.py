"""Proposes flush thresholds for a wanted file size and freshness, from a dataset's own history."""
