"""Upgrade, rollback and the air-gapped site on real machines: `make test-upgrade`, `make test-offline`."""
