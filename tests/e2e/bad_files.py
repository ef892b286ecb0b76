#!/usr/bin/env python3
"""Wrong weights, tokenizers and data are refused as _bad_inputs.py says."""

import json
import struct
import sys

import _tiny_model as tiny
from _bad_inputs import EITHER, FILES, case, main


# Weights.
@case("no weights", EITHER, "safetensors", "from_scratch")
def _(run):
    (run.model / "model.safetensors").unlink()


@case("truncated weights", FILES, "model.safetensors")
def _(run):
    path = run.model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


@case("empty weights", FILES, "model.safetensors")
def _(run):
    (run.model / "model.safetensors").write_bytes(b"")


@case("a header length beyond the file", FILES, "model.safetensors")
def _(run):
    (run.model / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + b"{}")


@case("a header that is no JSON", FILES, "model.safetensors")
def _(run):
    tiny.write_safetensors(run.model / "model.safetensors", "\x00garbage\xff{", b"")


@case("a weight of another shape", FILES, "model.norm.weight")
def _(run):
    def edit(header, _):
        header["model.norm.weight"]["shape"] = [8, 4]
    run.tensors(edit)


@case("a weight that is missing", FILES, "model.layers.1.post_attention_layernorm.weight")
def _(run):
    def edit(header, data):  # the last one of the file, so that no hole is left
        last = header.pop("model.layers.1.post_attention_layernorm.weight")
        return header, data[:last["data_offsets"][0]]
    run.tensors(edit)


@case("a hole in the file of weights", FILES, "hole", "model.norm.weight")
def _(run):
    run.tensors(lambda header, _: header.pop("model.norm.weight") and None)


@case("a weight of integers", FILES, "model.norm.weight")
def _(run):
    def edit(header, _):
        header["model.norm.weight"]["dtype"] = "I32"
    run.tensors(edit)


@case("a weight of an unknown type", FILES, "model.norm.weight", "F13")
def _(run):
    def edit(header, _):
        header["model.norm.weight"]["dtype"] = "F13"
    run.tensors(edit)


@case("offsets beyond the file", FILES, "model.norm.weight", "offset", "hole")
def _(run):
    def edit(header, data):
        header["model.norm.weight"]["data_offsets"] = [len(data), len(data) + 128]
    run.tensors(edit)


@case("negative offsets", FILES, "model.norm.weight", "offset")
def _(run):
    def edit(header, _):
        header["model.norm.weight"]["data_offsets"] = [-128, 0]
    run.tensors(edit)


@case("a weight listed twice", FILES, "model.norm.weight", "twice", "duplicate")
def _(run):
    def edit(header, data):
        text = json.dumps(header)
        return text[:-1] + ', "model.norm.weight": ' + json.dumps(header["model.norm.weight"]) + "}", data
    run.tensors(edit)


def index_case(run, shard):
    (run.model / "model.safetensors").unlink()
    tiny.write_json(run.model / "model.safetensors.index.json",
                    {"metadata": {"total_size": 1}, "weight_map": {name: shard for name in tiny.shapes(tiny.CONFIG)}})


@case("an index that names an absent file", FILES, "model-00001-of-00002.safetensors")
def _(run):
    index_case(run, "model-00001-of-00002.safetensors")


@case("an index that leaves the folder", FILES, "index", "folder", "path")
def _(run):
    (run.folder / "elsewhere.safetensors").write_bytes((run.model / "model.safetensors").read_bytes())
    index_case(run, "../elsewhere.safetensors")


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1503300328\n"


@case("weights that git lfs has not fetched", FILES, "git lfs pull")
def _(run):
    (run.model / "model.safetensors").write_bytes(LFS_POINTER)


# Tokenizer.
@case("a tokenizer that git lfs has not fetched", FILES, "git lfs pull")
def _(run):
    (run.model / "tokenizer.json").write_bytes(LFS_POINTER)


@case("no tokenizer", EITHER, "tokenizer")
def _(run):
    (run.model / "tokenizer.json").unlink()


@case("a tokenizer that is no JSON", FILES, "tokenizer.json")
def _(run):
    (run.model / "tokenizer.json").write_text('{"model": ', encoding="utf-8")


@case("a tokenizer of an unsupported kind", EITHER, "Unigram", "tokenizer")
def _(run):
    tiny.write_json(run.model / "tokenizer.json", tiny.tokenizer() | {"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", 0.0]]}})


@case("a tokenizer with more tokens than the embedding has rows", EITHER, "vocab", "token", "embed")
def _(run):
    tokenizer = tiny.tokenizer()
    tokenizer["model"]["vocab"] |= {"ab": 257, "cd": 258}
    tokenizer["model"]["merges"] = ["a b", "c d"]
    tiny.write_json(run.model / "tokenizer.json", tokenizer)


@case("a tokenizer without the end token", EITHER, "eos", "end", "<|endoftext|>")
def _(run):
    tiny.write_json(run.model / "tokenizer.json", tiny.tokenizer() | {"added_tokens": []})


# Data.
@case("an empty data folder", EITHER, "train")
def _(run):
    (run.train / "text.jsonl").unlink()


@case("a data folder without text files", EITHER, "train")
def _(run):
    run.text("picture.png", b"\x89PNG")


@case("an empty text file", EITHER, "train", "text", "block")
def _(run):
    run.text("a.txt", b"")


@case("text shorter than one block", EITHER, "block")
def _(run):
    run.text("a.txt", b"short\n")


@case("a JSON line that is broken", FILES, "a.jsonl:2", "line 2")
def _(run):
    run.text("a.jsonl", b'{"text": "' + b"good " * 40 + b'"}\n{"text": "bad\n')


@case("a JSON line without text", FILES, "a.jsonl:1", "text")
def _(run):
    run.text("a.jsonl", b'{"content": "' + b"words " * 40 + b'"}\n')


@case("a text that is a number", FILES, "a.jsonl:1", "text")
def _(run):
    run.text("a.jsonl", b'{"text": 17}\n' * 50)


@case("text that is no UTF-8", FILES, "UTF-8", "utf-8")
def _(run):
    run.text("a.txt", b"good text \xff\xfe\xfa broken\n" * 40)


@case("UTF-16 text", FILES, "UTF-16")
def _(run):
    run.text("a.jsonl", ('{"text": "' + "words " * 40 + '"}\n').encode("utf-16"))


@case("a JSON object over many lines", FILES, "a.jsonl:1")
def _(run):
    run.text("a.jsonl", json.dumps({"text": "words " * 40}, indent=2).encode())


@case("a data folder that holds only a link to itself", EITHER, "train")
def _(run):
    (run.train / "text.jsonl").unlink()
    (run.train / "again").symlink_to(run.train)


@case("a link to text that is gone", EITHER, "gone.jsonl")
def _(run):
    (run.train / "gone.jsonl").symlink_to("/nonexistent/gone.jsonl")


@case("a data file that is no text", EITHER, "train_file_dir", "text.bin")
def _(run):
    (run.train.parent / "text.bin").write_bytes(bytes(range(256)) * 40)
    run.flags["train_file_dir"] = str(run.train.parent / "text.bin")


if __name__ == "__main__":
    sys.exit(main())
