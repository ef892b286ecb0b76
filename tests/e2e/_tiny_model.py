"""A model folder of a few kilobytes, made without any library: Qwen3 shapes, a byte-level tokenizer, weights."""

import json
import random
import struct

END = "<|endoftext|>"
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
           r"|\s+(?!\S)|\s+")

CONFIG = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 32, "intermediate_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 257,
    "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu",
    "attention_bias": False, "tie_word_embeddings": True, "initializer_range": 0.02, "torch_dtype": "float32",
    "eos_token_id": 256,
}


def byte_alphabet():
    """The 256 printable characters that stand for bytes in byte-level tokenizers, by byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(spare)) for b in range(256)]


def tokenizer():
    """A tokenizer.json with one token per byte, no merges and an end-of-text token."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": 256, "content": END, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True}],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}, byte_level]},
        "post_processor": byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {c: i for i, c in enumerate(byte_alphabet())}, "merges": []},
    }


def shapes(config):
    """Names and shapes of the weights of a tied Qwen3 model."""
    hidden, head = config["hidden_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    result = {"model.embed_tokens.weight": [config["vocab_size"], hidden], "model.norm.weight": [hidden]}
    for i in range(config["num_hidden_layers"]):
        layer = {
            "self_attn.q_proj": [queries, hidden], "self_attn.k_proj": [keys, hidden], "self_attn.v_proj": [keys, hidden],
            "self_attn.o_proj": [hidden, queries], "self_attn.q_norm": [head], "self_attn.k_norm": [head],
            "mlp.gate_proj": [config["intermediate_size"], hidden], "mlp.up_proj": [config["intermediate_size"], hidden],
            "mlp.down_proj": [hidden, config["intermediate_size"]],
            "input_layernorm": [hidden], "post_attention_layernorm": [hidden],
        }
        result |= {f"model.layers.{i}.{name}.weight": shape for name, shape in layer.items()}
    return result


def weights(config):
    """Header and data of a safetensors file: norms are one, the rest is small and random."""
    generator = random.Random(1)
    header, data = {}, bytearray()
    for name, shape in shapes(config).items():
        count = 1
        for extent in shape:
            count *= extent
        values = [1.0] * count if len(shape) == 1 else [generator.gauss(0, 0.02) for _ in range(count)]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * count]}
        data += struct.pack(f"<{count}f", *values)
    return header, bytes(data)


def write_safetensors(path, header, data):
    """Writes one file; `header` may also be text, to write a header that is no JSON."""
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(struct.pack("<Q", len(text.encode())) + text.encode() + data)


def write_json(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")


def make(folder):
    """Fills `folder` with model/, data/train/, data/valid/ and ds.json, all of them right."""
    model = folder / "model"
    model.mkdir(parents=True)
    write_json(model / "config.json", CONFIG)
    write_json(model / "tokenizer.json", tokenizer())
    write_json(model / "tokenizer_config.json",
               {"tokenizer_class": "Qwen2Tokenizer", "eos_token": END, "pad_token": END, "model_max_length": 128})
    write_safetensors(model / "model.safetensors", *weights(CONFIG))
    for part in ("train", "valid"):
        (folder / "data" / part).mkdir(parents=True)
        lines = [json.dumps({"text": f"{part} line {i}: the quick brown fox jumps over the lazy dog."}) for i in range(40)]
        (folder / "data" / part / "text.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_json(folder / "ds.json", {
        "train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto", "gradient_clipping": "auto",
        "zero_optimization": {"stage": 2}})
