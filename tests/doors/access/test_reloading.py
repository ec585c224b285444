"""Files are read again when they have changed and rest; what is refused leaves the last good version in force."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from timestore_pipeline import Settings
from timestore_pipeline.doors.access.gate import SINGLE, Gate, Right, Token, new_token, tokens_file
from timestore_pipeline.doors.access.reloading import PERIOD, Reloaded, refreshing
from timestore_pipeline.errors import InvalidToken, ServerFileRefused
from timestore_pipeline.system import clock

SECRET, TOKEN = new_token("station-a", [Right.STAGE], ["weather"])
OTHER, SECOND = new_token("station-b", [Right.STAGE], ["weather"])


def write(path: Path, *tokens: Token) -> None:
    path.write_text("".join(f"{token.line}\n" for token in tokens))
    path.chmod(0o600)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    write(path, TOKEN)
    return path


@pytest.fixture
def file(path: Path) -> Reloaded[tuple[Token, ...]]:
    file = tokens_file(Settings.build(home=path.parent, api_tokens_file=path))
    assert file is not None
    return file


def rested(file: Reloaded[tuple[Token, ...]]) -> tuple[Token, ...]:
    """In force after two looks at the file."""
    file.refresh()
    file.refresh()
    return file.value


def test_a_change_is_in_force_once_the_file_has_rested(path: Path, file: Reloaded[tuple[Token, ...]]) -> None:
    write(path, TOKEN, SECOND)
    file.refresh()
    assert file.value[1:] == (), "it may be written right now"
    file.refresh()
    assert file.value[1:] == (SECOND,)


def test_a_file_that_was_replaced_by_rename_or_by_another_link_is_read_again(tmp_path: Path, path: Path) -> None:
    """Kubernetes replaces a link to the folder of all secrets."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    write(tmp_path / "one" / "tokens", TOKEN)
    write(tmp_path / "two" / "tokens", SECOND)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "one")
    file = tokens_file(Settings.build(home=tmp_path, api_tokens_file=link / "tokens"))
    assert file is not None
    (tmp_path / "next").symlink_to(tmp_path / "two")
    (tmp_path / "next").rename(link)
    assert rested(file) == (SECOND,)


@pytest.mark.parametrize("change", ["broken", "empty", "binary", "gone", "open", "folder", "too long"])
def test_a_refused_file_leaves_the_last_good_one_in_force_and_is_logged_once(
    path: Path, file: Reloaded[tuple[Token, ...]], change: str, caplog: pytest.LogCaptureFixture
) -> None:
    if change in ("gone", "folder"):
        path.unlink()
    if change == "folder":
        path.mkdir()
    elif change == "open":
        path.chmod(0o644)
    elif change != "gone":
        contents = {"broken": f"x {SECRET}".encode(), "empty": b"", "binary": b"\xff\x00", "too long": b"#" * 2**21}
        path.write_bytes(contents[change])
    with caplog.at_level(logging.ERROR, "timestore_pipeline"):
        assert rested(file) == rested(file) == (TOKEN,)
    assert isinstance(file.refusal, ServerFileRefused)
    assert (str(path) in str(file.refusal), bool(file.refusal.hint)) == (True, True)
    [line] = [record.getMessage() for record in caplog.records]
    assert "the last good ones stay in force" in line
    assert SECRET not in line


def test_a_corrected_file_is_in_force_again(path: Path, file: Reloaded[tuple[Token, ...]]) -> None:
    path.chmod(0o640 | stat.S_IROTH)
    rested(file)
    assert file.refusal is not None
    path.chmod(0o640)
    assert rested(file) == (TOKEN,)
    assert file.refusal is None


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o620, 0o666])
def test_a_file_that_others_may_read_or_change_is_refused_with_the_remedy(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(ServerFileRefused, match=f"has mode {mode:04o}") as refused:
        tokens_file(Settings.build(home=path.parent, api_tokens_file=path))
    assert refused.value.hint == f"chmod 600 {path}"


def test_a_file_of_another_user_is_refused(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 65_534, 0)
    with pytest.raises(ServerFileRefused, match="belongs to the user 65534"):
        tokens_file(Settings.build(home=path.parent, api_tokens_file=path))


def test_a_named_pipe_does_not_block(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(ServerFileRefused, match="is no file"):
        tokens_file(Settings.build(home=tmp_path, api_tokens_file=pipe))


def test_a_thread_looks_at_the_files(path: Path, file: Reloaded[tuple[Token, ...]]) -> None:
    with refreshing([file]):
        write(path, SECOND)
        deadline = clock.monotonic() + 60
        while file.value != (SECOND,):
            assert clock.monotonic() < deadline
            clock.sleep(PERIOD / 10)


def test_both_settings_hold_together(file: Reloaded[tuple[Token, ...]]) -> None:
    gate = Gate(SecretStr("single"), file)
    assert [gate.identify([f"Bearer {secret}"]).name for secret in ("single", SECRET)] == [SINGLE, "station-a"]
    with pytest.raises(InvalidToken):
        gate.identify([f"Bearer {OTHER}"])
    with pytest.raises(InvalidToken):
        gate.identify([f"Bearer {TOKEN.digest.hex()}"])
