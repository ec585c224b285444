"""The HTTP ingestion API: `timestore serve`. Needs the extra `http`; only `cli` imports it."""
