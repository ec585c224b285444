"""Runs that start warm: forked from a process that has imported the definitions, instead of from a new Python."""
