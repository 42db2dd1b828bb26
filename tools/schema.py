"""msgspec Structs -> structural OpenAPI v3 schemas, as a CustomResourceDefinition wants them.

Rules of translation, beside the obvious ones:

* A Struct with ``omit_defaults`` leaves defaults off the wire, so its schema states none: the API server would
  put back every byte that was saved. All others state a default at every level, so that ``spec: {}`` is filled.
* Lists are atomic, except lists of Structs that have a ``type`` and a ``status`` (conditions): the rows of a
  report as a map would cost twice as much in etcd (managedFields).
* int64's own limits follow from the format; as ``maximum`` they would be rounded to a float.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect as types

Schema = dict[str, Any]
Rules = Mapping[str, tuple[tuple[str, str], ...]]
_INT32 = 2**31 - 1
_INT64 = 2**63 - 1
# A selector is one value to server-side apply: merging halves of two selectors selects what no policy asked for.
# A NodeColocation's spec and status have one writer each: the names of all their fields in managedFields would be an
# eighth of what a report of 40 pods takes in etcd.
_ATOMIC_STRUCTS = frozenset({"LabelSelector", "NodeColocationSpec", "NodeColocationStatus"})


def struct_schema(struct: type[msgspec.Struct], rules: Rules | None = None) -> Schema:
    """The schema of a Struct and everything below it; ``rules``: CEL rules by Struct name."""
    info = types.type_info(struct)
    if not isinstance(info, types.StructType):
        raise TypeError(f"{struct!r} is not a Struct")
    return _struct(info, rules or {})


def _struct(info: types.StructType, rules: Rules) -> Schema:
    cls = info.cls
    docs = field_docs(cls)
    schema: Schema = {"type": "object", "description": description(cls)}
    if cls.__name__ in _ATOMIC_STRUCTS:
        schema["x-kubernetes-map-type"] = "atomic"
    if required := [f.encode_name for f in info.fields if f.required]:
        schema["required"] = required
    properties = schema["properties"] = {}
    silent = cls.__struct_config__.omit_defaults
    for field in info.fields:
        prop = _type(field.type, rules, nullable=not silent)
        if text := docs.get(field.name):
            prop = {"description": text} | {k: v for k, v in prop.items() if k != "description"}
        if not silent and (default := _default(field)) is not None:
            prop["default"] = default
        properties[field.encode_name] = prop
    if cls.__name__ in rules:
        schema["x-kubernetes-validations"] = [{"rule": r, "message": m} for r, m in rules[cls.__name__]]
    return schema


def _type(info: types.Type, rules: Rules, *, nullable: bool) -> Schema:
    match info:
        case types.Metadata(type=inner, extra_json_schema=extra):
            schema = _type(inner, rules, nullable=nullable)
            if text := (extra or {}).get("description"):
                schema = {"description": text} | {k: v for k, v in schema.items() if k != "description"}
            return schema
        case types.UnionType():
            # Only "T or nothing": a structural schema knows no other unions.
            (inner,) = [t for t in info.types if not isinstance(t, types.NoneType)]
            return _type(inner, rules, nullable=nullable) | ({"nullable": True} if nullable else {})
        case types.StructType(array_like=True):
            items = [_type(field.type, rules, nullable=False) for field in info.fields]
            if any(item != items[0] for item in items):
                raise TypeError(f"{info.cls.__name__}: a list has items of one type")
            bounds = {"minItems": len(items), "maxItems": len(items), "x-kubernetes-list-type": "atomic"}
            return {"type": "array", "description": description(info.cls), "items": items[0]} | bounds
        case types.StructType():
            return _struct(info, rules)
        case types.DictType(value_type=types.AnyType()):
            return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        case types.DictType():
            return {"type": "object", "additionalProperties": _type(info.value_type, rules, nullable=False)}
        case types.VarTupleType():
            schema = {"type": "array", "items": _type(info.item_type, rules, nullable=False)}
            return _bounds(schema, maxItems=info.max_length, minItems=info.min_length) | _list_type(info.item_type)
    return _scalar(info)


def _scalar(info: types.Type) -> Schema:
    match info:
        case types.BoolType():
            return {"type": "boolean"}
        case types.IntType():
            return _int(info)
        case types.FloatType():
            return {"type": "number"}
        case types.LiteralType():
            return {"type": "string", "enum": list(info.values)}
        case types.StrType():
            text: Schema = {"type": "string"}
            return _bounds(text, pattern=info.pattern, minLength=info.min_length, maxLength=info.max_length)
    raise TypeError(f"no structural schema for {info!r}")


def _int(info: types.IntType) -> Schema:
    low, high = info.ge, info.le
    small = low is not None and high is not None and low >= -_INT32 and high <= _INT32
    schema: Schema = {"type": "integer", "format": "int32" if small else "int64"}
    return _bounds(schema, minimum=low, maximum=None if high == _INT64 else high)


def _bounds(schema: Schema, **bounds: Any) -> Schema:
    return schema | {name: value for name, value in bounds.items() if value is not None}


def _list_type(item: types.Type) -> Schema:
    if isinstance(item, types.StructType) and {"type", "status"} <= {f.name for f in item.fields}:
        return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return {"x-kubernetes-list-type": "atomic"}


def _default(field: types.Field) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    elif field.default is not msgspec.NODEFAULT:
        value = field.default
    else:
        return None
    # Written out in full: the API server tries a default against the CEL rules before the levels below are filled.
    return msgspec.to_builtins(value)


def description(cls: type) -> str:
    """The class's docstring as one paragraph."""
    return " ".join((cls.__doc__ or "").split())


def field_docs(cls: type) -> dict[str, str]:
    """Strings written below fields: attribute docstrings, which only the source knows."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    docs: dict[str, str] = {}
    name = ""
    for node in body.body if isinstance(body, ast.ClassDef) else []:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif name and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docs[name] = " ".join(str(node.value.value).split())
            name = ""
        else:
            name = ""
    return docs
