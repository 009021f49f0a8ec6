"""One safe model file: a stored zip of a JSON manifest and the weights as safetensors.

::

    model.vaea
    ├── manifest.json          format, kind, versions, hashes, and whatever the caller keeps there
    ├── weights.safetensors    named arrays of float32, float64, int32, int64 or bool
    └── behavior.parquet       if the model needs the past of cards: what `BehaviorFeatures` remembers

A file is data, never code. Reading audits before it builds: the kind of file, its size, the members of the zip, the
format, the hashes, and every name, shape, dtype and offset of the weights. The hashes find damage and edits; they are
no signature, so who wrote a file is not proven by them.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import platform
import secrets
import struct
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import safetensors.numpy
from numpy.typing import DTypeLike
from safetensors import SafetensorError

from vae_anomaly._plain_json import canonical, parse, plain, shown
from vae_anomaly._version import __version__
from vae_anomaly.errors import ModelFileError, OutputError, ParameterError

FORMAT = 1
"""The format that is written. To raise it, when new code would misread an old file or old code a new one:

1. Add 1 to `FORMAT`; add to `_UPGRADES`, under the old number, a function that turns a manifest of that format into one
   of the next. Those of earlier formats stay as they are: an old file passes through all of them, one after the other.
2. Add a small file of the new format to the tests, keep those of every earlier format, and name in the changelog the
   first version that reads it.

