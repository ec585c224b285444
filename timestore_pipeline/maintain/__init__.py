"""Upkeep of published tables: small files become large ones, replaced files go, what is past its retention goes."""
