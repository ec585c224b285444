"""What is measured, each in a process and an environment of its own, which imports nothing that it does not measure."""
