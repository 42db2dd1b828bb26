"""What colocation would bring on a cluster that does not have it yet: recorded use, replayed. No cluster runs it.

Decisions are pure (`shape`, `hours`, `batch`, `replay`, `merge`, `recommend`, `workloads`); what speaks to a cluster or
a disk is apart (`prometheus`, `discover`, `collect`, `inventory`, `sampling`, `files`).
"""
