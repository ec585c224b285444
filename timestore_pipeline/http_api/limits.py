"""How much of everything one server takes on. What is beyond is refused at once, so that no queue grows unseen."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """`body_bytes` is `TIMESTORE_API_MAX_BODY_BYTES`; the rest follows from it or is fixed."""

    body_bytes: int  # of one body: as sent, unpacked, and as Arrow data
    connections: int = 512  # at the last one, those that ask nothing give way to new ones
    connections_of_one: int = 384  # address; a proxy is one
    connections_for_probes: int = 16  # beyond the others, when none of them can give way
    batches: int = 128  # requests that stage a batch, from the first byte to the receipt
    parsers: int = 2  # reader processes
    parser_memory_bytes: int = 1024 * _MIB  # of one reader process
    parse_seconds: float = 60.0  # then the reader process is killed
    queue_seconds: float = 20.0  # a body waits for a reader, then 429
    metadata_bytes: int = 64 << 10
    head_seconds: float = 10.0  # from a request's first byte to the end of its headers
    keep_alive_seconds: int = 30  # between requests
    idle_seconds: float = 15.0  # between two pieces of a body
    grace_seconds: float = 30.0  # a body may take this long, and then one second per `slowest_bytes`
    slowest_bytes: int = 16 << 10
    write_seconds: float = 30.0  # a client that does not read its response
    shutdown_seconds: int = 30  # requests at work when SIGTERM comes

    @property
    def arrow_bytes(self) -> int:
        """Rows in memory, between a reader and their receipts."""
        return 4 * self.body_bytes

    @property
    def spool_bytes(self) -> int:
        """Bodies on disk that wait for a reader."""
        return 16 * self.body_bytes
