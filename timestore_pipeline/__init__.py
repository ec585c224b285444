"""timestore_pipeline: stage small time-series writes durably, publish them as right-sized Parquet, exactly once."""
