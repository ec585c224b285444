"""The landing folder: complete files that were dropped there become batches, each exactly once. Knows no Dagster."""
