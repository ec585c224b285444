"""Values as a dataset keeps them: taken over, interpreted, cast without loss, or refused by name."""
