"""A sample of the search through a real server, so that the door in this process is known to be the same."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import httpx
import pytest
from hypothesis import given, settings

from tests.doors.http.serving import post, server
from tests.values.bench import Bench, Example
from tests.values.doors import Workplace
from tests.values.examples import ONE_BATCH
from tests.values.sources import File
from timestore_pipeline.doors.http.formats import FORMATS
from timestore_pipeline.errors import InvalidInput

_EXAMPLES = 50
_TYPES = {known.suffix: known.types[0] for known in FORMATS}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as opened, server(opened.home) as running, running.client() as client:
        opened.doors["server"] = partial(_send, client)
        yield opened


def _send(client: httpx.Client, place: Workplace, dataset: str, file: File) -> None:
    answer = post(client, file.content, _TYPES[file.suffix], dataset)
    assert answer.status_code < 500, answer.text
    if not answer.is_success:
        problem = answer.json()
        raise InvalidInput(f"{problem['title']}: {problem['detail']}", hint=problem["hint"])


def _is_file(example: Example) -> bool:
    return all(step.batch is None or isinstance(step.batch.payload, File) for step in example.steps)


@pytest.mark.nightly
@settings(max_examples=_EXAMPLES)
@given(ONE_BATCH.filter(_is_file))
def test_a_batch_comes_out_of_a_server_as_it_went_in(bench: Bench, example: Example) -> None:
    bench.run(example.through("server"))
