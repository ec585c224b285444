"""The cost of durable writes, flushes and upkeep, compared with the alternatives, in turns on one machine.

`make bench` measures every part and writes docs/performance-figures.md; docs/performance.md explains how to read it.
Every measurement runs in a child process (`workers`), so that its memory, its CPU time and its failures are its own: a
contender that is missing or fails is reported with the reason, and the others continue.
"""
