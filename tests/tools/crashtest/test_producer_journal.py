"""A producer's journal survives its producer, torn lines and all."""

from __future__ import annotations

from pathlib import Path

from timestore_pipeline.tools.crashtest.producer_journal import ProducerJournal, read_end, read_story
from timestore_pipeline.tools.crashtest.schedule import ProvableBatch, make_batch


def keyed(count: int) -> list[ProvableBatch]:
    return [batch for number in range(count * 3) if (batch := make_batch(1, 0, number)).key is not None][:count]


def test_a_producer_that_has_not_begun_has_no_story(tmp_path: Path) -> None:
    story = read_story(tmp_path, 0)
    assert (story.sent, story.next_number, story.in_doubt()) == ({}, 0, [])


def test_what_is_intended_and_not_settled_is_in_doubt(tmp_path: Path) -> None:
    first, second = keyed(2)
    with ProducerJournal(tmp_path, 0) as journal:
        journal.intend(first)
        journal.acked(first.number, duplicate=False)
        journal.intend(second)
    story = read_story(tmp_path, 0)
    assert story.in_doubt() == [second.number]
    assert story.next_number == second.number + 1
    assert story.sent[first.number].digest == first.digest


def test_a_batch_without_a_key_is_never_sent_again(tmp_path: Path) -> None:
    keyless = next(batch for number in range(100) if (batch := make_batch(1, 0, number)).key is None)
    with ProducerJournal(tmp_path, 0) as journal:
        journal.intend(keyless)
    assert read_story(tmp_path, 0).in_doubt() == []


def test_a_torn_line_says_nothing_and_spoils_nothing(tmp_path: Path) -> None:
    first, second = keyed(2)
    with ProducerJournal(tmp_path, 0) as journal:
        journal.intend(first)
        journal.acked(first.number, duplicate=False)
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:-5])
    with ProducerJournal(tmp_path, 0) as journal:
        journal.intend(second)
        journal.acked(second.number, duplicate=True)
    story = read_story(tmp_path, 0)
    assert story.in_doubt() == [first.number]
    assert story.sent[second.number].acked
    assert story.duplicates == 1


def test_refusals_are_counted_and_complaints_kept(tmp_path: Path) -> None:
    with ProducerJournal(tmp_path, 0) as journal:
        journal.refused(0, "queue full")
        journal.complain("batch 0/7 was accepted a second time")
    story = read_story(tmp_path, 0)
    assert story.refused == 1
    assert story.complaints == ["batch 0/7 was accepted a second time"]


def test_the_end_of_a_long_story_says_what_its_next_life_has_to_know(tmp_path: Path) -> None:
    with ProducerJournal(tmp_path, 0) as journal:
        for number in range(400):
            journal.intend(make_batch(1, 0, number))
            if number < 390:
                journal.acked(number, duplicate=False)
        journal.acked(1, duplicate=True)
        for _ in range(500):
            journal.refused(399, "the queue is full, try again in a moment")
    end, story = read_end(tmp_path, 0), read_story(tmp_path, 0)
    assert len(end.sent) < len(story.sent) == 400
    assert (end.next_number, end.in_doubt()) == (story.next_number, story.in_doubt())
