"""ColocationPolicy's fields as options of an Ansible module: an argument spec, and its documentation.

Snake case at every depth. Defaults are stated: a task says the whole policy, and what it leaves out has its default.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec
import yaml
from msgspec import inspect as types

from colocation.model import policy
from tools.crds import HEADER
from tools.schema import description, field_docs

SOURCE: Final = "reconciler/src/colocation/model/policy.py"
_GPL: Final = (
    "# Copyright (c) 2026, the openfuyao.colocation contributors\n"
    "# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)\n"
    "# SPDX-License-Identifier: GPL-3.0-or-later\n"
)


def argument_spec() -> str:
    """`plugins/module_utils/policy/_fields.py`."""
    spec = {name: _spec(option) for name, option in _options(policy.PolicySpec).items()}
    body = re.sub(r": (true|false)\b", lambda match: match.group().title(), json.dumps(spec, indent=4))
    return (
        f"{_GPL}# {HEADER.format(source=SOURCE)}\n\n"
        "# This module util is **PRIVATE** to the collection; it can change at any time.\n\n"
        '"""The fields of ColocationPolicy.spec as an argument spec."""\n\n'
        "from __future__ import annotations\n\n"
        f"import typing as t\n\nFIELDS: dict[str, dict[str, t.Any]] = {body}\n"
    )


def doc_fragment() -> str:
    """`plugins/doc_fragments/_policy.py`."""
    options = {name: _doc(option) for name, option in _options(policy.PolicySpec).items()}
    text = yaml.dump({"options": options}, Dumper=_Indented, sort_keys=False, width=110, allow_unicode=True)
    if '"""' in text or "\\" in text:
        raise ValueError("a description of the policy cannot be in a raw string")
    return (
        f"{_GPL}# {HEADER.format(source=SOURCE)}\n\n"
        "# This doc fragment is **PRIVATE** to the collection; it can change at any time.\n\n"
        "from __future__ import annotations\n\n\n"
        f'class ModuleDocFragment:\n    DOCUMENTATION = r"""\n{text}"""\n'
    )


def engines() -> str:
    """`roles/colocation_engine/vars/engines.yml`: what a policy may name."""
    known = _options(policy.PolicySpec)["engine"]["choices"]
    header = f"# SPDX-License-Identifier: Apache-2.0\n# {HEADER.format(source=SOURCE)}\n---\n"
    return f"{header}__colocation_engine_known: [{', '.join(known)}]\n"


class _Indented(yaml.SafeDumper):
    """Lists are indented below their key, as yamllint wants them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().increase_indent(flow, indentless=False)


def _options(struct: type[msgspec.Struct]) -> dict[str, dict[str, Any]]:
    info = types.type_info(struct)
    if not isinstance(info, types.StructType):
        raise TypeError(f"{struct!r} is not a Struct")
    docs = field_docs(struct)
    return {field.name: _option(field, docs.get(field.name, "")) for field in info.fields}


def _option(field: types.Field, doc: str) -> dict[str, Any]:
    option: dict[str, Any] = {}
    kind, summary = _plain(field.type)
    summary = doc or summary
    if isinstance(kind, types.StructType):
        option |= {"type": "dict", "options": _options(kind.cls)}
        summary = summary or description(kind.cls)
        # A selector is one value, and what may be left out altogether is a switch: neither is filled in by itself.
        if not (kind.cls.__struct_config__.omit_defaults or _may_be_nothing(field.type)):
            option["apply_defaults"] = True
    elif isinstance(kind, types.VarTupleType):
        item, _ = _plain(kind.item_type)
        option |= {"type": "list"}
        if isinstance(item, types.StructType):
            option |= {"elements": "dict", "options": _options(item.cls)}
            summary = summary or description(item.cls)
        else:
            option["elements"] = _scalar(item)["type"]
    else:
        option |= _scalar(kind)
    if isinstance(kind, types.StrType) and kind.pattern == policy.QUANTITY_PATTERN:
        summary = f"{summary} A Kubernetes quantity."
    if isinstance(kind, types.IntType) and kind.ge is not None and kind.le is not None:
        summary = f"{summary} From {kind.ge} to {kind.le}."
    option["description"] = summary or f"C({field.encode_name}) as Kubernetes has it."
    if field.required:
        option["required"] = True
    elif isinstance(field.default, (bool, int, str)):
        option["default"] = field.default
    return option


def _plain(info: types.Type) -> tuple[types.Type, str]:
    """Without annotation, and without "or nothing"."""
    if isinstance(info, types.Metadata):
        inner, summary = _plain(info.type)
        return inner, (info.extra_json_schema or {}).get("description", summary)
    if isinstance(info, types.UnionType):
        (inner,) = [member for member in info.types if not isinstance(member, types.NoneType)]
        return _plain(inner)
    return info, ""


def _may_be_nothing(info: types.Type) -> bool:
    if isinstance(info, types.Metadata):
        return _may_be_nothing(info.type)
    return isinstance(info, types.UnionType) and any(isinstance(member, types.NoneType) for member in info.types)


def _scalar(info: types.Type) -> dict[str, Any]:
    match info:
        case types.BoolType():
            return {"type": "bool"}
        case types.IntType():
            return {"type": "int"}
        case types.FloatType():
            return {"type": "float"}
        case types.StrType():
            return {"type": "str"}
        case types.LiteralType():
            return {"type": "str", "choices": [str(value) for value in info.values]}
        case types.DictType():
            return {"type": "dict"}
    raise TypeError(f"no option for {info!r}")


def _spec(option: dict[str, Any]) -> dict[str, Any]:
    spec = {key: value for key, value in option.items() if key not in ("description", "options")}
    if "options" in option:
        spec["options"] = {name: _spec(child) for name, child in option["options"].items()}
        for name, child in spec["options"].items():
            if name == "key":
                child["no_log"] = False  # of a label, which ansible would take for a secret by its name
    return spec


def _doc(option: dict[str, Any]) -> dict[str, Any]:
    doc: dict[str, Any] = {"description": [option["description"]]}
    doc |= {
        key: value for key, value in option.items() if key in ("type", "elements", "choices", "default", "required")
    }
    if "options" in option:
        doc["suboptions"] = {name: _doc(child) for name, child in option["options"].items()}
    return doc
