"""Finds what is wrong with a deployment. Read-only: nothing is opened for use, created or changed."""
