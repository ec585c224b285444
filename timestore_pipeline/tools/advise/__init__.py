"""Which thresholds would give a dataset the files and the freshness that somebody wants, by its own history."""
