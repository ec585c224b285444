"""The Dagster plane: ops, job, sensors and assets. Each is a translation into one library call."""
