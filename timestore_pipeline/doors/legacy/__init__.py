"""What was written past this software: who still does, and how its rows get in. Knows no Dagster."""
