"""Taking batches in: validate, queue, group-commit, acknowledge."""
