"""Prometheus series derived from durable state, never from a process's memory."""
