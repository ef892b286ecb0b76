#!/usr/bin/env python3
"""Malicious and broken .pt, safetensors and JSON files are refused: no code runs, no memory is taken, no other error.

usage: bad_checkpoints.py [PATH_TO_checkpoint_peer_tool]; without it the one in $ZT_BUILD_DIR
Every pickle that would run code is first shown to do so in Python's own pickle module.
"""

import io
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch

TOOL = os.path.abspath(sys.argv[1] if len(sys.argv) > 1
                       else os.path.join(os.environ["ZT_BUILD_DIR"], "src", "checkpoint", "checkpoint_peer_tool"))
MARKER = "code-was-run"
CASES = []  # (name, function that writes the file or folder, suffix)
ATTACKS = []  # pickles that run code in Python
READ = ("good.pt", "tensor.pt", "weights.hf")


def case(suffix):
    def register(function):
        CASES.append((function.__name__, function, suffix))
        return function
    return register


# --- .pt files: the zip around the pickle

def good():
    """Bytes of a file that torch.save wrote."""
    out = io.BytesIO()
    torch.save({"a": torch.arange(6.0).view(2, 3), "n": 3}, out)
    return out.getvalue()


def members():
    with zipfile.ZipFile(io.BytesIO(good())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(entries, method=zipfile.ZIP_STORED):
    """A zip file of (name, bytes) pairs, in this order."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return out.getvalue()


def with_pickle(data, **storages):
    entries = [("x/data.pkl", data), ("x/byteorder", b"little")]
    entries += [(f"x/data/{key[1:]}", value) for key, value in storages.items()]
    return pack(entries + [("x/version", b"3\n")])


def end(data):
    return data.rindex(b"PK\5\6")


def edit(data, at, new):
    return data[:at] + new + data[at + len(new):]


def pt(name, make):
    CASES.append((name, lambda path: path.write_bytes(make()), ".pt"))


pt("empty", lambda: b"")
pt("short", lambda: b"PK")
pt("cut_in_half", lambda: good()[:len(good()) // 2])
pt("not_a_zip", lambda: b"\x80\x02" + b"x" * 500)
pt("torch_before_1_6", lambda: legacy())
pt("deflated_members", lambda: pack(members().items(), zipfile.ZIP_DEFLATED))
pt("zip_bomb", lambda: pack([*members().items(), ("archive/data/9", bytes(200_000_000))], zipfile.ZIP_DEFLATED))
pt("name_leaves_folder", lambda: pack([*members().items(), ("archive/../../escape", b"x")]))
pt("absolute_name", lambda: pack([*members().items(), ("/tmp/escape", b"x")]))
pt("backslash_name", lambda: pack([*members().items(), ("archive\\..\\escape", b"x")]))
pt("nul_in_name", lambda: good().replace(b"archive/version", b"archive/ver\0ion"))
pt("member_twice", lambda: duplicate())
pt("overlapping_members", lambda: overlap())
pt("member_beyond_file", lambda: central(b"archive/data/0", 20, struct.pack("<II", 0x7FFFFFF0, 0x7FFFFFF0)))
pt("header_beyond_file", lambda: central(b"archive/data/0", 42, struct.pack("<I", 0x7FFFFFF0)))
pt("other_name_in_header", lambda: good().replace(b"archive/data/0", b"archive/data/1", 1))
pt("encrypted_member", lambda: central(b"archive/data/0", 8, struct.pack("<H", 1)))
pt("other_disk", lambda: central(b"archive/data/0", 34, struct.pack("<H", 3)))
pt("two_sizes", lambda: central(b"archive/data/0", 20, struct.pack("<I", 8)))
pt("zip64_without_field", lambda: central(b"archive/data/0", 24, struct.pack("<I", 0xFFFFFFFF)))
pt("plain_count_lies", lambda: plain(8, struct.pack("<HH", 99, 99)))
pt("plain_count_is_short", lambda: plain(8, struct.pack("<HH", 1, 1)))
pt("plain_place_lies", lambda: plain(16, struct.pack("<I", 3)))
pt("plain_place_beyond_file", lambda: plain(16, struct.pack("<I", 0x7FFFFFF0)))
pt("plain_size_lies", lambda: plain(12, struct.pack("<I", 1)))
pt("directory_count_lies", lambda: edit(good(), end(good()) + 8, struct.pack("<HH", 99, 99)))
pt("directory_place_lies", lambda: edit(good(), end(good()) + 16, struct.pack("<I", 3)))
pt("directory_size_lies", lambda: edit(good(), end(good()) + 12, struct.pack("<I", 1)))
pt("several_disks", lambda: edit(good(), end(good()) + 4, struct.pack("<HH", 1, 1)))
pt("comment_behind", lambda: edit(good(), end(good()) + 20, struct.pack("<H", 5)) + b"hello")
pt("bytes_behind", lambda: good() + b"\0" * 64)
pt("zip64_record_misplaced", lambda: locator(2**62))
pt("zip64_record_negative", lambda: locator(2**64 - 1))
pt("no_pickle", lambda: pack([(n, c) for n, c in members().items() if not n.endswith("data.pkl")]))
pt("two_pickles", lambda: pack([*members().items(), ("other/data.pkl", b"\x80\x02N.")]))
pt("torchscript", lambda: pack([*members().items(), ("archive/constants.pkl", b"\x80\x02N.")]))
pt("big_endian", lambda: pack([(n, b"big" if n.endswith("byteorder") else c) for n, c in members().items()]))
pt("pickle_checksum", lambda: central(b"archive/data.pkl", 16, b"\1\2\3\4"))
pt("storage_checksum", lambda: central(b"archive/data/0", 16, b"\1\2\3\4"))
pt("storage_missing", lambda: pack([(n, c) for n, c in members().items() if not n.endswith("/0")]))
pt("storage_too_short", lambda: pack([(n, c[:8] if n.endswith("/0") else c) for n, c in members().items()]))
pt("storage_too_long", lambda: pack([(n, c * 2 if n.endswith("/0") else c) for n, c in members().items()]))


def legacy():
    out = io.BytesIO()
    torch.save({"a": torch.ones(2)}, out, _use_new_zipfile_serialization=False)
    return out.getvalue()


def central(name, offset, new):
    """Changes a field of a member's record in the directory."""
    data = good()
    return edit(data, data.rindex(name) - 46 + offset, new)


def duplicate():
    entries = list(members().items())
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pack([*entries, entries[0]])


def overlap():
    """The bytes of `data/0` hold a header of their own, to which the directory sends `data/1`."""
    name = b"x/data/1"
    inner = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 0, 0, 16, 16, len(name), 0) + name + bytes(16)
    data = pack([("x/data.pkl", b"\x80\x02N."), ("x/data/0", inner), ("x/data/1", bytes(16))])
    return edit(data, data.rindex(name) - 46 + 42, struct.pack("<I", data.index(inner)))


