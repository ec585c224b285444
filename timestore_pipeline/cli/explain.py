"""`timestore explain`: why a dataset is or is not flushing."""

from __future__ import annotations

from timestore_pipeline import clock
from timestore_pipeline.cli.arguments import Dataset
from timestore_pipeline.cli.explanation import Explanation, explain_dataset
from timestore_pipeline.cli.output import AsJson, print_fields, print_json, print_line
from timestore_pipeline.cli.session import open_store


def explain(
    dataset: Dataset,
    as_json: AsJson = False,
) -> None:
    """Say why a dataset is or is not flushing.

    Names the limit that binds, when it will flush, and what is in the way.

    \b
    Example:
      timestore explain weather
    """
    with open_store() as store:
        explanation = explain_dataset(store, dataset, clock.now())
    if as_json:
        print_json(explanation.to_dict())
        return
    print_line(_verdict(explanation), "bold")
    print_fields(explanation.fields())


def _verdict(explanation: Explanation) -> str:
    decision = explanation.status.decision
    return f"{decision.dataset}: {'due' if decision.due else 'not due'}: {decision.reason}"
