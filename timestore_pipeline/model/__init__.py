"""Plain values and pure rules; no files, no clock, no environment."""
