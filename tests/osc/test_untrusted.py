"""Whatever bytes arrive: a package, or a refusal. Never another error, never a file outside, never without end."""

from __future__ import annotations

import contextlib
import io
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import FILES, write


def archive(kind: str) -> bytes:
    target = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, text in FILES.items():
                opened.writestr(f"shop/{name}", text)
    else:
        with tarfile.open(fileobj=target, mode="w:gz", format=tarfile.PAX_FORMAT) as opened:
            for name, text in FILES.items():
                info = tarfile.TarInfo(f"shop/{name}")
                info.size, info.pax_headers = len(text), {"comment": "x" * 600}
                opened.addfile(info, io.BytesIO(text.encode()))
    return target.getvalue()


GOOD = {"a.zip": archive("zip"), "a.tgz": archive("tgz")}
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=4)), min_size=1, max_size=6)


def changed(data: bytes, changes: list[tuple[float, bytes]]) -> bytes:
    for where, piece in changes:
        at = int(where * len(data))
        data = data[:at] + piece + data[at + len(piece) :] if piece else data[:at]
    return data


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(["a.zip", "a.tgz", "a.tar"]), changes=CHANGES)
def test_a_damaged_archive_is_unpacked_or_refused(name: str, changes: list[tuple[float, bytes]]) -> None:
    from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _folder  # noqa: PLC0415
    from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import Refused  # noqa: PLC0415

    if name == "a.tar":  # damage below the compression, where its checksum does not hide the rest
        import gzip  # noqa: PLC0415

        name, data = "a.tgz", gzip.compress(changed(gzip.decompress(GOOD["a.tgz"]), changes), 1)
    else:
        data = changed(GOOD[name], changes)
    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / "target"
        target.mkdir()
        (Path(place) / name).write_bytes(data)
        with contextlib.suppress(Refused):
            _folder.unpack(str(Path(place) / name), str(target))
        assert {path.name for path in Path(place).iterdir()} == {name, "target"}


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{b}: &{b} {{<<: [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]}}\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "values",
    [
        "[" * 200_000,
        "- " * 200_000,
        "{a: " * 200_000,
        "? " * 200_000,
        LAUGHS,
        MERGES,
        "a: &a [*a]\n",
        "a: &a {b: *a}\n",
        "[" * 5000 + "]" * 5000,
        "a: " + "{b: " * 300 + "}" * 300,
    ],
)
def test_yaml_that_unfolds_without_end_is_refused(check: Callable[..., Any], tmp_path: Path, values: str) -> None:
    result = check(write(tmp_path / "shop", {**FILES, "values.yaml": values}))
    assert {f.rule for f in result.errors} <= {"archive-bomb", "yaml-syntax"}
    assert result.errors


@pytest.mark.parametrize("text", ["{{/*" * 100_000, "{{" * 500_000, '{{ "' * 300_000, "a." * 500_000, "x" * 4_000_000])
def test_templates_that_are_hard_to_read_are_read_in_time(text: str) -> None:
    from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _chart, _reference  # noqa: PLC0415

    chart = _chart.Chart("shop", {"shop/templates/a.yaml": text}, "")
    start = time.process_time()
    list(_chart._literals(chart))
    _reference.in_text(text)
    assert time.process_time() - start < 10
