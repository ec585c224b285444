"""How the crash matrix's homes come to have something in quarantine, and an operator who gets it out again."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb

from timestore_pipeline.model.batch import Incident, IncidentKind
from timestore_pipeline.staging import quarantine
from timestore_pipeline.staging.journal_records import scan
from timestore_pipeline.wiring import Timestore

BAD = 1  # the number of the batch that is lost or poisonous


def rot(home: Path) -> None:
    """The segment loses a row of one batch: the others can be copied out of it."""
    _spoil(home, f"DELETE FROM rows WHERE n = (SELECT min(n) FROM rows WHERE __timestore_batch = {BAD})")


def poison(home: Path) -> None:
    """The segment stays sound; a value of one batch can no longer be cast to the dataset's type."""
    _spoil(
        home,
        "ALTER TABLE rows ALTER n TYPE VARCHAR",
        f"UPDATE rows SET n = 'poison' WHERE n = (SELECT min(n) FROM rows WHERE __timestore_batch = {BAD})",
    )


def rot_record(home: Path) -> None:
    """A bit flips in the record of one batch; there is one in each."""
    [path] = (home / "staging" / "journals").glob("*.journal")
    [record] = (found for found in scan(path).records if [batch.sequence for batch in found.record.batches] == [BAD])
    _back_up(home, path)
    content = bytearray(path.read_bytes())
    content[record.offset + len(content) // 10] ^= 0x10
    path.write_bytes(content)


def mend(store: Timestore, incident: Incident) -> None:
    """Put the file as it was once in its place: an operator has found it in a backup."""
    path = _file_of(store, incident)
    sound = _backup(store.settings.home) / path.name
    if path.exists() and sound.exists():
        shutil.copy(sound, path)


def decide(store: Timestore, decision: str) -> list[str]:
    """Requeue or discard whatever waits for an operator; what he would find wrong with it."""
    wrong = []
    for incident in store.area.ledger.incidents.all():
        if (number := incident.volume.batches) != 1:
            wrong.append(f"{number} batches hang on incident {incident.incident_id}")
        if decision == "requeue":
            mend(store, incident)
        getattr(quarantine, decision)(store.area, incident.incident_id)
    return wrong


def _spoil(home: Path, *statements: str) -> None:
    [path] = (home / "staging" / "segments" / "d").glob("*.duckdb")
    _back_up(home, path)
    with duckdb.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)


def _file_of(store: Timestore, incident: Incident) -> Path:
    if incident.kind is IncidentKind.RECORD:
        return store.area.directory.journal(incident.segment_id)
    aside = quarantine.quarantined_file(store.area, incident)
    return aside or store.area.directory.segment(incident.dataset, incident.segment_id)


def _back_up(home: Path, path: Path) -> None:
    _backup(home).mkdir()
    shutil.copy(path, _backup(home))


def _backup(home: Path) -> Path:
    return home.parent / "backup"
