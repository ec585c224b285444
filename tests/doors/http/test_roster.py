"""Which connection gives way when there is no room: the same for every client, and never a complete request."""

from __future__ import annotations

from dataclasses import dataclass, field

from timestore_pipeline.doors.http.roster import Activity, Roster, first_to_give_way

NOW = 1_000.0


@dataclass(eq=False)
class Someone:
    name: str
    activity: Activity = Activity.WAITS
    since: float = NOW
    peer: str = "10.0.0.1"
    let_in: bool = False
    gave_way: list[str] = field(default_factory=list)

    def give_way(self) -> None:
        self.gave_way.append(self.name)


def order(strangers: list[Someone], known: list[Someone]) -> list[str]:
    """The names, first to go first."""
    names = []
    while guest := first_to_give_way(strangers, known, None, NOW):
        assert isinstance(guest, Someone)
        names.append(guest.name)
        (strangers if guest in strangers else known).remove(guest)
    return names


def test_those_that_ask_nothing_go_first_and_requests_that_are_whole_never() -> None:
    strangers = [Someone("old stranger"), Someone("new stranger"), Someone("works", Activity.WORKS)]
    known = [
        Someone("new body", Activity.RECEIVES, NOW - 1),
        Someone("slow body", Activity.RECEIVES, NOW - 60),
        Someone("idle since just now", since=NOW - 1),
        Someone("idle since long", since=NOW - 20),
        Someone("works too", Activity.WORKS, NOW - 90),
    ]
    assert order(strangers, known) == [
        "old stranger", "new stranger", "slow body", "idle since long", "idle since just now", "new body",
    ]  # fmt: skip


def test_there_is_room_again_once_a_connection_is_closed() -> None:
    roster, calls = Roster(most=1, most_of_one=1, spare=1), list[str]()
    roster.on_change(lambda: calls.append("changed"))
    roster.add(guest := Someone("a"))
    assert roster.is_full
    assert not roster.is_full_to_the_last
    assert roster.make_room()
    assert guest.gave_way == ["a"]
    assert (len(roster), calls) == (1, []), "it is not closed yet"
    assert not roster.make_room(), "it does not give way twice"
    roster.remove(guest)
    roster.remove(guest)
    assert (len(roster), calls) == (0, ["changed"])


def test_one_address_that_takes_too_many_makes_room_for_itself() -> None:
    roster = Roster(most=9, most_of_one=2, spare=0)
    other, *mine = [Someone("other", peer="10.0.0.2"), Someone("first"), Someone("second"), Someone("third")]
    for guest in (other, *mine):
        roster.add(guest)
    assert roster.exceeds_its_share("10.0.0.1")
    assert roster.make_room("10.0.0.1")
    assert [guest.name for guest in (other, *mine) if guest.gave_way] == ["first"]


def test_who_was_let_in_is_no_stranger() -> None:
    roster = Roster(most=2, most_of_one=2, spare=0)
    known, stranger = Someone("known", let_in=True), Someone("stranger")
    roster.add(known)
    roster.let_in(known)
    roster.add(stranger)
    roster.make_room()
    assert (known.gave_way, stranger.gave_way) == ([], ["stranger"])
