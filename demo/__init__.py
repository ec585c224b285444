"""The demonstration: a year of real weather and flights through the real system, compared with its source."""
