"""Parquet files that other programs wrote: imports their rows. Independent of Dagster."""
