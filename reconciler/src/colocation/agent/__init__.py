"""The loop on each node: sample, report, protect."""
