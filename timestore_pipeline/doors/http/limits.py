"""The limits of one server. Work beyond them is refused at once, so that no queue grows unnoticed."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """Limits of a group of reader processes, and of the bodies that they read."""

    processes: int
    body_bytes: int  # of one body, unpacked and as Arrow data
    room_bytes: int  # of rows in memory, between these readers and their receipts
    memory_bytes: int  # of one process
    cpu_seconds: float  # of one body; a second later the process is killed
    seconds: float  # for one body; after that the process is killed
    niceness: int  # of a process, as in `nice`
    starts_at_once: bool  # False = with the first body


@dataclass(frozen=True, slots=True)
class Limits:
    """`body_bytes` is `TIMESTORE_API_MAX_BODY_BYTES`; the rest follows from it or is fixed."""

    body_bytes: int  # of one body: as sent, unpacked, and as Arrow data
    connections: int = 512  # when all are taken, idle ones give way to new ones
    connections_of_one: int = 384  # of one address; a proxy is one
    connections_for_probes: int = 16  # in addition, when none of the others can give way
    batches: int = 128  # with a complete body, until their receipts
    batches_of_one: int = 96  # of one address
    questions: int = 32  # reads and changes that wait for the ledger
    questions_of_one: int = 24  # of one address
    flush_waits: int = 16  # flush requests, until their answers
    flush_waits_of_one: int = 8  # of one address
    flush_wait_seconds: float = 300.0  # a client may ask to wait for flushes
    parsers: int = 2  # reader processes for long bodies, and as many for short ones
    parser_memory_bytes: int = 1024 * _MIB  # of one reader process
    parse_seconds: float = 60.0  # for one body; after that the reader process is killed
    cpu_seconds: float = 45.0  # of a reader process for one body
    short_cpu_seconds: float = 0.25  # for a short body; one that takes more is read again as a long one
    short_unpacked_bytes: int = 8 * _MIB  # of a short body, unpacked and as Arrow data; likewise
    queue_seconds: float = 20.0  # a body waits for a reader, then 429
    metadata_bytes: int = 64 << 10
    handshake_seconds: float = 10.0  # of TLS
    farewell_seconds: float = 2.0  # a client may take to confirm the end of TLS
    head_seconds: float = 10.0  # from a request's first byte to the end of its headers
    keep_alive_seconds: int = 30  # between requests
    idle_seconds: float = 15.0  # between two pieces of a body
    grace_seconds: float = 30.0  # a body may take this long, and then one second per `slowest_bytes`
    slowest_bytes: int = 16 << 10
    write_seconds: float = 30.0  # a client that does not read its response
    shutdown_seconds: int = 30  # for the open requests after SIGTERM

    @property
    def short(self) -> ReaderLimits:
        """For bodies that stay in memory: they have their own readers, so that long bodies do not delay them."""
        most = min(self.short_unpacked_bytes, self.body_bytes)
        return self._readers(most, 16 * most, self.short_cpu_seconds, is_short=True)

    @property
    def long(self) -> ReaderLimits:
        """For bodies on disk: their readers run at a lower priority, and start when they are needed."""
        return self._readers(self.body_bytes, 4 * self.body_bytes, self.cpu_seconds, is_short=False)

    @property
    def spool_bytes(self) -> int:
        """Bodies on disk."""
        return 16 * self.body_bytes

    def _readers(self, body_bytes: int, room_bytes: int, cpu_seconds: float, *, is_short: bool) -> ReaderLimits:
        return ReaderLimits(
            processes=self.parsers,
            body_bytes=body_bytes,
            room_bytes=room_bytes,
            memory_bytes=self.parser_memory_bytes,
            cpu_seconds=cpu_seconds,
            seconds=self.parse_seconds,
            niceness=0 if is_short else 10,
            starts_at_once=is_short,
        )
