"""Diagnosis and test programs, each loaded only by its command: `crashtest`, `simulate`, `advise` and `doctor`."""
