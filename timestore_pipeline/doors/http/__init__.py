"""The HTTP ingestion API: `timestore serve`. Needs the extra `http`; nothing but `cli` imports it."""