No format may change what older versions need to name the version that is wanted: a zip whose members are stored, whose
`manifest.json` is an object with "kind", "format" and "versions". A key that old code may ignore needs no new format:
"calibration" is one, with arrays of its own, named "calibration.*", among the weights.
"""

_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}

KIND = "vae_anomaly model"
MANIFEST, WEIGHTS, BEHAVIOR = "manifest.json", "weights.safetensors", "behavior.parquet"
MAX_MANIFEST_BYTES = 64 * 2**20
MAX_FILE_BYTES = 15 * 2**27  # 1.9 GiB: below it a zip needs none of the 64-bit records
_MAX_DIRECTORY_BYTES = 2**16
_DTYPES = {"F32": "float32", "F64": "float64", "I32": "int32", "I64": "int64", "BOOL": "bool"}
_END_RECORD = struct.Struct("<4s4H2LH")
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, MemoryError, zipfile.BadZipFile, struct.error)


@dataclass(frozen=True, eq=False)
class Artifact:
    """What a model file holds, audited.

    Parameters
    ----------
    manifest : dict
        The caller's entries, and "format", "kind", "versions", "members" and "manifest_sha256".
    weights : dict of str to ndarray
        Writable arrays of their own.
    path : Path or None
        Where it was read from, for messages.
    behavior : bytes or None
        The member `BEHAVIOR` as it is, if there is one: its reader audits what is in it.
    """

    manifest: dict[str, Any]
    weights: dict[str, np.ndarray[Any, Any]]
    path: Path | None = None
    behavior: bytes | None = field(default=None, repr=False)


def write_artifact(
    path: str | os.PathLike[str],
    manifest: Mapping[str, Any],
    weights: Mapping[str, np.ndarray[Any, Any]],
    *,
    overwrite: bool = False,
    behavior: bytes | None = None,
) -> None:
    """Write a model file, whole or not at all.

    Equal input gives equal bytes. The file gets its name only when it is complete on the disk.

    Parameters
    ----------
    path : str or path
        Where to write; by custom the name ends in ``.vaea``.
    manifest : mapping of str to JSON values
        What to keep beside the weights. A "versions" mapping is completed; "format", "kind", "members" and
        "manifest_sha256" are set anew, so that a manifest that was read may be written again. Tuples become lists.
    weights : mapping of str to ndarray
        Arrays of float32, float64, int32, int64 or bool, of any shape.
    overwrite : bool
        Whether a file of that name may be replaced.
    behavior : bytes, optional
        The member `BEHAVIOR`.

    Raises
    ------
    ParameterError
        The manifest is not plain, finite JSON, or an array has a dtype that is not kept.
    OutputError
        The path exists and `overwrite` is false, or the disk refused. What stood there before is untouched.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "model.vaea"
    >>> write_artifact(path, {"parameters": {"beta": 0.1}}, {"bias": np.zeros(3, dtype=np.float32)})
    >>> artifact = read_artifact(path)
    >>> artifact.manifest["parameters"], artifact.weights["bias"]
    ({'beta': 0.1}, array([0., 0., 0.], dtype=float32))
    >>> folder.cleanup()
    """
    path = Path(path)
    if os.path.lexists(path) and not (overwrite and path.is_file()):
        found = "exists already" if path.is_file() else "is there, and is no file that could be replaced"
        raise OutputError(f"{str(path)!r} {found}. Name another, or replace a file: --force (overwrite=True).")
    members = {WEIGHTS: _pack_weights(weights)} | ({} if behavior is None else {BEHAVIOR: behavior})
    text = _pack_manifest(manifest, members)
    size, limit = len(text) + sum(map(len, members.values())), MAX_FILE_BYTES - _MAX_DIRECTORY_BYTES
    if len(text) > MAX_MANIFEST_BYTES or size > limit:
        allowed = f"a manifest of at most {MAX_MANIFEST_BYTES:,} bytes and {limit:,} bytes in all"
        raise OutputError(f"{str(path)!r} would be too large: expected {allowed}, found {len(text):,} and {size:,}.")
    _write_whole(path, _zip({MANIFEST: text, **members}))


def read_artifact(path: str | os.PathLike[str]) -> Artifact:
    """Audit a model file and read it. Nothing in it is executed.

    Parameters
    ----------
    path : str or path
        A file that `write_artifact` wrote, in this or an earlier format.

    Returns
    -------
    Artifact
        Its manifest, brought to the present format, and its weights.

    Raises
    ------
    ModelFileError
        Saying what was expected and what was found: another kind of file, a newer format, damage, an edit.

    Examples
    --------
    >>> read_artifact("no_such_model.vaea")
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.ModelFileError: Cannot load the model file 'no_such_model.vaea': expected a model file, \
found nothing of that name. Check the path.
    """
    try:
        path = Path(path)
        size = _check_is_file(path)
        with path.open("rb") as file:
            manifest, weights, behavior = _read(file, size)
    except ModelFileError as error:
        raise ModelFileError(f"Cannot load the model file {str(path)!r}: {error}") from error.__cause__
    except _DAMAGE as error:
        reason = f"expected a whole model file, found that it cannot be read ({error}). Use an intact copy."
        raise ModelFileError(f"Cannot load the model file {str(path)!r}: {reason}") from error
    return Artifact(manifest, weights, path, behavior)


def check_weights(artifact: Artifact, expected: Mapping[str, tuple[tuple[int, ...], DTypeLike]]) -> None:
    """Raise unless the weights are exactly those that a network needs.

    Parameters
    ----------
    artifact : Artifact
        What was read.
    expected : mapping of str to (shape, dtype)
        The arrays that the network described by the manifest has.

    Raises
    ------
    ModelFileError
        Listing every array that is missing, unexpected, or of another shape or dtype.

    Examples
    --------
    >>> check_weights(Artifact({}, {"bias": np.zeros(2)}), {"bias": ((3,), "float64")})
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.ModelFileError: The weights do not fit the model that the manifest describes:
      bias: expected (3,) float64, found (2,) float64
    Use the file as it was first written.
    """
    needed = {name: f"{tuple(shape)} {np.dtype(dtype)}" for name, (shape, dtype) in expected.items()}
    found = {name: f"{array.shape} {array.dtype}" for name, array in artifact.weights.items()}
    lines = [
        f"\n  {name}: expected {needed.get(name, 'no such array')}, found {found.get(name, 'none (missing)')}"
        for name in sorted({*needed, *found})
        if needed.get(name) != found.get(name)
    ]
    if lines:
        where = "" if artifact.path is None else f" in {str(artifact.path)!r}"
        shown = "".join(lines[:20]) + (f"\n  and {len(lines) - 20} more" if len(lines) > 20 else "")
        raise ModelFileError(
            f"The weights{where} do not fit the model that the manifest describes:{shown}\n"
            "Use the file as it was first written."
        )


# Writing
def _pack_weights(weights: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    arrays = {}
    for name in sorted(weights):
        array = np.asarray(weights[name], order="C")  # safetensors reads the memory as it lies, strides unseen
        if array.dtype.name not in _DTYPES.values() or name == "__metadata__":
            raise ParameterError(
                "The 'weights' parameter of write_artifact must map names other than '__metadata__' to arrays of "
                f"{', '.join(_DTYPES.values())}. Got {name!r} of dtype {array.dtype} instead."
            )
        arrays[name] = array.astype(array.dtype.newbyteorder("="), copy=False)
    return bytes(safetensors.numpy.save(arrays))


def _pack_manifest(manifest: Mapping[str, Any], members: Mapping[str, bytes]) -> bytes:
    ours = {"vae_anomaly": __version__, "numpy": np.__version__, "python": platform.python_version()}
    entries = {
        **manifest,
        "kind": KIND,
        "format": FORMAT,
        "versions": {name: str(version) for name, version in {**manifest.get("versions", {}), **ours}.items()},
        "members": {name: _fingerprint(blob) for name, blob in members.items()},
    }
    try:
        packed = plain(entries)
    except ValueError as error:
        message = f"The 'manifest' parameter of write_artifact must be plain, finite JSON. Got {error} instead."
        raise ParameterError(message) from None
    packed["manifest_sha256"] = _manifest_hash(packed)
    return canonical(packed)


def _zip(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)  # dated 1980: neither the time of writing
            info.create_system = 3  # nor the operating system may change the bytes
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.parent / f".{path.name[:50]}.{secrets.token_hex(4)}.tmp"  # same folder: moving it is then one step
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        message = f"Could not write {str(path)!r}: {error.strerror or error}. Nothing was left behind or replaced."
        raise OutputError(message) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


# Reading, in the order in which a file is audited
_INTACT = "Use an intact copy of the file."
_NEVER = "It is not opened, because loading one can run code: save the model with its save method instead."
_WHOLE = "A model is manifest and weights together: use the whole file."
_MEMBERS = f"the members {MANIFEST} and {WEIGHTS}, once each, and perhaps {BEHAVIOR}"
_NAMES = ([MANIFEST, WEIGHTS], [BEHAVIOR, MANIFEST, WEIGHTS])


def _refusal(expected: str, found: str, remedy: str = _INTACT) -> ModelFileError:
    return ModelFileError(f"expected {expected}, found {found}. {remedy}")


def _check_is_file(path: Path) -> int:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no regular file" if path.exists() else "nothing of that name"
        raise _refusal("a model file", found, "Check the path.")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise _refusal(f"at most {MAX_FILE_BYTES:,} bytes", f"{size:,}")
    return size


def _read(file: IO[bytes], size: int) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]], bytes | None]:
    _refuse_other_kinds(file.read(2**12))
    directory = _check_end_record(file, size)
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        _check_members(file, infos, directory)
        manifest = _parse_manifest(archive, infos)
        blobs = {info.orig_filename: archive.read(info) for info in infos if info.orig_filename != MANIFEST}
    for name in {**blobs, **manifest["members"]}:
        recorded, found = manifest["members"].get(name), _fingerprint(blobs[name]) if name in blobs else "nothing"
        if recorded != found:
            raise _refusal(f"{name} as recorded in {MANIFEST}, {shown(recorded)}", f"{found}: altered or damaged")
    return _upgrade(manifest), _load_weights(blobs[WEIGHTS]), blobs.get(BEHAVIOR)


def _refuse_other_kinds(head: bytes) -> None:
    first_member = head[30 : 30 + int.from_bytes(head[26:28], "little")] if head[:2] == b"PK" else b""
    kinds = (
        (not head, "an empty file", _INTACT),
        (head[:1] == b"\x80", "a pickle", _NEVER),
        (first_member.endswith(b"data.pkl"), "a torch file, which holds a pickle (data.pkl)", _NEVER),
        (head[:2] == b"\x1f\x8b", "a gzip file", "Unpack it first (gunzip) if a model file is inside."),
        (head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["), "plain JSON", _WHOLE),
        (head[8:9] == b"{", "bare safetensors weights", _WHOLE),
        (head[:4] != b"PK\x03\x04", f"a file that begins with {head[:8]!r}: damaged, or of another kind", _INTACT),
    )
    for it_is, found, remedy in kinds:
        if it_is:
            raise _refusal("a model file (a zip)", found, remedy)


def _check_end_record(file: IO[bytes], size: int) -> int:
    """Where the zip's directory begins; zipfile alone would accept bytes before and after the zip."""
    file.seek(max(0, size - _END_RECORD.size))
    tail = file.read()
    if len(tail) < _END_RECORD.size or tail[:4] != b"PK\x05\x06":
        raise _refusal("a zip's end record in the last 22 bytes", "none: the file is truncated, or was added to")
    _, disk, first_disk, here, count, length, start, comment = _END_RECORD.unpack(tail)
    if (disk, first_disk, comment) != (0, 0, 0) or here != count or start + length + _END_RECORD.size != size:
        raise _refusal(f"an end record that agrees with the file's {size:,} bytes", "another: truncated or damaged")
    if length > _MAX_DIRECTORY_BYTES:
        raise _refusal(_MEMBERS, f"a zip of {count} members")
    return int(start)


