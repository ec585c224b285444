"""`python -m timestore_pipeline` is `timestore`."""

from __future__ import annotations

from timestore_pipeline.cli import main

if __name__ == "__main__":
    main()
