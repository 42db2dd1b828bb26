"""Developer tools: what `make generate` runs."""