def _check_members(file: IO[bytes], infos: list[zipfile.ZipInfo], directory: int) -> None:
    """Stored, not encrypted, one after the other from the first byte to the directory."""
    position = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        name = info.orig_filename
        if info.flag_bits & 0x1:
            raise _refusal("members that are not encrypted", f"{name!r} encrypted")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            found = f"{name!r} compressed from {info.file_size:,} to {info.compress_size:,} bytes"
            raise _refusal("members that are stored", found)
        file.seek(info.header_offset)
        header = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        written = (info.flag_bits, info.compress_type, info.CRC, info.compress_size, info.file_size)
        if (header[2], header[3], *header[6:9]) != written or info.header_offset != position:
            raise _refusal("a zip whose parts agree", f"{name!r} described in two ways: damaged")
        position += _LOCAL_HEADER.size + header[9] + header[10] + info.file_size
    if position != directory:
        raise _refusal(f"members of {directory:,} bytes in all", f"{position:,}: truncated or damaged")


def _parse_manifest(archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> dict[str, Any]:
    names = sorted(info.orig_filename for info in infos)
    if names.count(MANIFEST) != 1:
        raise _refusal(_MEMBERS, shown(names))
    size = archive.getinfo(MANIFEST).file_size
    if size > MAX_MANIFEST_BYTES:
        raise _refusal(f"a {MANIFEST} of at most {MAX_MANIFEST_BYTES:,} bytes", f"{size:,}")
    manifest = _parse_json(archive.read(MANIFEST), MANIFEST)
    _check_format(manifest)  # before the names: a newer format may have other members
    if names not in _NAMES:
        raise _refusal(_MEMBERS, shown(names))
    _check_entry(manifest, "members", isinstance(manifest.get("members"), dict), "an object")
    recorded, found = manifest.get("manifest_sha256"), _manifest_hash(manifest)
    if recorded != found:
        raise _refusal(f"a {MANIFEST} of SHA-256 {shown(recorded)}", f"{found}: altered or damaged")
    return manifest


def _check_format(manifest: Mapping[str, Any]) -> None:
    number, versions = manifest.get("format", 0), manifest.get("versions", {})
    _check_entry(manifest, "kind", manifest.get("kind") == KIND, repr(KIND))
    _check_entry(manifest, "format", type(number) is int and number > 0, "a positive integer")
    good = isinstance(versions, dict) and all(isinstance(version, str) for version in versions.values())
    _check_entry(manifest, "versions", good, "an object of strings")
    if number > FORMAT:
        raise _refusal(
            f"format {FORMAT} or older, which is what vae_anomaly {__version__} reads",
            f"format {number}, written by vae_anomaly {versions.get('vae_anomaly', 'of an unknown version')}",
            "Upgrade: pip install --upgrade vae-anomaly",
        )


def _check_entry(manifest: Mapping[str, Any], key: str, good: bool, described: str) -> None:
    if not good:
        raise _refusal(f"the entry {key!r} of {MANIFEST} to be {described}", shown(manifest.get(key)))


def _upgrade(manifest: dict[str, Any]) -> dict[str, Any]:
    for number in range(manifest["format"], FORMAT):
        manifest = {**_UPGRADES[number](manifest), "format": number + 1}
    return manifest


def _load_weights(blob: bytes) -> dict[str, np.ndarray[Any, Any]]:
    _check_header(blob)
    try:
        arrays = safetensors.numpy.load(blob)
    except SafetensorError as error:
        raise _refusal(f"{WEIGHTS} to be safetensors", str(error)) from error
    for name, array in arrays.items():
        if array.dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
            raise _refusal(f"the bool array {name!r} to hold bytes 0 and 1", "others")
    return {name: np.require(array, requirements=["C", "A", "W"]) for name, array in sorted(arrays.items())}


def _check_header(blob: bytes) -> None:
    length = int.from_bytes(blob[:8], "little")
    if len(blob) < 8 or length > len(blob) - 8:
        raise _refusal(f"{WEIGHTS} to begin with the length of its header", f"{length:,} of {len(blob):,} bytes")
    header = _parse_json(blob[8 : 8 + length], f"the header of {WEIGHTS}")
    for name, entry in header.items():  # that arrays neither overlap nor leave gaps, safetensors checks itself
        _check_tensor(name, entry, len(blob) - 8 - length)


def _check_tensor(name: str, entry: Any, available: int) -> None:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _refusal(f"array {name!r} to have a dtype, a shape and data_offsets", shown(entry))
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise _refusal(f"array {name!r} to have a dtype among {', '.join(_DTYPES)}", shown(dtype))
    for label, numbers, most in (("shape", shape, 64), ("data_offsets", offsets, 2)):
        if not isinstance(numbers, list) or len(numbers) > most or any(type(n) is not int or n < 0 for n in numbers):
            raise _refusal(f"the {label} of array {name!r} to be at most {most} integers from 0 on", shown(numbers))
    n_bytes = math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize
    if (
        len(offsets) < 2
        or offsets[1] - offsets[0] != n_bytes
        or offsets[1] > available
        or max(shape, default=0) > 2**40
    ):
        found = f"shape {shown(shape)} at data_offsets {shown(offsets)}"
        raise _refusal(f"array {name!r} to lie in {n_bytes:,} of {available:,} bytes", found)


def _parse_json(text: bytes, name: str) -> dict[str, Any]:
    try:
        parsed = parse(text)
    except (ValueError, RecursionError) as error:
        raise _refusal(f"{name} to be plain JSON", str(error)) from error
    if not isinstance(parsed, dict):
        raise _refusal(f"{name} to be a JSON object", shown(parsed))
    return parsed


def _manifest_hash(manifest: Mapping[str, Any]) -> str:
    """The SHA-256 of the canonical JSON of everything but the hash itself."""
    rest = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    return hashlib.sha256(canonical(rest)).hexdigest()


def _fingerprint(blob: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(blob).hexdigest(), "size": len(blob)}
