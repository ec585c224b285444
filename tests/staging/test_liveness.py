"""Whether a process lives, as seen by itself, its children and strangers."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
from pathlib import Path
from types import ModuleType

import pytest

from tests.staging.processes import held, run, run_until_killed
from tests.staging.promises import seal
from timestore_pipeline.errors import LedgerBusy, RetryLater
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger import Ledger, database
from timestore_pipeline.staging.liveness import ProcessIdentity

LIVE = """
import sys
from pathlib import Path
from timestore_pipeline.staging.area import StagingArea
area = StagingArea(Path(sys.argv[1]), "shard-0")
"""
ASK = "print(area.identity.is_alive(sys.argv[2]))"


def others(area: StagingArea) -> list[str]:
    known = [process.process_id for process in area.ledger.processes.all()]
    return [process_id for process_id in known if process_id != area.identity.process_id]


def test_a_process_lives_for_itself_and_for_strangers(area: StagingArea) -> None:
    me = area.identity.process_id
    assert area.identity.is_alive(me)
    assert run(LIVE + ASK, area.directory.root, me) == "True"


def test_asking_about_itself_keeps_it_alive_under_any_name_of_the_folder(area: StagingArea, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(area.directory.root)
    with StagingArea(tmp_path / "alias", "shard-0") as again:
        assert again.identity.is_alive(area.identity.process_id)
    assert run(LIVE + ASK, area.directory.root, area.identity.process_id) == "True"


def test_nobody_is_called_nothing(area: StagingArea) -> None:
    assert not area.identity.is_alive("")
    assert not area.identity.is_alive("never-was")


@pytest.mark.parametrize(
    ("module", "call", "number"), [(os, "open", errno.EMFILE), (fcntl, "lockf", errno.ENOLCK)], ids=["open", "lock"]
)
def test_a_process_is_not_dead_because_the_system_does_not_answer(
    area: StagingArea, monkeypatch: pytest.MonkeyPatch, module: ModuleType, call: str, number: int
) -> None:
    def unanswered(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    (area.directory.processes / "somebody.lock").touch()
    monkeypatch.setattr(module, call, unanswered)
    with pytest.raises(RetryLater, match="the lock"):
        area.identity.is_alive("somebody")


def test_a_released_process_is_dead_and_forgotten(area: StagingArea) -> None:
    other = StagingArea(area.directory.root, "shard-0")
    other.close()
    other.identity.release()
    assert not area.identity.is_alive(other.identity.process_id)
    assert others(area) == []
    assert [path.stem for path in area.directory.processes.iterdir()] == [area.identity.process_id]


def test_a_killed_process_is_dead_until_it_is_forgotten(area: StagingArea) -> None:
    run_until_killed(LIVE + "import os; os.kill(os.getpid(), 9)", area.directory.root)
    [dead] = others(area)
    assert not area.identity.is_alive(dead)
    area.identity.forget_dead()
    assert others(area) == []
    assert [path.stem for path in area.directory.processes.iterdir()] == [area.identity.process_id]


def test_a_lock_file_that_cannot_be_removed_hinders_nobody(
    area: StagingArea, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EIO, "Input/output error", str(self))

    run_until_killed(LIVE + "import os; os.kill(os.getpid(), 9)", area.directory.root)
    [dead] = others(area)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        area.identity.forget_dead()
    assert others(area) == []
    assert f"the lock file of process {dead} could not be removed" in caplog.text


def test_a_dead_process_that_owns_something_is_remembered(area: StagingArea) -> None:
    own = "import os; area.ledger.segments.register('s', area.ledger.datasets.ensure('d').dataset_id,"
    own += " area.identity.process_id); os.kill(os.getpid(), 9)"
    run_until_killed(LIVE + own, area.directory.root)
    area.identity.forget_dead()
    assert len(others(area)) == 1
    seal(area.ledger, "s")
    area.identity.forget_dead()
    assert others(area) == []


def test_forgetting_the_dead_spares_the_living(area: StagingArea) -> None:
    with held(LIVE + "print('ready', flush=True); input()", area.directory.root):
        [living] = others(area)
        area.identity.forget_dead()
        assert area.identity.is_alive(living)
        assert others(area) == [living]


def test_two_who_ask_at_once_do_not_see_each_other(area: StagingArea) -> None:
    run_until_killed(LIVE + "import os; os.kill(os.getpid(), 9)", area.directory.root)
    [dead] = others(area)
    probe = "import fcntl, os; f = os.open(sys.argv[2], os.O_RDWR); fcntl.lockf(f, fcntl.LOCK_SH | fcntl.LOCK_NB)"
    script = LIVE + probe + "\nprint('ready', flush=True); input()"
    with held(script, area.directory.root, area.directory.processes / f"{dead}.lock"):
        assert not area.identity.is_alive(dead)


def test_a_forked_child_does_not_keep_its_parent_alive(area: StagingArea) -> None:
    fork = "import os\nif os.fork() == 0: sys.stdin.read() or os._exit(0)\nos.kill(os.getpid(), 9)"
    with held(f"print('ready', flush=True)\n{LIVE}{fork}", area.directory.root) as parent:
        assert parent.wait() == -9
        [dead] = others(area)
        assert not area.identity.is_alive(dead)


def _release_in_child(identity: ProcessIdentity) -> None:
    identity.release()


def test_a_forked_child_sees_its_parent_alive_and_cannot_release_it(area: StagingArea) -> None:
    child = multiprocessing.get_context("fork").Process(target=_release_in_child, args=(area.identity,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert run(LIVE + ASK, area.directory.root, area.identity.process_id) == "True"


def test_a_ledger_that_does_not_answer_keeps_nobody_alive(
    area: StagingArea, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = StagingArea(area.directory.root, "shard-0")
    monkeypatch.setattr(database, "_BUSY_TIMEOUT", 0.0)
    with area.ledger.database.transaction():
        other.close()
    assert not area.identity.is_alive(other.identity.process_id)
    assert "stays registered until another process removes it" in caplog.text
    area.identity.forget_dead()
    assert others(area) == []


def test_a_process_that_cannot_be_registered_leaves_no_lock(
    area: StagingArea, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(database, "_BUSY_TIMEOUT", 0.0)
    second = Ledger(area.directory.ledger, "shard-0")
    with area.ledger.database.transaction(), pytest.raises(LedgerBusy):
        ProcessIdentity(area.directory.processes, second.processes)
    second.close()
    assert [path.stem for path in area.directory.processes.iterdir()] == [area.identity.process_id]
