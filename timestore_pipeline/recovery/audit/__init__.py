"""`timestore verify`: what was acknowledged, what is staged and what the lake holds, compared in both directions."""
