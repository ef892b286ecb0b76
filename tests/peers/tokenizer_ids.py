#!/usr/bin/env python3
"""Token ids and decoded text equal the `tokenizers` package on varied strings, for every pipeline.

usage: tokenizer_ids.py [PATH_TO_data_peer_tool]; without it the one in $ZT_BUILD_DIR
The tokenizers are trained here (Qwen2, Qwen3.5, Llama-3, GPT-2 and NeoX pipelines); the one of
examples/tiny_qwen3 is used too. Prints PASS or FAIL per pipeline; exits 1 on any difference.
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

TOOL = (sys.argv[1] if len(sys.argv) > 1
        else os.path.join(os.environ["ZT_BUILD_DIR"], "src", "data", "data_peer_tool"))
ROOT = pathlib.Path(__file__).resolve().parents[2]
HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?"
TAIL = r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITS = {
    "qwen2": HEAD + r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+" + TAIL,
    "qwen3.5": HEAD + r"[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+" + TAIL,
    "llama3": HEAD + r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+" + TAIL,
}
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

LATIN = "the quick brown fox don't we'll I'VE they're it'S naïve café Straße Ελλάδα русский ſ 'ſ".split()
CHINESE = "春眠不覺曉,處處聞啼鳥。夜來風雨聲,花落知多少?床前明月光，疑是地上霜。你好世界"
EMOJI = ["👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪🇫🇷", "❤️", "☃", "🤷🏻‍♀️"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n ", "\u3000", "\u00a0", "\u2028", "\u180e",
          "\u0085", "        ", "\r", "\v", "\f", "\u200b", "\ufeff"]
MARKS = [chr(c) for c in list(range(0x300, 0x370)) + [0x591, 0x64B, 0x93C, 0x9BE, 0xB3E, 0xE38, 0x1DF6,
                                                      0x3099, 0x309A, 0x20D0, 0x1E8D0, 0xEBA, 0x0345]]
JAMO = [chr(c) for c in list(range(0x1100, 0x1113)) + list(range(0x1161, 0x1176))
        + list(range(0x11A7, 0x11C3))]
ODD = ["\u11935\u11930", "\U00011935\U00011930", "\u212b", "\u2126", "\ufa10", "\uf900", "\u0958", "\ufb1d",
       "\u0344", "\u1e9b\u0323", "\U0001d15e", "\u0000", "\u0f73", "e\u0301\u0323", "o\u0323\u0302"]
PUNCTUATION = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["—", "…", "「", "」", "''", "!!!\n", "'s", "'LL"]


def any_code_point(rng):
    c = rng.randrange(0x110000) if rng.random() < 0.5 else rng.randrange(0x3000)
    return chr(c) if not 0xD800 <= c < 0xE000 else "x"


def any_text(rng, added):
    makers = [
        lambda: rng.choice(LATIN), lambda: rng.choice(LATIN).upper(), lambda: rng.choice(SPACES),
        lambda: rng.choice(SPACES) * rng.randrange(1, 9), lambda: str(rng.randrange(10 ** rng.randrange(1, 12))),
        lambda: rng.choice(CHINESE), lambda: CHINESE[rng.randrange(9):rng.randrange(9, 30)],
        lambda: rng.choice(EMOJI), lambda: rng.choice(PUNCTUATION), lambda: rng.choice(ODD),
        lambda: rng.choice("aeiouAEIOUsдかは한") + "".join(rng.choices(MARKS, k=rng.randrange(1, 4))),
        lambda: "".join(rng.choices(JAMO, k=rng.randrange(1, 6))), lambda: any_code_point(rng),
        lambda: rng.choice(added), lambda: rng.choice(added)[:-1], lambda: " ", lambda: "٣४五½²Ⅷ"[rng.randrange(6)],
    ]
    return "".join(rng.choice(makers)() for _ in range(rng.randrange(1, 24)))


def training_text(rng):
    words = ["".join(rng.choices("etaoinshrdlucmf", k=rng.randrange(1, 9))) for _ in range(300)] + LATIN
    for _ in range(1500):
        yield " ".join(rng.choices(words, k=12)) + CHINESE[rng.randrange(20):] + any_text(rng, CONTROL)


def trained(name):
    rng = random.Random(7)
    tokenizer = Tokenizer(models.BPE(ignore_merges=name == "llama3"))
    if name in ("qwen2", "qwen3.5", "neox"):
        tokenizer.normalizer = normalizers.NFC()
    if name in SPLITS:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(SPLITS[name]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    # "gpt2" lacks most byte tokens: characters without a token are dropped.
    alphabet = [] if name == "gpt2" else pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(training_text(rng), trainers.BpeTrainer(
        vocab_size=1500, special_tokens=CONTROL, initial_alphabet=alphabet, show_progress=False))
    tokenizer.add_tokens([
        AddedToken("<think>", normalized=False), AddedToken("<tool>", normalized=True),
        AddedToken("[L]", lstrip=True, normalized=False), AddedToken("[R]", rstrip=True),
        AddedToken("[W]", single_word=True, normalized=False), AddedToken("fox", single_word=True),
        AddedToken("[LR] x", lstrip=True, rstrip=True), AddedToken("<think>!", normalized=False),
        AddedToken("é", normalized=False), AddedToken("Å", normalized=True)])
    if name == "neox":
        tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    if name == "llama3":
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<|im_start|> $A <|im_end|>", pair=None,
                                          special_tokens=[("<|im_start|>", 1), ("<|im_end|>", 2)])])
    return tokenizer


def with_string_merges(path):
    """Rewrites the merges in the older encoding, one string per pair."""
    data = json.loads(path.read_text(encoding="utf-8"))
    data["model"]["merges"] = [" ".join(m) for m in data["model"]["merges"]]
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")


UNIFORM = [(0x3400, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xF8FF), (0x17000, 0x18CFF), (0x20000, 0x10FFFF)]


def code_points(step):
    """Each `step`-th code point (fewer in large uniform blocks) beside letters, marks, digits, spaces."""
    def kept(c):
        uniform = any(a <= c <= b for a, b in UNIFORM)
        return c % (step * (61 if uniform else 1)) == 0 and not 0xD800 <= c < 0xE000
    points = [chr(c) for c in range(0x110000) if kept(c) or c in (0xE01EF, 0x2FA1D, 0x323AF)]
    for begin in range(0, len(points), 128):
        yield "".join(f"a{x}\u0315\u0300b {x}{x}1'{x}!{x} \n" for x in points[begin:begin + 128])


def differences(name, tokenizer, folder, texts):
    feed = "".join(json.dumps(t) + "\n" for t in texts)
    got = subprocess.run([TOOL, "encode", str(folder)], input=feed, capture_output=True, text=True,
                         check=False)
    if got.returncode:
        print(got.stderr)
        return ["the tool failed"]
    lines = got.stdout.split("\n")[:-1]
    if len(lines) != len(texts):
        return [f"{len(lines)} answers for {len(texts)} texts"]
    wrong = []
    for text, line in zip(texts, lines):
        ids = tokenizer.encode(text).ids
        want = [ids, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids)]
        answer = json.loads(line)
        if answer != want:
            part = next(i for i in range(3) if answer[i] != want[i])
            wrong.append(f"{('ids', 'decode', 'decode without special')[part]} of {text[:80]!r}: "
                         f"got {str(answer[part])[:200]} want {str(want[part])[:200]}")
    return wrong


def report(name, wrong, count):
    for line in wrong[:3]:
        print("  " + line)
    print(f"{'FAIL' if wrong else 'PASS'} {name}: {count} texts, {len(wrong)} differ")
    return bool(wrong)


def vocabulary_folder(folder, neox):
    """vocab.json + merges.txt of a trained vocabulary; the pipeline that transformers 5 builds of them."""
    trained("neox").model.save(folder)
    paths = [str(pathlib.Path(folder) / name) for name in ("vocab.json", "merges.txt")]
    tokenizer = Tokenizer(models.BPE.from_file(*paths))
    special = ["<|endoftext|>"]
    if neox:
        special.append("<|padding|>")  # not in the vocabulary: numbered after it
        tokenizer.normalizer = normalizers.NFC()
        config = {"tokenizer_class": "GPTNeoXTokenizerFast", "eos_token": "<|endoftext|>"}
        (pathlib.Path(folder) / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    return tokenizer


def main():
    failed = False
    rng = random.Random(20)
    for name in ("qwen2", "qwen3.5", "llama3", "gpt2", "neox"):
        tokenizer = trained(name)
        added = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
        texts = [any_text(rng, added) for _ in range(3000)]
        texts += ["", " ", "\n", "ab" * 5000, "a" * 3000, " " * 3000 + "x", "\n " * 500, "你" * 2000]
        texts += list(code_points(1 if name == "qwen2" else 17))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "tokenizer.json"
            tokenizer.save(str(path))
            if name in ("llama3", "neox"):
                with_string_merges(path)
            failed |= report(name, differences(name, tokenizer, folder, texts), len(texts))
    for neox in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            tokenizer = vocabulary_folder(folder, neox)
            texts = [any_text(rng, CONTROL + ["<|padding|>"]) for _ in range(2000)]
            name = f"vocab.json + merges.txt ({'neox' if neox else 'gpt2'})"
            failed |= report(name, differences(name, tokenizer, folder, texts), len(texts))
    example = ROOT / "examples" / "tiny_qwen3"
    tokenizer = Tokenizer.from_file(str(example / "tokenizer.json"))
    texts = [any_text(rng, CONTROL) for _ in range(2000)]
    failed |= report("examples/tiny_qwen3", differences("example", tokenizer, example, texts), len(texts))
    sys.exit(1 if failed else 0)


main()
