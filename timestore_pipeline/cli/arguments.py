"""Arguments that many commands share, with the same name, help and completion.

The completion of names is read-only, and offers nothing in case of an error.
"""

from __future__ import annotations

from typing import Annotated

import typer

from timestore_pipeline.errors import TimestoreError


def dataset_names(incomplete: str) -> list[str]:
    """Datasets in use that begin with `incomplete`; none if the ledger cannot be read."""
    from timestore_pipeline.tools.doctor.examination import Deployment  # now: only the shell's completion needs it

    try:
        names = [dataset.name for dataset in Deployment.from_env().datasets()]
    except (TimestoreError, OSError):
        return []
    return [name for name in names if name.startswith(incomplete)]


Dataset = Annotated[str, typer.Argument(metavar="DATASET", autocompletion=dataset_names, show_default=False)]
Datasets = Annotated[
    list[str] | None, typer.Argument(metavar="DATASET", autocompletion=dataset_names, show_default=False)
]
OneOrAll = Annotated[str | None, typer.Argument(metavar="DATASET", autocompletion=dataset_names, help="Default: all.")]
SomeOrAll = Annotated[
    list[str] | None, typer.Argument(metavar="DATASET", autocompletion=dataset_names, help="Default: all.")
]

YEAR = 31_536_000.0  # seconds; an upper limit for options
