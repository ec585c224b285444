"""Which format of the ledger this release reads and writes; `timestore --version` says it without opening one."""

from __future__ import annotations

FORMAT_VERSION = 5
