"""Reading datasets as one: what is published and what is staged, each row once."""
