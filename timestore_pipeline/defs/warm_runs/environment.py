"""Whether a process started here would see the same code and the same settings as the code server.

The code server publishes a digest of its environment with its definitions. The launcher, in Dagster's daemon, computes
its own: only if both agree may it start a run itself. Otherwise, on another host, in another container, as another
user, for another shard, or when the code was changed and not reloaded, the code server starts the run as usual.
"""

import hashlib
import os
import socket
import sys
from pathlib import Path

import timestore_pipeline
from timestore_pipeline.settings import Settings, storage_options

METADATA_KEY = "timestore/environment"  # of the definitions


def environment_digest(settings: Settings) -> str:
    """16 hexadecimal digits; they do not reveal the settings, some of which are secret."""
    namespaces = [Path(f"/proc/self/ns/{kind}").stat().st_ino for kind in ("pid", "mnt")]
    place = (socket.gethostname(), os.getuid(), *namespaces, sys.executable, _code())
    chosen = (settings.model_dump_json(), _token(settings), sorted(storage_options().items()))
    return hashlib.sha256(repr((place, chosen)).encode()).hexdigest()[:16]


def _token(settings: Settings) -> str | None:
    """`model_dump_json` masks it."""
    return None if settings.api_token is None else settings.api_token.get_secret_value()


def _code() -> tuple[str, int, int]:
    """Where this package lies, how many files it has, and when the newest was changed."""
    folder = Path(timestore_pipeline.__file__).parent
    changes = [path.stat().st_mtime_ns for path in folder.rglob("*.py")]
    return str(folder), len(changes), max(changes)
