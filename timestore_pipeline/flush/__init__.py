"""A flush: decide -> claim -> export -> publish -> finalize, and what to do when one of them was interrupted."""
