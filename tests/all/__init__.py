# SPDX-License-Identifier: Apache-2.0
"""`make test-all`: every suite of this repository, one after the other, and docs/verified.md from the results."""
