"""The types of a dataset's columns are declared over HTTP, too, and a server that runs takes to them at once."""

from __future__ import annotations

from http import HTTPStatus

import httpx

from tests.doors.http.serving import post

JSON = "application/json"
AT = "2026-01-01T00:00:00Z"


def declare(client: httpx.Client, type_: str) -> httpx.Response:
    return client.put("/v1/datasets/declared/metadata", json={"schema": {"columns": {"v": type_}}})


def send(client: httpx.Client, value: object) -> httpx.Response:
    return post(client, f'[{{"at": "{AT}", "v": {value}}}]'.encode(), JSON, dataset="declared")


def test_a_declared_column_takes_its_type_and_keeps_it_where_values_would_change(client: httpx.Client) -> None:
    assert send(client, 14).status_code == HTTPStatus.CREATED
    answer = declare(client, "double")
    assert answer.status_code == HTTPStatus.OK, answer.text
    assert answer.json()["declared"] == {"v": "double"}
    assert send(client, 14.5).status_code == HTTPStatus.CREATED
    refused = declare(client, "int64")
    assert (refused.status_code, refused.json()["code"]) == (HTTPStatus.CONFLICT, "schema_conflict")
    assert "timestore flush declared --now" in refused.json()["hint"]


def test_a_body_that_is_refused_adds_no_column(client: httpx.Client) -> None:
    assert post(client, f'[{{"at": "{AT}", "v": 1}}]'.encode(), JSON, dataset="untouched").status_code == 201
    body = f'[{{"at": "{AT}", "v": "text", "more": 1}}]'.encode()
    assert post(client, body, JSON, dataset="untouched").status_code == HTTPStatus.CONFLICT
    answer = client.put("/v1/datasets/untouched/metadata", json={})
    assert [column["name"] for column in answer.json()["schema"]["columns"]] == ["at", "v"]
