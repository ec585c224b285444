"""The checks of a dataset, and how their verdicts are reached. Pure: status and audits in, verdicts out.

`watch` answers the first four at its ticks, from the ledger alone. The other two read the lake, so they are answered by
a run of `verify_lake`, or by a click on Execute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import dagster as dg

from timestore_pipeline.defs.events import Metadata, asset_key
from timestore_pipeline.flush.dataset_status import DatasetStatus
from timestore_pipeline.model.thresholds import LATE_RULE
from timestore_pipeline.recovery.findings import DatasetAudit, Finding
from timestore_pipeline.recovery.totals import total_findings
from timestore_pipeline.staging.ledger.audit import LedgerTotals
from timestore_pipeline.system import clock

FULL_SHARE = 0.8  # of the guardrail; beyond it a flush that fails once more ends in rejected or unlimited writes

FRESH = "fresh"
BELOW_GUARDRAIL = "below_guardrail"
QUARANTINE_EMPTY = "quarantine_empty"
BOOKS_BALANCE = "books_balance"
VERIFIED = "verified"
NO_UNMANAGED_FILES = "no_unmanaged_files"

WATCHED: Mapping[str, str] = {
    FRESH: f"No staged batch waits longer than {LATE_RULE}.",
    BELOW_GUARDRAIL: f"Staged data takes less than {FULL_SHARE:.0%} of the disk space that the guardrail allows.",
    QUARANTINE_EMPTY: "No batch is set aside for an operator to requeue or discard.",
    BOOKS_BALANCE: "In the ledger, accepted = pending + in flight + published + quarantined + discarded; and the newest"
    " materialization is a flush.",
}
AUDITED: Mapping[str, str] = {
    VERIFIED: "`timestore verify` finds every acknowledged row in its segment or in the lake, once.",
    NO_UNMANAGED_FILES: "The table's folder has no Parquet file that neither a commit nor a flush knows.",
}
_UNMANAGED = "unmanaged_file"  # code of the audit's finding
_MOST_LISTED = 5  # findings in a description; `timestore verify` lists all


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of one check; `text` is a sentence for an operator."""

    dataset: str
    check: str
    passed: bool
    text: str
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    numbers: Metadata = field(default_factory=dict)
    failing_shards: frozenset[str] = frozenset()  # of a verdict for all shards

    @property
    def key(self) -> dg.AssetCheckKey:
        return dg.AssetCheckKey(asset_key(self.dataset), self.check)

    def evaluation(self) -> dg.AssetCheckEvaluation:
        """As an event without a run, or of any run: what the dataset's page shows until the next evaluation.

        Without a partition, the next flush would turn it grey, whatever it changed: Dagster counts an evaluation as
        outdated by any later materialization. One of a partition is outdated by a materialization of that partition
        only, and no dataset has one of this name. The instant makes it unique, which Dagster's storage demands.
        """
        return dg.AssetCheckEvaluation(
            asset_key=asset_key(self.dataset),
            check_name=self.check,
            passed=self.passed,
            severity=self.severity,
            description=self.text,
            metadata=self.numbers,
            partition=f"as of {clock.now():%Y-%m-%d %H:%M:%S.%f} UTC",
        )

    def result(self) -> dg.AssetCheckResult:
        """As the answer of an executed check, which Dagster takes without a partition."""
        return dg.AssetCheckResult(
            asset_key=asset_key(self.dataset),
            check_name=self.check,
            passed=self.passed,
            severity=self.severity,
            description=self.text,
            metadata=self.numbers,
        )


def watched(status: DatasetStatus, guardrail: int, totals: LedgerTotals, now: datetime) -> list[Verdict]:
    """The checks that need the ledger only; guardrail: bytes, 0 = off."""
    return [*at_a_glance(status, guardrail, now), books(status.backlog.dataset, totals)]


def at_a_glance(status: DatasetStatus, guardrail: int, now: datetime) -> list[Verdict]:
    """The checks that need no more than the status."""
    return [_fresh(status, now), _below_guardrail(status, guardrail), _quarantine(status)]


def audited(audit: DatasetAudit) -> list[Verdict]:
    """The checks that `timestore verify` answers."""
    unmanaged = [finding for finding in audit.warnings if finding.code == _UNMANAGED]
    proven = f"{audit.accepted_rows:,} rows accepted, {audit.published_rows:,} of them published, all accounted for"
    return [
        Verdict(
            audit.dataset,
            VERIFIED,
            audit.ok,
            _description(audit.problems) or proven,
            numbers={"problems": len(audit.problems), "published_rows": audit.published_rows},
        ),
        Verdict(
            audit.dataset,
            NO_UNMANAGED_FILES,
            not unmanaged,
            _description(unmanaged) or "every file is known",
            dg.AssetCheckSeverity.WARN,  # no row is lost, and readers do not see them
            {"unmanaged_files": len(unmanaged)},
        ),
    ]


def _fresh(status: DatasetStatus, now: datetime) -> Verdict:
    waited, late_after = status.backlog.oldest_age(now), status.thresholds.late_after
    age, limit = waited.total_seconds(), status.thresholds.max_age.total_seconds()
    late = late_after is not None and waited > late_after
    text = f"the oldest staged batch waits for {age:.0f} s, the age limit is {limit:.0f} s"
    if late_after is None:
        text = "the dataset has no age limit"
    elif not status.backlog.queued.batches:
        text = "everything is published"
    elif not limit:
        text = f"the oldest staged batch waits for {age:.0f} s, and every tick should flush it"
    why = f": {status.decision.reason}" if late else ""
    name = status.backlog.dataset
    return Verdict(name, FRESH, not late, text + why, numbers={"oldest_age_seconds": age, "limit_seconds": limit})


def _below_guardrail(status: DatasetStatus, guardrail: int) -> Verdict:
    used = status.backlog.disk_bytes
    full = bool(guardrail) and used >= FULL_SHARE * guardrail
    reached = bool(guardrail) and used >= guardrail
    text = f"{used:,} of {guardrail:,} bytes are in use" if guardrail else "the dataset has no guardrail"
    severity = dg.AssetCheckSeverity.ERROR if reached else dg.AssetCheckSeverity.WARN
    numbers: Metadata = {"disk_bytes": used, "guardrail_bytes": guardrail}
    return Verdict(status.backlog.dataset, BELOW_GUARDRAIL, not full, text, severity, numbers)


def _quarantine(status: DatasetStatus) -> Verdict:
    aside = status.backlog.quarantined
    name = status.backlog.dataset
    text = "nothing is set aside"
    if aside.batches:
        text = f"{aside.batches:,} batches of {aside.rows:,} rows are set aside: `timestore quarantine list {name}`"
    numbers: Metadata = {"quarantined_batches": aside.batches, "quarantined_rows": aside.rows}
    return Verdict(name, QUARANTINE_EMPTY, not aside.batches, text, numbers=numbers)


def books(dataset: str, totals: LedgerTotals) -> Verdict:
    """Conservation inside the ledger, counted from the batches."""
    findings = list(total_findings(totals))
    text = _description(findings) or "every accepted row is in exactly one state"
    return Verdict(dataset, BOOKS_BALANCE, not findings, text, numbers={"problems": len(findings)})


def _description(findings: Sequence[Finding]) -> str:
    lines = [f"- {one.message}" + (f" [{one.hint}]" if one.hint else "") for one in findings[:_MOST_LISTED]]
    if len(findings) > _MOST_LISTED:
        lines.append(f"- and {len(findings) - _MOST_LISTED} more, see `timestore verify`")
    return "\n".join(lines)
