"""What the last verifications of each dataset found, whichever process verified: numbers beside the counters.

A verification that could not read everything leaves the number of problems as it was: it neither found any nor proved
that there are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from timestore_pipeline.errors import UnknownDataset
from timestore_pipeline.staging.ledger.counters import put
from timestore_pipeline.staging.ledger.database import Database
from timestore_pipeline.staging.ledger.datasets import dataset_id_of
from timestore_pipeline.system import clock

VERIFIED = "verified_timestamp_seconds"
PROBLEMS = "verify_problems"

QUICK, DEEP = "quick", "deep"


class Verifications:
    """Rows of the `counters` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, problems: Mapping[str, int | None], *, deep: bool) -> None:
        """problems: dataset -> how many, None = it could not read everything. All in one transaction.

        A deep verification answers for a quick one, too. Names that the ledger does not have are left out, and a
        dataset that was removed stays removed.
        """
        now = clock.now().timestamp()
        with self._database.transaction() as tx:
            for dataset, found in problems.items():
                with suppress(UnknownDataset):
                    dataset_id = dataset_id_of(tx, dataset)
                    put(tx, dataset_id, VERIFIED, {"result": _result(found)}, now)
                    for depth in (QUICK, DEEP) if deep else (QUICK,):
                        if found is not None:
                            put(tx, dataset_id, PROBLEMS, {"depth": depth}, found)

    def verified(self) -> set[str]:
        """Datasets that were verified at least once."""
        sql = "SELECT DISTINCT name FROM counters JOIN datasets USING (dataset_id) WHERE series = ?"
        return {row["name"] for row in self._database.rows(sql, (VERIFIED,))}


def _result(problems: int | None) -> str:
    if problems is None:
        return "unknown"
    return "problems" if problems else "ok"
