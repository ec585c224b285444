"""`timestore verify`: acknowledged batches, staged rows and the lake's rows, compared in both directions."""
