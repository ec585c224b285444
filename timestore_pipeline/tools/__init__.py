"""Programs beside the product, each loaded only by its command: `crashtest`, `simulate`, `advise` and `doctor`."""
