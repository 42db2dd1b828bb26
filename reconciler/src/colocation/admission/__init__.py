"""What becomes of a pod that is being made: the decision, without the server around it. Pure."""

from __future__ import annotations

from colocation.admission.mutate import Settings, mutate
from colocation.admission.review import answer

__all__ = ["Settings", "answer", "mutate"]
