"""Prometheus integration: `telemetry` derives and pushes the series, `alerting` renders rules and a dashboard."""
