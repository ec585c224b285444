"""Ways for rows to come in besides the library: the HTTP API, the landing folder, and existing trees of Parquet."""
