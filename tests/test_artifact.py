import base64
import errno
import gzip
import hashlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vae_anomaly import artifact as artifact_module
from vae_anomaly.artifact import (
    BEHAVIOR,
    FORMAT,
    MANIFEST,
    WEIGHTS,
    Artifact,
    check_weights,
    read_artifact,
    write_artifact,
)
from vae_anomaly.errors import ModelFileError, OutputError, ParameterError

CONTENT = {"parameters": {"beta": 0.1, "name": "Überweisung"}, "profile": [1, 2.5, None, True]}
ARRAYS = {
    "bias": np.array([0.5, np.nan, -np.inf], dtype=np.float32),
    "kernel": np.arange(6.0).reshape(2, 3),
    "levels": np.array([[3], [4]], dtype=np.int64),
    "codes": np.zeros((0, 4), dtype=np.int32),
    "flag": np.array(True),
}

GOLDEN_FORMAT_1 = (
    "c-nPR&5qMB5Kdd*#s&5P7N4UKJC2>?!VL-a(tA}^{uz_N=0}NH)LkO&g?Hcq;4N0#ci@Sbv=nyBGSMjU=kJ@zeD-R&cybmT;#Kha"
    "#n0W<EC{B2j!3PV%E92H4@28r6W8{&@}!_4`B*iU6y#FDRyA#{E_Ua2YvF=~<S5z>rDCZ-7PGlaSYkOa6+3BJY#?(^#|eN;CDkcc"
    "LMFM?TvI1<n_H9N4y7W^t<0yQP;2N1Qe2bIP`xkx5Dm(Khh}IG@Skp(;G7znWoZsB!Rk(1nrmwqlNrQD#ex}QEF>yVQ((++k#XEL"
    "T2ihUb{ncIz%f%cjv?t(uWIacXrsX^Qp6E@P*&DLLy9$JS%|qo@+H!$w%JpgPj$DO#*cU;uxhvSWs7{0M3hDn5#RQv+%sqr#R%N<"
    "6JhLv=s2z(98ws3z5Rw?Q@+G}#E+ZbWOT(txBnUIcOA||-U&VpSgL8Y-h{*|uePmo19&8^<8VI*GzO2ek94IT$loUHo}B%wM<>K)"
    "9M2E22#)b42yX6H%h~*F@&EgFjPJAH^!A-fPhI#c{V{vglhyL+vxzXr=L^1@`Ly~4;`PRu"
)
"""A file of format 1, zlib-compressed in base 85. It must load for ever."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.vaea"


def forge(
    manifest=None, blob=None, *, header=None, compression=zipfile.ZIP_STORED, names=(MANIFEST, WEIGHTS), **changes
):
    """A model file whose hashes are right, whatever else is wrong with it."""
    if blob is None:
        blob = safetensors.numpy.save({"bias": np.zeros(2, dtype=np.float32)})
    if header is not None:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        blob = struct.pack("<Q", len(text)) + text + b"\0" * 8
    if manifest is None:
        manifest = {
            "kind": "vae_anomaly model",
            "format": 1,
            "versions": {"vae_anomaly": "0.1.0"},
            "members": {WEIGHTS: {"sha256": hashlib.sha256(blob).hexdigest(), "size": len(blob)}},
        } | changes
        canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
        manifest["manifest_sha256"] = hashlib.sha256(canonical).hexdigest()
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in zip(names, (text, blob, b"more"), strict=False):
            archive.writestr(name, content)
    return buffer.getvalue()


_BLOB = safetensors.numpy.save({"bias": np.zeros(2, dtype=np.float32)})
_RECORDED = {WEIGHTS: {"sha256": hashlib.sha256(_BLOB).hexdigest(), "size": len(_BLOB)}}


def refusal(path, content):
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        read_artifact(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def same(left, right):
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype
        and left[name].shape == right[name].shape
        and left[name].tobytes() == right[name].tobytes()
        for name in left
    )


# What is written is what is read
@pytest.mark.parametrize("behavior", [None, b"", b"what the reader of it audits"])
def test_the_past_is_kept_as_it_is(path, behavior):
    write_artifact(path, CONTENT, ARRAYS, behavior=behavior)
    found = read_artifact(path)
    assert found.behavior == behavior
    assert same(found.weights, ARRAYS)
    if behavior:
        damaged = path.read_bytes().replace(behavior, behavior.upper())
        assert "CRC" in refusal(path, damaged) or "altered" in refusal(path, damaged)


def test_round_trip_is_bit_equal(path):
    write_artifact(path, CONTENT, ARRAYS)
    found = read_artifact(path)
    assert {key: found.manifest[key] for key in CONTENT} == CONTENT
    assert same(found.weights, ARRAYS)
    assert all(array.flags.writeable for array in found.weights.values())


ARRAY = npst.arrays(
    st.sampled_from(["f4", "f8", "i4", "i8", "?", ">f4", ">i8"]), npst.array_shapes(min_dims=0, min_side=0, max_side=3)
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
NAME = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=60, deadline=None)
@given(content=JSON, arrays=st.dictionaries(NAME, ARRAY, max_size=4))
def test_any_json_and_any_arrays_come_back(tmp_path_factory, content, arrays):
    path = tmp_path_factory.mktemp("any") / "model.vaea"
    write_artifact(path, {"content": content}, arrays)
    found = read_artifact(path)
    assert found.manifest["content"] == content
    assert same(found.weights, {name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()})


def test_strided_arrays_are_kept_by_value(path):
    table = np.arange(24.0).reshape(4, 6)
    write_artifact(path, {}, {"transposed": table.T, "every_other": table[::2, ::-3]})
    found = read_artifact(path).weights
    np.testing.assert_array_equal(found["transposed"], table.T)
    np.testing.assert_array_equal(found["every_other"], table[::2, ::-3])


def test_equal_input_gives_equal_bytes(path, tmp_path):
    other = tmp_path / "other.vaea"
    write_artifact(path, CONTENT, ARRAYS)
    write_artifact(other, dict(reversed(CONTENT.items())), dict(reversed(ARRAYS.items())))
    assert path.read_bytes() == other.read_bytes()


def test_what_was_read_may_be_written_again(path, tmp_path):
    write_artifact(path, CONTENT | {"versions": {"torch": "2.13.0"}}, ARRAYS)
    found = read_artifact(path)
    write_artifact(tmp_path / "copy.vaea", found.manifest, found.weights)
    assert (tmp_path / "copy.vaea").read_bytes() == path.read_bytes()
    assert found.manifest["versions"].keys() == {"torch", "vae_anomaly", "numpy", "python"}


def test_the_file_is_a_plain_stored_zip(path):
    write_artifact(path, CONTENT, ARRAYS)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [MANIFEST, WEIGHTS]
        manifest = json.loads(archive.read(MANIFEST))
        blob = archive.read(WEIGHTS)
    assert manifest["format"] == FORMAT
    assert manifest["members"][WEIGHTS] == {"sha256": hashlib.sha256(blob).hexdigest(), "size": len(blob)}


def test_the_golden_file_of_format_1_loads(path):
    path.write_bytes(zlib.decompress(base64.b85decode(GOLDEN_FORMAT_1)))
    found = read_artifact(path)
    assert found.manifest["parameters"] == {"beta": 0.1, "hidden": [128, 128]}
    assert found.manifest["versions"]["torch"] == "2.13.0"
    np.testing.assert_array_equal(found.weights["encoder.bias"], np.array([0.5, -1.0], dtype=np.float32))
    assert found.weights["steps"] == 800


def test_an_old_file_passes_through_every_upgrade(path, monkeypatch):
    path.write_bytes(zlib.decompress(base64.b85decode(GOLDEN_FORMAT_1)))
    monkeypatch.setattr(artifact_module, "FORMAT", 3)
    monkeypatch.setitem(artifact_module._UPGRADES, 1, lambda manifest: manifest | {"trail": [manifest["format"]]})
    monkeypatch.setitem(
        artifact_module._UPGRADES, 2, lambda manifest: manifest | {"trail": [*manifest["trail"], manifest["format"]]}
    )
    found = read_artifact(path).manifest
    assert (found["trail"], found["format"]) == ([1, 2], 3)


def test_every_format_before_this_one_has_an_upgrade():
    assert sorted(artifact_module._UPGRADES) == list(range(1, FORMAT))


def test_reading_and_writing_need_no_torch():
    code = "import sys, vae_anomaly.artifact; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])  # noqa: S603


# What cannot be kept is refused when it is written


@pytest.mark.parametrize(
    "content",
    [
        {"x": float("nan")},
        {"x": [1.0, float("inf")]},
        {"x": {1: "a"}},
        {"x": {1, 2}},
        {"x": np.float32(1)},
        {"x": 2**64},
        {"x": b"bytes"},
    ],
    ids=str,
)
def test_a_manifest_that_json_cannot_keep_is_refused(path, content):
    with pytest.raises(ParameterError, match=r"manifest.*'x'"):
        write_artifact(path, content, {})
    assert not path.exists()


def test_a_manifest_nested_too_deep_is_refused(path):
    deep = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(ParameterError, match="nested"):
        write_artifact(path, {"x": deep}, {})


@pytest.mark.parametrize(
    "array", [np.zeros(2, dtype="f2"), np.array(["a"]), np.array([None])], ids=lambda a: a.dtype.name
)
def test_other_dtypes_are_refused(path, array):
    with pytest.raises(ParameterError, match=f"float32.*'bias' of dtype {array.dtype}"):
        write_artifact(path, {}, {"bias": array})


# Hostile and damaged files


class Payload:
    """Its pickle creates a file when it is loaded."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_refused_and_does_not_run(path, tmp_path, protocol):
    target = tmp_path / "executed"
    message = refusal(path, pickle.dumps(Payload(target), protocol=protocol))
    assert not target.exists()
    assert "a pickle" in message if protocol >= 2 else "begins with" in message
    pickle.loads(path.read_bytes()).close()  # noqa: S301
    assert target.exists()  # so the payload would have worked


