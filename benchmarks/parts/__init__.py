"""The parts of the benchmark: which contenders take turns, and which figures their answers give."""
