"""timestore over HTTP: one Arrow stream a request, on one connection that is kept alive, at the server's address."""

from __future__ import annotations

import http.client
import sys

import pyarrow as pa

from benchmarks.workers.answering import answer, stream, writing

_HEADERS = {"Content-Type": "application/vnd.apache.arrow.stream"}


def main(url: str) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://"))

    def post(dataset: str, batch: pa.Table) -> None:
        connection.request("POST", f"/v1/datasets/{dataset}/batches", stream(batch), _HEADERS)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 201, body

    answer({"write": writing(post)})


if __name__ == "__main__":
    main(sys.argv[1])
