#!/usr/bin/env python3
"""Trains tokenizer.json (Qwen's pipeline, 4096 tokens) on train/*.jsonl and writes tokenizer_config.json.

Needs the `tokenizers` package. usage: make_tokenizer.py
"""
import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).resolve().parent
VOCAB = 4096
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def texts():
    for path in sorted((HERE / "train").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)["text"]


tokenizer = Tokenizer(models.BPE())
tokenizer.normalizer = normalizers.NFC()
tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
    pre_tokenizers.Split(Regex(PATTERN), "isolated"),
    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.train_from_iterator(texts(), trainers.BpeTrainer(
    vocab_size=VOCAB - len(CONTROL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False))
tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in CONTROL])
tokenizer.save(str(HERE / "tokenizer.json"), pretty=False)

config = {
    "tokenizer_class": "Qwen2Tokenizer", "model_max_length": 512, "eos_token": CONTROL[0],
    "pad_token": CONTROL[0], "bos_token": None, "unk_token": None, "add_bos_token": False,
    "add_prefix_space": False, "split_special_tokens": False, "clean_up_tokenization_spaces": False,
    "errors": "replace",
    "added_tokens_decoder": {
        str(tokenizer.token_to_id(t)): {"content": t, "lstrip": False, "normalized": False,
                                        "rstrip": False, "single_word": False, "special": True}
        for t in CONTROL},
}
(HERE / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
print("tokens:", tokenizer.get_vocab_size())
