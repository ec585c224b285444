"""What files, clocks, terminals and the interpreter are relied on for. Imports nothing of the product."""

from timestore_pipeline.system import clock as clock
