"""Arguments that many commands share, with the same name, help and completion."""

from __future__ import annotations

from typing import Annotated

import typer

from timestore_pipeline.cli.completion import dataset_names

Dataset = Annotated[str, typer.Argument(metavar="DATASET", autocompletion=dataset_names, show_default=False)]
Datasets = Annotated[
    list[str] | None, typer.Argument(metavar="DATASET", autocompletion=dataset_names, show_default=False)
]
OneOrAll = Annotated[str | None, typer.Argument(metavar="DATASET", autocompletion=dataset_names, help="Default: all.")]
SomeOrAll = Annotated[
    list[str] | None, typer.Argument(metavar="DATASET", autocompletion=dataset_names, help="Default: all.")
]

YEAR = 31_536_000.0  # seconds; an upper limit for options
