"""The maintainers' work is counted even if they were killed, and a long test in which they did nothing fails."""

from __future__ import annotations

from pathlib import Path

from timestore_pipeline.maintain.maintenance_report import DatasetUpkeep
from timestore_pipeline.tools.crashtest.results import Maintained
from timestore_pipeline.tools.crashtest.roles import maintained, note_maintained
from timestore_pipeline.tools.crashtest.run import idleness


def test_what_maintainers_did_adds_up_and_a_torn_line_says_nothing(tmp_path: Path) -> None:
    assert maintained(tmp_path) == Maintained()
    note_maintained(tmp_path, DatasetUpkeep("trades", compactions=2, compacted_files=5, deleted=["a"], log_commits=7))
    [file] = tmp_path.iterdir()
    file.write_text(file.read_text() + '{"compactions": 1')
    note_maintained(tmp_path, DatasetUpkeep("sensors", compactions=1, compacted_files=2))
    assert maintained(tmp_path) == Maintained(compactions=3, files=7, deleted=1, log_commits=7)


def test_a_long_test_in_which_nothing_was_compacted_fails() -> None:
    assert len(idleness(100, Maintained(log_commits=3))) == 1
    assert idleness(100, Maintained(compactions=1)) == []
    assert idleness(99, Maintained()) == []
