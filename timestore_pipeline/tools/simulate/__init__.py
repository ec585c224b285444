"""A representative load through real processes and the real pipeline, in a directory of its own, and a verdict."""
