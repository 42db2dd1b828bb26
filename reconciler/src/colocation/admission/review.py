"""admission.k8s.io/v1: the question as the API server asks it, and the answer."""

from __future__ import annotations

import base64
from mmap import mmap
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from colocation.admission.mutate import NewPod, Settings, mutate
from colocation.model.facts import Qos
from colocation.nesting import Deep

PATHS: Final = {"/mutate": "", **{f"/mutate/{qos.lower()}": str(qos) for qos in Qos}}
"""Default class by path: "" for pods that name their class; ``/mutate/be`` and so on: a namespace's default."""


class _ReviewRequest(Struct):
    uid: str
    object: NewPod


class _Question(Struct):
    request: _ReviewRequest


class _Response(Struct, rename="camel"):
    uid: str
    allowed: bool = True
    patch_type: str | UnsetType = UNSET
    patch: str | UnsetType = UNSET


class _ReviewResponse(Struct, rename="camel"):
    response: _Response
    api_version: str = "admission.k8s.io/v1"
    kind: str = "AdmissionReview"


_QUESTION: Final = Deep(msgspec.json.Decoder(_Question))
_ENCODER: Final = msgspec.json.Encoder()


def answer(body: bytes | mmap, settings: Settings, default: str = "") -> bytes:
    """Answer one AdmissionReview of a pod that is being made.

    Raises ValueError if it cannot be read; then the webhook's failurePolicy says what becomes of the pod.
    """
    try:
        asked = _QUESTION.decode(body).request
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ValueError(f"no AdmissionReview of a pod: {error}") from error
    patch = mutate(asked.object, settings, default)
    response = _Response(asked.uid)
    if patch:
        response.patch_type = "JSONPatch"
        response.patch = base64.b64encode(_ENCODER.encode(patch)).decode()
    return _ENCODER.encode(_ReviewResponse(response))
