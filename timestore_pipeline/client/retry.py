"""How long to wait before a request is sent again, and when to give up."""

from __future__ import annotations

import random
from dataclasses import dataclass

from timestore_pipeline.system import clock


@dataclass(frozen=True, slots=True)
class Retry:
    """When to try again. The wait doubles after each attempt; the server's `Retry-After` counts if it is longer.

    Attributes:
        patience: Seconds from the first attempt, after which the last error is raised; 0 = no retry.
        first: Seconds before the second attempt.
        longest: Seconds between two attempts, at most.
    """

    patience: float = 60.0
    first: float = 0.1
    longest: float = 10.0

    def delay(self, tries: int, retry_after: float = 0.0) -> float:
        """Seconds until the next attempt, jittered, so that a thousand producers do not retry at once.

        Args:
            tries: Failed attempts, at least one.
            retry_after: Seconds that the server asks for.
        """
        usual = clock.backoff(self.first, tries, self.longest)
        return max(random.uniform(0.5, 1.0) * usual, retry_after)
