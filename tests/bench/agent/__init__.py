# SPDX-License-Identifier: Apache-2.0
"""What the node agent costs, how soon it acts, and what an online service feels of the work beside it."""
