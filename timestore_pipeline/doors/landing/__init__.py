"""The landing folder: complete files that were dropped there are staged, each exactly once. Independent of Dagster."""
