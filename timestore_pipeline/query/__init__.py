"""Queries over datasets: published and staged rows together, each row once."""
