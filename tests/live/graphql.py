"""What the Dagster UI asks its web server, asked by a test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

LOCATION = "timestore_pipeline"
_REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": LOCATION}
_PATIENCE = 60.0  # seconds for an answer on a busy machine

_LAUNCHED = """
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message reason stack { entries { __typename } } } }
    ... on PythonError { message }
    ... on ConflictingExecutionParamsError { message }
"""
_LAUNCH = f"mutation ($params: ExecutionParams!) {{ launchRun(executionParams: $params) {{ {_LAUNCHED} }} }}"
_AGAIN = f"""mutation ($params: ExecutionParams, $again: ReexecutionParams) {{
    launchRunReexecution(executionParams: $params, reexecutionParams: $again) {{ {_LAUNCHED} }} }}"""
_TERMINATE = """mutation ($run: String!) { terminateRun(runId: $run, terminatePolicy: SAFE_TERMINATE) {
    __typename ... on TerminateRunFailure { message } ... on PythonError { message } } }"""
_START = """mutation ($sensor: SensorSelector!) { startSensor(sensorSelector: $sensor) {
    __typename ... on Sensor { sensorState { status } } ... on PythonError { message } } }"""
_STOP = """mutation ($id: String!) { stopSensor(id: $id) {
    __typename ... on StopSensorMutationResult { instigationState { status } } ... on PythonError { message } } }"""
_SENSOR = """query ($sensor: SensorSelector!) { sensorOrError(sensorSelector: $sensor) {
    __typename ... on Sensor { id sensorState { status ticks(limit: 1) { status } } } } }"""
_RUN = """query ($run: ID!) { runOrError(runId: $run) {
    __typename ... on Run { status runConfig rootRunId tags { key value } } } }"""
_ASSETS = """query ($location: RepositorySelector!) { repositoryOrError(repositorySelector: $location) {
    __typename ... on Repository { assetNodes { assetKey { path } } } } }"""
_CHECKS = """query ($asset: AssetKeyInput!) { assetNodeOrError(assetKey: $asset) { __typename
    ... on AssetNode { assetChecksOrError { __typename
        ... on AssetChecks { checks { name executionForLatestMaterialization { status } } } } } } }"""
_JOBS = """query ($location: RepositorySelector!) { repositoryOrError(repositorySelector: $location) {
    __typename ... on Repository { jobs { name } } } }"""


class Refused(Exception):
    """The web server did not do it; the message is what the UI would show."""


class DagsterApi:
    """One web server."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=_PATIENCE)

    def close(self) -> None:
        self._client.close()

    def serves(self) -> bool:
        """Whether the code location is loaded and has jobs."""
        try:
            return bool(self._ask(_JOBS, location=_REPOSITORY)["__typename"] == "Repository")
        except httpx.TransportError:
            return False

    def launch(self, job: str, config: Mapping[str, Any], steps: Sequence[str] = (), parent: str | None = None) -> str:
        """The new run's id; `steps` of a `parent` are executed again. Raises `Refused`."""
        lineage = {"parentRunId": parent, "rootRunId": parent} if parent else {}
        params = {
            "selector": {**_REPOSITORY, "jobName": job},
            "runConfigData": json.dumps(config),
            "stepKeys": list(steps) or None,  # an empty list would be a run of no steps
            "executionMetadata": lineage,
        }
        return self._launched(self._ask(_AGAIN if parent else _LAUNCH, params=params))

    def from_failure(self, run: str) -> str:
        """Execute again what failed or was not reached; the new run's id."""
        return self._launched(self._ask(_AGAIN, again={"parentRunId": run, "strategy": "FROM_FAILURE"}))

    def terminate(self, run: str) -> None:
        answer = self._ask(_TERMINATE, run=run)
        if answer["__typename"] != "TerminateRunSuccess":
            raise Refused(json.dumps(answer))

    def start_sensor(self, name: str) -> str:
        """Its status then."""
        return str(self._ask(_START, sensor=self._sensor(name))["sensorState"]["status"])

    def stop_sensor(self, name: str) -> str:
        known = self._ask(_SENSOR, sensor=self._sensor(name))
        return str(self._ask(_STOP, id=known["id"])["instigationState"]["status"])

    def is_at_rest(self, sensor: str) -> bool:
        """Stopped, and no tick of it is at work."""
        state = self._ask(_SENSOR, sensor=self._sensor(sensor))["sensorState"]
        return state["status"] == "STOPPED" and all(tick["status"] != "STARTED" for tick in state["ticks"])

    def status(self, run: str) -> str:
        return str(self._ask(_RUN, run=run)["status"])

    def tags(self, run: str) -> dict[str, str]:
        return {tag["key"]: tag["value"] for tag in self._ask(_RUN, run=run)["tags"]}

    def assets(self) -> set[str]:
        """The last part of each key."""
        return {node["assetKey"]["path"][-1] for node in self._ask(_ASSETS, location=_REPOSITORY)["assetNodes"]}

    def checks(self, dataset: str) -> dict[str, str | None]:
        """Check -> the status that the dataset's page shows; None = *Not evaluated*, in grey."""
        node = self._ask(_CHECKS, asset={"path": ["timestore", dataset]})
        shown = {
            check["name"]: check["executionForLatestMaterialization"] for check in node["assetChecksOrError"]["checks"]
        }
        return {name: None if execution is None else execution["status"] for name, execution in shown.items()}

    @staticmethod
    def _sensor(name: str) -> dict[str, str]:
        return {**_REPOSITORY, "sensorName": name}

    @staticmethod
    def _launched(answer: Mapping[str, Any]) -> str:
        if answer["__typename"] != "LaunchRunSuccess":
            raise Refused("\n".join(error["message"] for error in answer.get("errors", [answer])))
        return str(answer["run"]["runId"])

    def _ask(self, document: str, **variables: Any) -> dict[str, Any]:
        """The one answer that every document here asks for."""
        reply = self._client.post("/graphql", json={"query": document, "variables": variables}).json()
        if "errors" in reply:
            raise Refused(json.dumps(reply["errors"]))
        [answer] = reply["data"].values()
        return dict(answer)
