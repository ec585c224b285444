"""The measured programs, each in a process and an environment of its own, which import only what they measure."""
