"""The lines of the tokens file, and what a token may do."""

from __future__ import annotations

import hashlib

import pytest

from timestore_pipeline.doors.access.gate import Right, Token, new_token, parse_tokens
from timestore_pipeline.errors import Forbidden, InvalidInput

DIGEST = "sha256:" + 64 * "a"
SECRET = "hush-hush-4711"


def token(may: str = "stage", datasets: str = "weather-*") -> Token:
    return parse_tokens(f"station-a {may} {datasets} {DIGEST}")[0]


def test_a_new_token_is_long_and_its_line_holds_only_its_digest() -> None:
    secret, made = new_token("station-a", [Right.READ, Right.STAGE], ["weather-*", "air"])
    other, _ = new_token("station-a", [Right.READ], ["*"])
    assert len(secret) >= 43
    assert secret != other
    assert made.line == f"station-a stage,read weather-*,air sha256:{hashlib.sha256(secret.encode()).hexdigest()}"
    assert parse_tokens(f"# stations\n\n{made.line}\n  # and so on\n") == (made,)


@pytest.mark.parametrize(
    ("name", "may", "datasets"),
    [
        ("Station", ["stage"], ["*"]), ("a b", ["stage"], ["*"]), ("", ["stage"], ["*"]), ("default", ["stage"], ["*"]),
        ("a\nb", ["stage"], ["*"]), ("a", [], ["*"]), ("a", ["stage"], ["Weather"]), ("a", ["stage"], [""]),
        ("a", ["stage"], ["x y"]), ("x" * 64, ["stage"], ["*"]),
    ],
)  # fmt: skip
def test_a_token_that_no_file_can_list_is_not_made(name: str, may: list[str], datasets: list[str]) -> None:
    with pytest.raises(InvalidInput, match="no file can list this token"):
        new_token(name, [Right(right) for right in may], datasets)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a stage *", "3 columns"),
        (f"a stage * {DIGEST} x", "5 columns"),
        (f"A stage * {DIGEST}", "a name is"),
        (f"default stage * {DIGEST}", "TIMESTORE_API_TOKEN"),
        (f"a write * {DIGEST}", "rights are stage, read, operate"),
        (f"a stage,, * {DIGEST}", "rights are"),
        (f"a stage ../etc {DIGEST}", "datasets are"),
        (f"a stage * {SECRET}", "a digest is"),
        (f"a stage * sha256:{SECRET}", "a digest is"),
        (f"a stage * {DIGEST.upper()}", "a digest is"),
        (f"{SECRET} {SECRET} {SECRET} {SECRET}", "rights are"),
        ("\x00\x1b\ufffd", "1 columns"),
    ],
)
def test_wrong_lines_are_all_named_and_never_repeated(line: str, problem: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_tokens(f"b read * {DIGEST}\n{line}\n\n{line}\n")
    assert str(refused.value).count(problem) == 2
    assert "line 2: " in str(refused.value)
    assert "line 4: " in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("text", ["", "\n \n", "# nothing\n"])
def test_an_empty_file_is_refused_because_it_may_be_unfinished(text: str) -> None:
    with pytest.raises(ValueError, match="it lists 0 tokens"):
        parse_tokens(text)


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="2 lines have the name 'a'"):
        parse_tokens(f"a stage * {DIGEST}\na read * {DIGEST}\n")


@pytest.mark.parametrize("dataset", ["weather-north", "weather-"])
def test_a_token_may_do_what_its_line_says(dataset: str) -> None:
    token("stage,read").check(Right.READ, dataset)
    token("stage", "air,weather-*").check(Right.STAGE, dataset)
    token("stage", "*").check(Right.STAGE, dataset)


@pytest.mark.parametrize(
    ("right", "dataset", "some", "message"),
    [
        (Right.READ, "weather-north", False, "'station-a' may not read the dataset 'weather-north'"),
        (Right.STAGE, "weather", False, "'station-a' may not stage the dataset 'weather'"),
        (Right.STAGE, "x/weather-north", False, "may not stage the dataset"),
        (Right.STAGE, "WEATHER-NORTH", False, "may not stage the dataset"),
        (Right.STAGE, None, False, "may not stage all datasets"),
        (Right.READ, None, True, "may not read any dataset"),
    ],
)
def test_anything_else_is_refused_with_token_right_and_dataset(
    right: Right, dataset: str | None, some: bool, message: str
) -> None:
    with pytest.raises(Forbidden, match=message) as refused:
        token().check(right, dataset, some=some)
    assert (refused.value.token, refused.value.right, refused.value.dataset) == ("station-a", right, dataset)
    assert "it may stage weather-*" in refused.value.hint


def test_two_names_of_one_token_are_refused() -> None:
    """Otherwise the order of the lines would decide what it may do."""
    with pytest.raises(ValueError, match="'a' and 'c' have the same token"):
        parse_tokens(f"a read * {DIGEST}\nb read * {DIGEST[:-1]}b\nc stage,operate * {DIGEST}")


@pytest.mark.parametrize("end", ["\u2028", "\x0b", "\x0c", "\x85", "\r"])
def test_a_comment_hides_no_token(end: str) -> None:
    made = parse_tokens(f"# a comment{end}b operate * {DIGEST}\r\na read * {DIGEST}\r\n")
    assert [token.name for token in made] == ["a"]