def test_a_torch_file_is_refused_and_does_not_run(path, tmp_path):
    target = tmp_path / "executed"
    content = forge(pickle.dumps(Payload(target)), names=("archive/data.pkl", "archive/version"))
    message = refusal(path, content)
    assert "torch" in message
    assert "data.pkl" in message
    assert not target.exists()


def test_a_column_called_like_a_pickle_is_no_pickle(path):
    write_artifact(path, {"columns": ["archive/data.pkl"]}, ARRAYS)
    assert read_artifact(path).manifest["columns"] == ["archive/data.pkl"]


def edited(content, old, new):
    assert content.count(old) >= 1
    return content.replace(old, new)


def flagged_as_encrypted():
    content = bytearray(forge())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def tensor(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"bias": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


WHOLE = forge()
BOOL_OF_2 = edited(safetensors.numpy.save({"b": np.ones(1, dtype=bool)}), b"\x01", b"\x02")
HOSTILE = {
    "empty": (b"", "empty"),
    "json": (b'{"format": 1}', "plain JSON"),
    "json with a byte order mark": (b'\xef\xbb\xbf {"format": 1}', "plain JSON"),
    "gzip": (gzip.compress(WHOLE), "gzip"),
    "csv": (b"amount,label\n1,0\n", "begins with b'amount,l'"),
    "bare safetensors": (safetensors.numpy.save({"bias": np.zeros(2)}), "bare safetensors"),
    "bytes after the zip": (WHOLE + b"x", "added to"),
    "bytes before the zip": (b"PK\x03\x04" + WHOLE, "end record"),
    "two files in one": (WHOLE + WHOLE, "end record"),
    "compressed": (forge(compression=zipfile.ZIP_DEFLATED), "'manifest.json' compressed from"),
    "encrypted": (flagged_as_encrypted(), "encrypted"),
    "no weights": (forge(names=(MANIFEST,)), "weights.safetensors, once each"),
    "no manifest": (forge(names=("a.json", WEIGHTS)), "a.json"),
    "a third member": (forge(names=(MANIFEST, WEIGHTS, "run.py")), "run.py"),
    "a past that is not recorded": (forge(names=(MANIFEST, WEIGHTS, BEHAVIOR)), "behavior.parquet as recorded"),
    "a member that is only recorded": (forge(members=_RECORDED | {"b": None}), "found nothing"),
    "path trick": (forge(names=(MANIFEST, "../weights.safetensors")), "../weights.safetensors"),
    "absolute path": (forge(names=(MANIFEST, "/weights.safetensors")), "/weights.safetensors"),
    "manifest cut at a NUL": (edited(forge(names=(MANIFEST + "_x", WEIGHTS)), b".json_", b".json\0"), "manifest.json"),
    "not UTF-8": (forge(b'{"kind": "\xff"}'), "utf-8"),
    "not JSON": (forge(b"{'a': 1}"), "plain JSON"),
    "a list": (forge(b"[]"), "a JSON object"),
    "duplicate key": (forge(b'{"format": 1, "format": 2}'), "'format' twice"),
    "NaN": (forge(b'{"a": NaN}'), "nan"),
    "an infinite number": (forge(b'{"a": 1e999}'), "inf"),
    "a huge integer": (forge(b'{"a": ' + b"9" * 100_000 + b"}"), "plain JSON"),
    "too long an integer": (forge(b'{"a": ' + b"9" * 30 + b"}"), "9" * 30),
    "nested without end": (forge(b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"), "plain JSON"),
    "nested too deep": (forge(b'{"a": ' + b"[" * 80 + b"]" * 80 + b"}"), "nested more than"),
    "another kind": (forge(kind="another model"), "'vae_anomaly model', found 'another model'"),
    "format is text": (forge(format="1"), "positive integer, found '1'"),
    "format is true": (forge(format=True), "positive integer, found True"),
    "format 0": (forge(format=0), "positive integer, found 0"),
    "versions is a list": (forge(versions=[]), "'versions'"),
    "members is a list": (forge(members=[]), "'members'"),
    "no hash of the weights": (forge(members={}), "found {'sha256'"),
    "weights of another file": (forge(members={WEIGHTS: {"sha256": "0" * 64, "size": 1}}), "altered or damaged"),
    "no safetensors header": (forge(blob=b"abc"), "length of its header"),
    "header longer than the file": (forge(blob=struct.pack("<Q", 2**60) + b"{}"), "length of its header"),
    "header is a list": (forge(header=b"[]"), "a JSON object"),
    "header with a name twice": (forge(header=b'{"a": 1, "a": 2}'), "'a' twice"),
    "header with metadata": (forge(header={"__metadata__": {"a": "b"}}), "'__metadata__'"),
    "16-bit dtype": (forge(header=tensor("F16", (4,))), "found 'F16'"),
    "dtype is a list": (forge(header=tensor(["F32"])), "dtype among"),
    "negative shape": (forge(header=tensor(shape=(-1, -2))), "[-1, -2]"),
    "shape of text": (forge(header=tensor(shape=("2",))), "'2'"),
    "huge shape": (forge(header=tensor(shape=(2**32, 2**32))), "73,786,976,294,838,206,464"),
    "huge empty shape": (forge(header=tensor(shape=(2**63, 0), offsets=(0, 0))), "9223372036854775808"),
    "many axes": (forge(header=tensor(shape=(1,) * 99, offsets=(0, 4))), "at most 64"),
    "offsets outside": (forge(header=tensor(offsets=(8, 16))), "[8, 16]"),
    "offsets reversed": (forge(header=tensor(offsets=(8, 0))), "[8, 0]"),
    "one offset": (forge(header=tensor(offsets=(8,))), "[8]"),
    "a hole": (forge(header=tensor(shape=(1,), offsets=(4, 8))), "safetensors"),
    "overlapping arrays": (forge(header=tensor() | {"b": tensor()["bias"]}), "safetensors"),
    "a bool that is 2": (forge(blob=BOOL_OF_2), "0 and 1"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_with_the_reason(path, case):
    content, reason = HOSTILE[case]
    assert reason in refusal(path, content)


def test_forged_files_are_fine_otherwise(path):
    path.write_bytes(WHOLE)  # or the cases above would prove nothing
    np.testing.assert_array_equal(read_artifact(path).weights["bias"], np.zeros(2, dtype=np.float32))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(path):
    for names in ((MANIFEST, MANIFEST), (MANIFEST, WEIGHTS, WEIGHTS)):
        assert "once each" in refusal(path, forge(names=names))


def test_a_newer_format_names_both_and_its_writer(path):
    message = refusal(
        path, forge(format=FORMAT + 6, versions={"vae_anomaly": "9.8.7"}, names=(MANIFEST, WEIGHTS, "new"))
    )
    assert f"format {FORMAT + 6}, written by vae_anomaly 9.8.7" in message
    assert f"format {FORMAT} or older" in message
    assert "pip install --upgrade" in message


def test_an_edited_manifest_is_found(path):
    write_artifact(path, {"threshold": 1.5}, ARRAYS)
    with zipfile.ZipFile(path) as archive:
        text, blob = archive.read(MANIFEST), archive.read(WEIGHTS)
    message = refusal(path, forge(edited(text, b'"threshold":1.5', b'"threshold":9.5'), blob))
    assert "manifest.json" in message
    assert "altered or damaged" in message


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(ModelFileError, match=r"nothing\.vaea.*nothing of that name"):
        read_artifact(tmp_path / "nothing.vaea")
    with pytest.raises(ModelFileError, match="a folder"):
        read_artifact(tmp_path)
    with pytest.raises(ModelFileError, match="nothing of that name"):
        read_artifact("a\0b")


def test_too_large_a_file_is_refused_unread(path):
    with path.open("wb") as file:
        file.truncate(artifact_module.MAX_FILE_BYTES + 1)  # sparse: takes no room
    with pytest.raises(ModelFileError, match="at most"):
        read_artifact(path)


def test_a_zip_bomb_is_refused_without_inflating(path):
    bomb = forge(b"{" + b" " * 50_000_000 + b"}", compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    tracemalloc.start()
    message = refusal(path, bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "50,000,002" in message
    assert peak < 5_000_000


def test_a_size_that_the_file_does_not_have_allocates_nothing(path):
    content = bytearray(forge())
    claimed = struct.pack("<LL", 2**31 - 1, 2**31 - 1)
    content[18:26] = claimed
    directory = content.index(b"PK\x01\x02")
    content[directory + 20 : directory + 28] = claimed
    tracemalloc.start()
    refusal(path, bytes(content))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_flipped_bit_is_found_or_changes_nothing(path):
    write_artifact(path, CONTENT, ARRAYS)
    whole, expected = path.read_bytes(), read_artifact(path)
    rng = np.random.default_rng(20240)
    refused = 0
    for position in rng.choice(len(whole), size=min(300, len(whole)), replace=False):
        content = bytearray(whole)
        content[position] ^= int(rng.integers(1, 256))
        path.write_bytes(content)
        try:
            found = read_artifact(path)
        except ModelFileError:
            refused += 1
        else:
            assert found.manifest == expected.manifest
            assert same(found.weights, expected.weights)
    assert refused > 250  # dates and permissions of a member are all that may change unseen


def test_every_truncation_is_refused(path):
    write_artifact(path, CONTENT, ARRAYS)
    whole = path.read_bytes()
    for length in np.random.default_rng(7).choice(len(whole), size=100, replace=False):
        refusal(path, whole[:length])


# Interrupted and refused writing


def disk_full(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_interrupted_write_leaves_nothing(path, tmp_path, monkeypatch, step):
    monkeypatch.setattr(os, step, disk_full)
    with pytest.raises(OutputError, match=r"model\.vaea.*No space left"):
        write_artifact(path, CONTENT, ARRAYS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_interrupted_write_keeps_what_was_there(path, tmp_path, monkeypatch, step):
    write_artifact(path, CONTENT, ARRAYS)
    before = path.read_bytes()
    monkeypatch.setattr(os, step, disk_full)
    with pytest.raises(OutputError):
        write_artifact(path, {}, {}, overwrite=True)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_an_interrupt_from_the_keyboard_leaves_nothing(path, tmp_path, monkeypatch):
    def interrupt(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_artifact(path, CONTENT, ARRAYS)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept_unless_overwriting_is_asked_for(path):
    path.write_text("precious")
    with pytest.raises(OutputError, match=r"exists already.*--force.*overwrite=True"):
        write_artifact(path, CONTENT, ARRAYS)
    assert path.read_text() == "precious"
    write_artifact(path, CONTENT, ARRAYS, overwrite=True)
    assert same(read_artifact(path).weights, ARRAYS)


def test_a_missing_folder_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="No such file or directory"):
        write_artifact(tmp_path / "missing" / "model.vaea", {}, {})


def test_a_folder_is_never_replaced(tmp_path):
    with pytest.raises(OutputError):
        write_artifact(tmp_path, {}, {}, overwrite=True)
    assert tmp_path.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_too_large_a_model_is_an_output_error(path, monkeypatch):
    monkeypatch.setattr(artifact_module, "MAX_MANIFEST_BYTES", 100)
    with pytest.raises(OutputError, match="at most 100 bytes"):
        write_artifact(path, CONTENT, ARRAYS)
    assert not path.exists()


# The weights that a network needs


def test_fitting_weights_pass():
    check_weights(Artifact({}, ARRAYS), {name: (array.shape, array.dtype) for name, array in ARRAYS.items()})


def test_every_misfit_is_listed():
    weights = {"a": np.zeros(2), "b": np.zeros(3), "c": np.zeros(1)}
    expected = {"a": ((2,), np.float32), "b": ((2, 2), np.float64), "d": ((), np.int64)}
    with pytest.raises(ModelFileError) as caught:
        check_weights(Artifact({}, weights, Path("some.vaea")), expected)
    message = str(caught.value)
    assert "some.vaea" in message
    assert "a: expected (2,) float32, found (2,) float64" in message
    assert "b: expected (2, 2) float64, found (3,) float64" in message
    assert "c: expected no such array, found (1,) float64" in message
    assert "d: expected () int64, found none (missing)" in message


def test_only_a_file_is_replaced(tmp_path):
    with pytest.raises(OutputError, match="is no file"):
        write_artifact(tmp_path, {}, {}, overwrite=True)
