"""What durable writes, flushes and upkeep cost, beside what a user would do instead, in turns on one machine.

`make bench` measures every part and writes docs/performance-figures.md; docs/performance.md says how to read it.
Whatever is measured runs in a child process (`workers`), so that its memory, its CPU time and its failure are its own:
a contender that is missing or fails is reported with the reason, and the rest goes on.
"""
