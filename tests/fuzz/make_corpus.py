#!/usr/bin/env python3
"""Writes the starting inputs of the fuzz programs: small valid files and near misses.

Run with the test environment's Python (needs safetensors, tokenizers, numpy, torch, deepspeed); the result is committed.
"""

import io
import json
import pathlib
import pickle
import struct
import zipfile

import deepspeed.runtime.fp16.loss_scaler
import numpy
import safetensors.numpy
import tokenizers
import torch

ROOT = pathlib.Path(__file__).parent / "corpus"


def put(name, data):
    path = ROOT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def safetensors_file(header, payload=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + payload


def make_safetensors():
    tensors = {"a": numpy.arange(6, dtype=numpy.float32).reshape(2, 3), "b": numpy.ones(3, numpy.float16),
               "scalar": numpy.ones((), numpy.float32), "ids": numpy.arange(4, dtype=numpy.int64)}
    put("safetensors/valid", safetensors.numpy.save(tensors, metadata={"format": "pt"}))
    put("safetensors/empty", safetensors_file({"__metadata__": {"format": "pt"}}))
    entry = {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}
    put("safetensors/bf16", safetensors_file({"w": entry}, bytes(8)))
    put("safetensors/overlap", safetensors_file({"w": entry, "v": entry}, bytes(8)))
    put("safetensors/hole", safetensors_file({"w": {**entry, "data_offsets": [8, 16]}}, bytes(16)))
    put("safetensors/lying_shape", safetensors_file({"w": {**entry, "shape": [2**62, 2**62]}}, bytes(8)))
    put("safetensors/twice", safetensors_file(b'{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{}}', b"1"))
    put("safetensors/long_header", struct.pack("<Q", 2**63) + b"{}")
    put("safetensors/zero_sized", safetensors_file({"w": {"dtype": "F32", "shape": [0, 7], "data_offsets": [0, 0]}}))


def tokenizer_json(pre_tokenizer, normalizer=None):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=270, special_tokens=["<|end|>"], show_progress=False,
                                             initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()[:40])
    tokenizer.train_from_iterator(["hello world, the 12345 hello worlds"] * 3, trainer)
    return tokenizer.to_str()


def make_tokenizers():
    byte_level = tokenizers.pre_tokenizers.ByteLevel
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
        "isolated")
    qwen = tokenizers.pre_tokenizers.Sequence([split, byte_level(add_prefix_space=False, use_regex=False)])
    config = json.dumps({"eos_token": "<|end|>", "pad_token": None, "model_max_length": 128})
    text = "hello w\u00f6rld\u0301 <|end|> 123\r\n \u4f60\u597d".encode()
    for name, pre, normalizer in (("gpt2", byte_level(add_prefix_space=False), None),
                                  ("qwen", qwen, tokenizers.normalizers.NFC())):
        model = tokenizer_json(pre, normalizer)
        put(f"tokenizer/{name}", b"\xff".join([model.encode(), config.encode(), text]))
        put(f"tokenizer/{name}_no_config", b"\xff".join([model.encode(), b"", text]))
        root = json.loads(model)
        root["model"]["merges"] = [["a", "b"], "he llo", ["x"]]
        put(f"tokenizer/{name}_bad_merges", b"\xff".join([json.dumps(root).encode(), config.encode(), text]))
    huge = json.loads(model)
    huge["model"]["vocab"][next(iter(huge["model"]["vocab"]))] = 5.9e66
    put("tokenizer/huge_id", b"\xff".join([json.dumps(huge).encode(), config.encode(), text]))
    put("tokenizer/other_model", b'{"model":{"type":"Unigram"}}\xff\xff')
    put("tokenizer/not_json", b'{"model":\xff{\xfftext')


def deepspeed_like():
    """Shapes of what DeepSpeed's files hold."""
    flat = torch.arange(12, dtype=torch.bfloat16)
    return {"module": {"a": flat[:6].view(2, 3), "b": flat[6:].view(3, 2).t()}, "param_shapes": [{"a": torch.Size([2, 3])}],
            "names": set(), "scale": 65536.0, "step": torch.tensor(3.0), "large": 2**40, "none": None, "flag": True,
            "scaler": deepspeed.runtime.fp16.loss_scaler.LossScaler(1.0), "bytes": b"\x00\xff"}


def make_torch():
    for name, value in (("tensor", {"a": torch.arange(6.0).view(2, 3)}), ("deepspeed", deepspeed_like())):
        out = io.BytesIO()
        torch.save(value, out)
        put(f"torch/{name}_file", out.getvalue())
        with zipfile.ZipFile(out) as archive:
            put(f"torch/{name}_pickle", archive.read("archive/data.pkl"))
    put("torch/protocol4", pickle.dumps({"a": [1, 2.5, "x", (True, None)], "b": {1, 2}, "c": b"x" * 300}, protocol=4))
    put("torch/os_system", b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.")
    put("torch/cycle", b"\x80\x02]q\x01h\x01a.")


if __name__ == "__main__":
    make_torch()
    make_safetensors()
    make_tokenizers()
