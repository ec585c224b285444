"""What an operator does to runs, through the API that the UI uses, to real processes."""

from __future__ import annotations

import pytest

from tests.defs.flushing import hourly, published, run_config
from tests.live.graphql import Refused
from tests.live.holding import OPS
from tests.live.instance import LiveInstance
from timestore_pipeline.model.flush import FlushState, Trigger
from timestore_pipeline.recovery.shard_audit import audit_dataset

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_a_run_terminated_in_any_op_loses_nothing_and_its_dataset_flushes_at_the_next_tick(live: LiveInstance) -> None:
    for op in OPS:
        _terminate_in(live, op)
        backlog = live.backlog(op)
        # Batches in the Delta log are published, reported or not; all others are pending again, at once.
        committed = op in ("publish_tables", "finalize_flushes")
        assert (backlog.pending.rows, backlog.in_flight.rows) == (0 if committed else 3, 0)
        assert audit_dataset(live.timestore.area, live.timestore.lake, op).ok
        live.stage(op, hourly(1, first=3))
    with live.ticking("staging_flush_sensor"):
        flushes = [live.published(op, epoch=2) for op in OPS]
    assert {flush.trigger for flush in flushes} == {Trigger.AGE}
    assert [published(live.timestore, op) for op in OPS] == [[0, 1, 2, 3]] * len(OPS)


def _terminate_in(live: LiveInstance, op: str) -> None:
    """The dataset that is flushed is named after the op."""
    live.stage(op, hourly(3))
    with live.held(op) as wait_until_there:
        run = live.api.launch("partition_build", run_config(op))
        wait_until_there()
        live.api.terminate(run)
        assert live.ended(run) == "CANCELED"


def test_a_run_terminated_while_its_threads_are_at_work_keeps_no_claim(live: LiveInstance) -> None:
    datasets = ("together_1", "together_2", "together_3")
    for dataset in datasets:
        live.stage(dataset, hourly(3))
    with live.held("export_partitions") as wait_until_there:
        run = live.api.launch("partition_build", run_config(*datasets))
        wait_until_there()
        live.api.terminate(run)
    assert live.ended(run) == "CANCELED"
    for dataset in datasets:
        assert live.backlog(dataset).in_flight.rows == 0
        assert audit_dataset(live.timestore.area, live.timestore.lake, dataset).ok


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"dataset": "refused", "overrides": {"compression": "rar"}}, "overrides:compression not in enum type"),
        ({"dataset": "refused", "overrides": {"codec": "zstd"}}, 'unexpected config entry "codec"'),
        ({"dataset": "refused", "overrides": {"row_group_size": "many"}}, 'type "Int"'),
        ({"trigger": "manual"}, 'Missing required config entry "dataset"'),
    ],
)
def test_invalid_overrides_are_refused_before_there_is_a_run(
    live: LiveInstance, request_: dict[str, object], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        live.api.launch("partition_build", run_config(request_))


def test_a_killed_run_is_carried_on_from_failure_and_any_op_of_it_may_be_executed_again(live: LiveInstance) -> None:
    live.stage("carried_on", hourly(3))
    with live.held("publish_tables") as wait_until_there:
        killed = live.api.launch("partition_build", run_config("carried_on"))
        wait_until_there()
        live.kill_worker("carried_on")
        assert live.ended(killed) == "FAILURE"
    again = live.api.from_failure(killed)
    assert live.ended(again) == "SUCCESS"
    [flush] = live.flushes("carried_on")
    assert (flush.state, flush.run_id, flush.epoch) == (FlushState.PUBLISHED, killed, 1)
    last = live.api.launch("partition_build", run_config("carried_on"), steps=["finalize_flushes"], parent=again)
    assert live.ended(last) == "SUCCESS"
    assert published(live.timestore, "carried_on") == [0, 1, 2]
    assert len(live.flushes("carried_on")) == 1


def test_a_new_dataset_is_an_asset_with_checks_without_a_click(live: LiveInstance) -> None:
    """Nothing names the web server: the code server is asked to reload, and the web server notices."""
    assert live.timestore.settings.dagster_webserver_url is None
    assert "fresh_from_the_field" not in live.api.assets()
    live.stage("fresh_from_the_field", hourly(3))
    live.wait_for(lambda: "fresh_from_the_field" in live.api.assets() or None)
    live.wait_for(lambda: live.api.checks("fresh_from_the_field")["fresh"] == "SUCCEEDED" or None)
