"""No link in the landing folder, whenever it appears, lets anybody read, move or change a file that lies elsewhere."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from tests.attack.hostile_folders import swapping
from tests.doors.landing.dropping import drop, files, folder, numbers, readings, take_in
from tests.staging.rolled import roll_up_in
from timestore_pipeline.doors.landing.intake import Intake
from timestore_pipeline.doors.landing.replay import Replay
from timestore_pipeline.doors.landing.reports import Result, landing_status
from timestore_pipeline.errors import Corrupted
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.settings import Settings

FILES, RUNS = 20, 5  # of a race; the attacker changes the folder some thousand times meanwhile


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_dataset_that_is_a_link_to_live_segments_moves_none_of_them(settings: Settings, landing: Path) -> None:
    with StagingManager.open(settings) as staging:
        staging.enqueue("weather", readings(3))
        roll_up_in(settings)
        segments = settings.staging_directory / "segments" / "weather"
        before = sorted(segments.iterdir())
        assert before
        (landing / "weather").symlink_to(segments)
        assert take_in(settings) == []
        assert sorted(segments.iterdir()) == before
    [stranger] = folder(settings).strangers()
    assert (stranger.place, stranger.reason) == ("weather", "it is a link, and links are not followed")
    assert numbers(settings) == [0, 1, 2]


@pytest.mark.parametrize(
    "place",
    [
        f"{parent}{below}"
        for parent in ("_ingesting", "_archive", "_rejected")
        for below in ("", "/weather", "/weather/2013")
    ],
)
def test_a_link_on_the_way_of_a_file_is_named_and_the_file_stays(
    settings: Settings, landing: Path, outside: Path, place: str
) -> None:
    before = contents(outside)
    drop(settings, "2013/good.csv", b"n\n1\n")
    os.utime(drop(settings, "2013/bad.unknown", b"what is this"), (0, 0))  # no copy under way
    drop(settings, "a.csv", b"n\n2\n", dataset="other")
    (landing / place).parent.mkdir(parents=True, exist_ok=True)
    (landing / place).symlink_to(outside)
    outcomes = take_in(settings)
    postponed = [outcome for outcome in outcomes if outcome.result is Result.POSTPONED]
    assert postponed
    assert all("it is a link, and links are not followed" in str(outcome.error) for outcome in postponed)
    assert len(contents(landing)) >= 3
    assert contents(outside) == before
    if "weather" in place:
        assert numbers(settings, "other") == [2]


def linked(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "precious.csv")


def hard_linked(place: Path, outside: Path) -> None:
    place.hardlink_to(outside / "precious.csv")


def linked_above(place: Path, outside: Path) -> None:
    place.symlink_to("../../outside/precious.csv")


def dangling(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "nothing")


def linked_folder(place: Path, outside: Path) -> None:
    place.symlink_to(outside)


def pipe(place: Path, _: Path) -> None:
    os.mkfifo(place)


def listening(place: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        above = os.open(place.parent, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{above}/{place.name}")  # the address of a socket is short
        os.close(above)


def device(place: Path, _: Path) -> None:
    try:
        os.mknod(place, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("only root may make a device")


def hollow(place: Path, _: Path) -> None:
    place.touch()
    os.truncate(place, 1 << 40)


@pytest.mark.parametrize(
    "kind",
    [linked, hard_linked, linked_above, dangling, linked_folder, pipe, listening, device, hollow],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("inside", ["weather", "_ingesting/weather", "_archive/weather", "_rejected/weather"])
def test_what_is_no_plain_file_is_left_alone_and_named(
    settings: Settings, landing: Path, outside: Path, kind: Callable[[Path, Path], None], inside: str
) -> None:
    before = contents(outside)
    (landing / inside).mkdir(parents=True)
    kind(landing / inside / "hostile.csv", outside)
    drop(settings, "a.csv", b"n\n1\n")
    assert [outcome.file for outcome in take_in(settings)] == ["a.csv"]
    [status] = landing_status(folder(settings))
    [ignored] = status.ignored
    assert ignored.place == f"{inside}/hostile.csv"
    assert ignored.reason.startswith("it is a ")
    assert os.path.lexists(landing / inside / "hostile.csv")
    assert contents(outside) == before
    assert numbers(settings) == [1]


@pytest.mark.parametrize("place", ["weather", "_ingesting/weather", "_archive/weather", "_rejected/weather"])
def test_a_folder_that_turns_into_a_link_at_any_instant_does_no_harm(
    settings: Settings, landing: Path, outside: Path, place: str
) -> None:
    before = contents(outside)
    (landing / place).mkdir(parents=True)
    for number in range(FILES):
        drop(settings, f"{number}.csv", b"n\n%d\n" % number)
        os.utime(drop(settings, f"{number}.unknown", b"%d" % number), (0, 0))
    with swapping(landing / place, outside), StagingManager.open(settings) as staging:
        for _ in range(RUNS):
            list(Intake(folder(settings), staging).run(["weather"]))
    assert contents(outside) == before
    take_in(settings)
    assert set(numbers(settings)) <= set(range(FILES))


def test_a_replay_reads_nothing_outside_the_archive(settings: Settings, landing: Path, outside: Path) -> None:
    digest = sha256((outside / "precious.csv").read_bytes()).hexdigest()
    precious = (outside / "precious.csv").rename(outside / f"precious.{digest[:16]}.csv")
    work = Replay(folder(settings), "weather", None)
    with work.alone(), StagingManager.open(settings) as staging:
        work.begin(lambda: 0)
        [path] = (landing / "_replays" / "weather").glob("*.json")
        plan = json.loads(path.read_text())
        named = [f"../../../outside/{precious.name}", str(precious)]
        path.write_text(json.dumps(plan | {"files": named}))
        told = list(work.run(work.begin(lambda: 0), staging))
    assert [type(one.error) for one in told] == [Corrupted, Corrupted]
    assert numbers(settings) == []


def test_a_landing_folder_that_is_a_link_itself_is_its_operators_choice(
    settings: Settings, landing: Path, tmp_path: Path
) -> None:
    landing.rename(tmp_path / "disk")
    landing.symlink_to(tmp_path / "disk")
    drop(settings, "a.csv", b"n\n1\n")
    assert [outcome.result for outcome in take_in(settings)] == [Result.STAGED]
    assert len(files(settings, "_archive")) == 1
