"""What may be wrong with a deployment, found by looking only: nothing is opened for use, made or changed."""