def plain(offset, new):
    """Changes the last record of a file without a zip64 record."""
    data = pack(members().items())
    return edit(data, end(data) + offset, new)


def locator(where):
    data = good()
    at = end(data)
    return data[:at] + struct.pack("<IIQI", 0x07064B50, 0, where, 1) + data[at:]


# --- .pt files: the pickle

def raw(name, data, **storages):
    pt(name, lambda: with_pickle(data, **storages))


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def attack(name, data):
    ATTACKS.append((name, data))
    raw(name, data)


TOUCH = f"touch {MARKER}"
CODE = f"open({MARKER!r}, 'w').close()"
attack("os_system", b"\x80\x02cos\nsystem\n" + text(TOUCH) + b"\x85R.")
attack("posix_system", b"\x80\x02cposix\nsystem\n" + text(TOUCH) + b"\x85R.")
attack("eval", b"\x80\x02c__builtin__\neval\n" + text(CODE) + b"\x85R.")
attack("exec_by_stack_global", b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93" + text(CODE) + b"\x85R.")
attack("code_inside_of_a_dict", b"\x80\x02}" + text("a") + b"cbuiltins\nexec\n" + text(CODE) + b"\x85Rs.")
raw("popen_by_newobj", b"\x80\x02csubprocess\nPopen\n](" + text("touch") + text(MARKER) + b"e\x85\x81.")
attack("popen_by_inst", b"\x80\x02(](" + text("touch") + text(MARKER) + b"eisubprocess\nPopen\n.")
attack("popen_by_obj", b"\x80\x02(csubprocess\nPopen\n](" + text("touch") + text(MARKER) + b"eo.")
attack("getattr_to_system", b"\x80\x02cbuiltins\ngetattr\ncimportlib\nimport_module\n" + text("os") +
       b"\x85R" + text("system") + b"\x86R" + text(TOUCH) + b"\x85R.")
attack("runpy", b"\x80\x02crunpy\n_run_code\n" + text(CODE) + b"}\x86R.")
attack("timeit", b"\x80\x02ctimeit\ntimeit\n(" + text(CODE) + text("pass") + b"ctime\nperf_counter\nK\x01tR.")
attack("write_by_open", b"\x80\x02cio\nopen\n" + text(MARKER) + text("w") + b"\x86R.")
attack("memoised_function", b"\x80\x02cos\nsystem\nq\0000h\0" + text(TOUCH) + b"\x85R.")
raw("extension_code", b"\x80\x02\x82\x01.")
raw("persistent_id_as_text", b"\x80\x02Pstorage\n.")
raw("import_function", b"\x80\x02cbuiltins\n__import__\n" + text("os") + b"\x85R.")
raw("nested_torch_load", b"\x80\x02ctorch.storage\n_load_from_bytes\nC\x01x\x85R.")
raw("torch_hub", b"\x80\x02ctorch.hub\nload\n" + text("x") + b"\x85R.")
raw("class_of_deepspeed_off_the_list", b"\x80\x02cdeepspeed.launcher.runner\nmain\n)R.")
raw("getattr_on_something_else", b"\x80\x02cbuiltins\ngetattr\nctorch\nfloat32\n" + text("__class__") + b"\x86R.")
raw("call_of_a_number", b"\x80\x02K\x01)R.")
raw("call_without_a_tuple", b"\x80\x02ccollections\nOrderedDict\n]R.")
raw("state_for_a_number", b"\x80\x02K\x01}b.")
raw("newobj_of_a_function", b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)\x81.")
raw("nothing_on_the_stack", b"\x80\x02a.")
raw("no_mark", b"\x80\x02]e.")
raw("pop_below_a_mark", b"\x80\x02K\x01(0.")
raw("key_without_a_value", b"\x80\x02}(K\x01u.")
raw("empty_memo_slot", b"\x80\x02h\x07.")
raw("no_end", b"\x80\x02N")
raw("bytes_after_the_end", b"\x80\x02N.N.")
raw("two_values_at_the_end", b"\x80\x02NN.")
raw("protocol_0", b"I1\n.")
raw("protocol_5_buffer", b"\x80\x05\x97.")
raw("text_longer_than_the_file", b"\x80\x02X\xff\xff\xff\x7fabc.")
raw("text_of_2_to_the_63_bytes", b"\x80\x04\x8d" + struct.pack("<Q", 2**63) + b".")
raw("integer_of_2_gigabytes", b"\x80\x02\x8b\xff\xff\xff\x7f.")
raw("integer_of_100_bytes", b"\x80\x02\x8a\x64" + bytes(100) + b".")
raw("deep_nesting", b"\x80\x02" + b"(" * 2_000_000 + b".")
raw("too_many_values", b"\x80\x02](" + b"N" * 6_000_000 + b"e.")
raw("memo_bomb", b"\x80\x02]" + text("x" * 2_000_000) + b"q\0000" +
    b"(" + b"c_codecs\nencode\nh\0X\6\0\0\0latin1\x86R" * 5000 + b"e.")
raw("set_bomb", b"\x80\x02](" + b"N" * 1_000_000 + b"eq\0000](" + b"cbuiltins\nset\nh\0\x85R" * 5000 + b"e.")


def tensor(size="K\x02\x85", stride="K\x01\x85", offset="K\0", numel="K\x04", key="0", kind="FloatStorage"):
    """A pickle of one tensor over a storage of 4 floats; the arguments are opcodes."""
    def code(value):
        return value.encode("latin1")
    return (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + b"ctorch\n" + code(kind) + b"\n" +
            text(key) + text("cpu") + code(numel) + b"tQ" + code(offset) + code(size) + code(stride) +
            b"\x89ccollections\nOrderedDict\n)RtR.")


raw("tensor_beyond_its_storage", tensor(size="K\x05\x85"), _0=bytes(16))
raw("tensor_offset_beyond_its_storage", tensor(offset="K\x03"), _0=bytes(16))
raw("tensor_negative_offset", tensor(offset="J\xff\xff\xff\xff"), _0=bytes(16))
raw("tensor_negative_size", tensor(size="J\xff\xff\xff\xff\x85"), _0=bytes(16))
raw("tensor_negative_stride", tensor(stride="J\xff\xff\xff\xff\x85"), _0=bytes(16))
raw("tensor_sizes_overflow", tensor(size="\x8a\x06\0\0\0\0\0\1" * 2 + "\x86", stride="K\0K\0\x86"), _0=bytes(16))
raw("tensor_expanded_a_billionfold", tensor(size="J\0\0\0\x40\x85", stride="K\0\x85"), _0=bytes(16))
raw("tensor_sizes_and_strides_differ", tensor(size="K\x01K\x01\x86"), _0=bytes(16))
raw("tensor_size_is_text", tensor(size="X\1\0\0\0a\x85"), _0=bytes(16))
raw("storage_key_leaves_the_folder", tensor(key="../../../../etc/passwd"), _0=bytes(16))
raw("storage_negative", tensor(numel="J\xff\xff\xff\xff"), _0=bytes(16))
raw("storage_of_2_to_the_62_elements", tensor(numel="\x8a\x08\0\0\0\0\0\0\0\x40"), _0=bytes(16))
raw("storage_of_no_type", tensor(kind="float32"), _0=bytes(16))


@case(".pt")
def named_pipe(path):
    os.mkfifo(path)


@case(".pt")
def folder_instead_of_a_file(path):
    path.mkdir()


# --- safetensors

def st(name, header, data=b"", length=None):
    body = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(body) if length is None else length
    CASES.append((name, lambda path: path.write_bytes(struct.pack("<Q", size) + body + data), ".safetensors"))


def entry(begin, stop, shape=None, dtype="F32"):
    return {"dtype": dtype, "shape": [(stop - begin) // 4] if shape is None else shape, "data_offsets": [begin, stop]}


st("header_longer_than_the_file", {}, length=1000)
st("header_of_2_to_the_63_bytes", {}, length=2**63)
st("header_not_json", b"{not json")
st("header_is_a_list", b"[]")
st("header_nested_deeply", b'{"a":' + b"[" * 500_000)
st("ranges_overlap", {"a": entry(0, 8), "b": entry(4, 12)}, bytes(12))
st("range_hole", {"a": entry(0, 4), "b": entry(8, 12)}, bytes(12))
st("range_beyond_the_file", {"a": entry(0, 4000)}, bytes(8))
st("range_reversed", {"a": entry(8, 0, [2])}, bytes(8))
st("range_negative", {"a": entry(-4, 0, [1])})
st("range_is_a_fraction", {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0.5, 4.5]}}, bytes(8))
st("tail_behind_the_values", {"a": entry(0, 4)}, bytes(400))
st("shape_overflows", {"a": entry(0, 4, [2**32, 2**32])}, bytes(4))
st("shape_lies", {"a": entry(0, 8, [1])}, bytes(8))
st("name_twice", b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
   bytes(4))
st("unknown_dtype", {"a": entry(0, 4, [1], "X99")}, bytes(4))
st("metadata_is_no_text", {"__metadata__": {"a": 1}})


# --- folders: `latest` and the index of shards

def latest(name, content):
    def write(path):
        path.mkdir()
        (path / "latest").write_bytes(content)
    CASES.append((name, write, ".ds"))


def index(name, content):
    def write(path):
        path.mkdir()
        (path / "model.safetensors.index.json").write_bytes(content)
    CASES.append((name, write, ".hf"))


latest("latest_leaves_the_folder", b"../../../etc")
latest("latest_is_absolute", b"/etc")
latest("latest_is_dots", b"..")
latest("latest_is_empty", b"")
latest("latest_is_a_megabyte", b"x" * 1_000_000)
latest("latest_with_nul", b"global\0step1")
latest("latest_names_nothing", b"global_step7")
index("index_leaves_the_folder", json.dumps({"weight_map": {"a": "../../secret.safetensors"}}).encode())
index("index_is_absolute", json.dumps({"weight_map": {"a": "/etc/passwd"}}).encode())
index("index_without_a_map", b"{}")
index("index_not_json", b"{")
index("index_names_no_text", b'{"weight_map": {"a": 5}}')
index("index_names_nothing", json.dumps({"weight_map": {"a": "gone.safetensors"}}).encode())


# --- folders whose only weights are pickled


def pickled(name, make, file="pytorch_model.bin"):
    def write(path):
        path.mkdir()
        (path / file).write_bytes(make())
    CASES.append((name, write, ".hf"))


for _name, _data in ATTACKS:
    pickled(f"weights_{_name}", lambda data=_data: with_pickle(data))
pickled("weights_are_no_zip_file", legacy)
pickled("weights_are_one_tensor", lambda: with_pickle(tensor(), _0=bytes(16)))
pickled("weights_hold_a_number", good)
pickled("weights_have_a_number_as_name", lambda: with_pickle(b"\x80\x02}K\1" + tensor()[2:-1] + b"s.", _0=bytes(16)))
pickled("weights_of_64_bits", lambda: with_pickle(b"\x80\x02}" + text("a") + tensor(kind="DoubleStorage")[2:-1] + b"s.",
                                                  _0=bytes(32)))
pickled("weights_index_leaves_the_folder", lambda: json.dumps({"weight_map": {"a": "../../secret.bin"}}).encode(),
        "pytorch_model.bin.index.json")
pickled("weights_index_names_nothing", lambda: json.dumps({"weight_map": {"a": "gone.bin"}}).encode(),
        "pytorch_model.bin.index.json")


def show_attacks(report):
    """Python's own pickle does run them; so the marker would be seen."""
    for name, data in ATTACKS:
        subprocess.run([sys.executable, "-c", "import pickle,sys; x = pickle.loads(sys.stdin.buffer.read());"
                        " getattr(x, 'wait', int)()"], input=data, capture_output=True, check=False)
        report(f"{name} would run code", Path(MARKER).exists())
        Path(MARKER).unlink(missing_ok=True)


def main():
    failed = []

    def report(name, passed, detail=""):
        print(("PASS  " if passed else "FAIL  ") + name + detail, flush=True)
        if not passed:
            failed.append(name)

    root = Path(tempfile.mkdtemp(prefix="zt_bad_"))
    os.chdir(root)
    try:
        show_attacks(report)
        paths = []
        for name, write, suffix in CASES:
            paths.append(root / (name + suffix))
            write(paths[-1])
        (root / "good.pt").write_bytes(good())
        (root / "tensor.pt").write_bytes(with_pickle(tensor(), _0=bytes(16)))
        (root / "weights.hf").mkdir()
        (root / "weights.hf" / "pytorch_model.bin").write_bytes(
            with_pickle(b"\x80\x02}" + text("a") + tensor()[2:-1] + b"s.", _0=bytes(16)))
        before = sorted(p.relative_to(root) for p in root.rglob("*"))
        (root.parent / (root.name + ".list")).write_text("".join(f"{p}\n" for p in [*paths, *(root / name for name in READ)]))
        done = subprocess.run([TOOL, "open", root.parent / (root.name + ".list")], capture_output=True, text=True,
                              timeout=120, check=False)
        report(f"the reader ends by itself (status {done.returncode})", done.returncode == 0, done.stderr[-500:])
        lines = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line.startswith(str(root)))
        for path in paths:
            got = lines.get(str(path), "nothing")
            report(f"{path.name} is refused", got.startswith("refused [checkpoint."), "" if got.startswith("refused") else f": {got}")
        for name in READ:
            report(f"{name} is read", lines.get(str(root / name)) == "ok", f": {lines.get(str(root / name))}")
        after = sorted(p.relative_to(root) for p in root.rglob("*"))
        report(f"{len(paths)} files had no side effect", before == after and len(paths) >= 60)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        report(f"peak memory {peak:.0f} MiB stays below 900", peak < 900)
    finally:
        os.chdir(root.parent)
        shutil.rmtree(root)
        Path(str(root) + ".list").unlink(missing_ok=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
