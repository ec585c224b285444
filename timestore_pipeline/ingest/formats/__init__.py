"""Files and texts as tables: CSV, JSON, Parquet and Arrow, and cells of text as values."""
