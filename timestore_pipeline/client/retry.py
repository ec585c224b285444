"""How long to wait before a request is sent again, and when to give up."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retry:
    """All in seconds. The wait doubles from `first` to `longest`; the server's Retry-After counts if it is longer."""

    patience: float = 60.0  # from the first attempt; 0 = no retry
    first: float = 0.1
    longest: float = 10.0

    def delay(self, tries: int, retry_after: float = 0.0) -> float:
        """tries: failed attempts, at least one. Jittered, so that a thousand producers do not retry at once."""
        usual = min(self.first * 2.0 ** min(tries - 1, 30), self.longest)
        return max(random.uniform(0.5, 1.0) * usual, retry_after)
