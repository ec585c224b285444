"""The open connections, and which of them give way when a new client connects and there is no room.

Idle connections that never sent an authorised request go first, then those whose body has been arriving for long, then
those that wait for their next request, and last those whose body began to arrive first. A complete request is finished.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Protocol

from timestore_pipeline.system import clock

_LONG = 5.0  # seconds within which an ordinary client's body is complete
_AT_ONCE = 8  # strangers that give way at a time, because more clients are likely to connect


class Activity(Enum):
    """The state of a connection."""

    WAITS = 0  # for a request, or the rest of its head
    RECEIVES = 1  # a request's body
    WORKS = 2  # on a complete request


class Guest(Protocol):
    """A connection as the roster sees it."""

    peer: str  # its address, without the port
    let_in: bool  # one of its requests was authorised
    since: float  # when its activity began; on the monotonic clock

    @property
    def activity(self) -> Activity: ...

    def give_way(self) -> None:
        """Answer an open request if possible, and close."""


class Roster:
    """Connections from their acceptance to their end; `most` in all, and `most_of_one` from one address."""

    def __init__(self, most: int, most_of_one: int, spare: int) -> None:
        """spare: connections beyond `most`, for probes."""
        self._most, self._most_of_one, self._spare = most, most_of_one, spare
        self._strangers: dict[Guest, None] = {}  # not let in yet; the oldest first
        self._known: dict[Guest, None] = {}
        self._leaving: set[Guest] = set()  # asked to give way, and not closed yet
        self._of_one: Counter[str] = Counter()
        self._on_change: Callable[[], None] = lambda: None

    def on_change(self, call: Callable[[], None]) -> None:
        """Register a function that is called whenever there may be room again."""
        self._on_change = call

    def __len__(self) -> int:
        return len(self._strangers) + len(self._known) + len(self._leaving)

    @property
    def most(self) -> int:
        """Connections from which on idle ones give way to new ones."""
        return self._most

    @property
    def is_full(self) -> bool:
        return len(self) >= self._most

    @property
    def is_full_to_the_last(self) -> bool:
        return len(self) >= self._most + self._spare

    def exceeds_its_share(self, peer: str) -> bool:
        return self._of_one[peer] > self._most_of_one

    def add(self, guest: Guest) -> None:
        self._strangers[guest] = None
        self._of_one[guest.peer] += 1

    def let_in(self, guest: Guest) -> None:
        """Move a connection from the strangers to the known ones."""
        if guest in self._strangers:
            del self._strangers[guest]
            self._known[guest] = None

    def remove(self, guest: Guest) -> None:
        """Remove a closed connection."""
        if not self._forget(guest):
            return
        self._of_one[guest.peer] -= 1
        if not self._of_one[guest.peer]:
            del self._of_one[guest.peer]
        self._on_change()

    def changed(self) -> None:
        """A connection has become idle."""
        self._on_change()

    def make_room(self, peer: str | None = None) -> bool:
        """Let connections give way, those of `peer` if given; False = all are at work."""
        guest = first_to_give_way(self._strangers, self._known, peer, clock.monotonic())
        if guest is None:
            return False
        self._send_away(guest)
        for _ in range(_AT_ONCE - 1 if peer is None else 0):
            if (stranger := _waiting(self._strangers, None)) is not None:
                self._send_away(stranger)
        return True

    def _send_away(self, guest: Guest) -> None:
        self._forget(guest)
        self._leaving.add(guest)
        guest.give_way()

    def _forget(self, guest: Guest) -> bool:
        """Returns whether it was in the roster."""
        was_here = guest in self._leaving or guest in self._strangers or guest in self._known
        self._leaving.discard(guest)
        self._strangers.pop(guest, None)
        self._known.pop(guest, None)
        return was_here


def first_to_give_way(strangers: Iterable[Guest], known: Iterable[Guest], peer: str | None, now: float) -> Guest | None:
    """strangers: the oldest first. None = no connection can give way."""
    if (stranger := _waiting(strangers, peer)) is not None:
        return stranger
    others = [guest for guest in (*strangers, *known) if peer in (None, guest.peer)]
    able = [guest for guest in others if guest.activity is not Activity.WORKS]
    return min(able, key=lambda guest: _rank(guest, now), default=None)


def _waiting(strangers: Iterable[Guest], peer: str | None) -> Guest | None:
    theirs = (guest for guest in strangers if peer in (None, guest.peer))
    return next((guest for guest in theirs if guest.activity is Activity.WAITS), None)


def _rank(guest: Guest, now: float) -> tuple[int, float]:
    if guest.activity is Activity.WAITS:
        return 1, guest.since
    return (0 if now - guest.since > _LONG else 2), guest.since
