"""`timestore tokens`: named tokens of the HTTP API, and their rights."""

from __future__ import annotations

from typing import Annotated

import typer

from timestore_pipeline.cli.command_list import command_group
from timestore_pipeline.cli.output import AsJson, print_json, print_line, print_note, print_table, reporting
from timestore_pipeline.doors.access.gate import Gate, Right, new_token
from timestore_pipeline.settings import Settings


def new(
    name: Annotated[str, typer.Argument(help="The token's name, for logs and metrics.")],
    may: Annotated[list[Right], typer.Option("--may", help="A right; repeat for several.")],
    datasets: Annotated[
        list[str] | None, typer.Option("--dataset", help="A dataset or a glob; repeat for several. Default: all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token, and the line that grants its rights.

    The line, on standard output, is for the file that TIMESTORE_API_TOKENS_FILE names; it holds only a digest. The
    token, on standard error, is for the client; it is stored nowhere and cannot be shown again. A running server
    accepts it within three seconds after the line was added.

    \b
    Examples:
      timestore tokens new station-a --may stage --dataset 'weather-*' >> /etc/timestore/tokens
      timestore tokens new grafana --may read
    """
    secret, token = new_token(name, may, datasets or ["*"])
    if as_json:
        print_json({"name": token.name, "token": secret, "line": token.line})
        return
    print_note(f"token of {token.name}, shown only once: {secret}")
    print_line(token.line)


def list_tokens(as_json: AsJson = False) -> None:
    """List the tokens that `timestore serve` would accept, and their rights.

    Fails, with every wrong line, for a file that a server would refuse.

    \b
    Example:
      timestore tokens list
    """
    tokens = Gate.of(Settings.from_env()).tokens
    if as_json:
        rows = [{"name": one.name, "may": one.rights.split(","), "datasets": list(one.datasets)} for one in tokens]
        print_json({"tokens": rows})
    elif tokens:
        columns = ("token", "may", "datasets")
        print_table(columns, [(one.name, one.rights, ",".join(one.datasets)) for one in tokens])
    else:
        print_line("no tokens: the API requires none, and answers this machine only")


app = command_group("Named tokens of the HTTP API.")
app.command("new")(reporting(new))
app.command("list")(reporting(list_tokens))
