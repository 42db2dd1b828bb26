# SPDX-License-Identifier: Apache-2.0
"""`make bench`: how quick it is, beside a floor measured in the same run on the same machine."""
