# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes cluster on one machine, for tests and the demo.

``python3 -m tests.lab up`` makes it; ``tests.lab.apiserver.ApiServer`` gives
component tests an API server alone. Standard library only: this runs before
any virtual environment exists.
"""
