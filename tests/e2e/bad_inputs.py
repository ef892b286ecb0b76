#!/usr/bin/env python3
"""Wrong files, flags and folders: one clear error, the right exit code, quickly, and nothing is damaged.

Each case starts from a small run that works, breaks one thing, and runs `zt`. It passes when the
exit code is the documented one (2 configuration, 3 files), stderr has a line `[module.op] ...` that
names the fault, nothing crashed, it took less than 20 s, and no existing file changed.
Uses ZT_BINARY (default ./zt).
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

import _tiny_model as tiny

ZT = os.environ.get("ZT_BINARY", str(pathlib.Path(__file__).resolve().parents[2] / "zt"))
LIMIT_S = 20
ERROR_LINE = re.compile(r"\[[a-z][a-z0-9_]*(\.[a-z0-9_]+)*\] \S")
CRASH = re.compile(r"terminate called|what\(\):|Segmentation|Traceback|core dumped|Sanitizer|std::|Assertion|"
                   r"\[json\.exception|exception:|basic_string", re.IGNORECASE)
CASES = []
CONFIGURATION, FILES, EITHER = {2}, {3}, {2, 3}


def case(name, codes, *words):
    """Registers a case: its function breaks the run; any of `words` has to be in the error."""
    def register(function):
        CASES.append((name, codes, words, function))
        return function
    return register


class Run:
    """One command line and the files it names; a case edits it."""

    def __init__(self, folder):
        self.folder, self.model, self.train = folder, folder / "model", folder / "data" / "train"
        self.output = folder / "out"
        self.environment = {}
        self.command = "train"
        self.flags = {
            "model_name_or_path": str(self.model), "train_file_dir": str(self.train), "output_dir": str(self.output),
            "use_cpu": "True", "nproc": "1", "block_size": "32", "per_device_train_batch_size": "1", "max_steps": "2",
            "preprocessing_num_workers": "1",
        }

    def arguments(self):
        return [self.command] + [part for name, value in self.flags.items() for part in (f"--{name}", value)]

    def deepspeed(self, content):
        path = self.folder / "ds.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        self.flags["deepspeed"] = str(path)

    def config(self, **changes):
        tiny.write_json(self.model / "config.json", tiny.CONFIG | changes)

    def tensors(self, edit):
        header, data = tiny.weights(tiny.CONFIG)
        result = edit(header, data)
        tiny.write_safetensors(self.model / "model.safetensors", *(result or (header, data)))

    def text(self, name, content):
        (self.train / "text.jsonl").unlink()
        (self.train / name).write_bytes(content)


def flag_case(name, flag, value, *words, codes=frozenset(CONFIGURATION)):
    case(name, set(codes), flag, *words)(lambda run: run.flags.update({flag: value}))


flag_case("an unknown flag", "learning_rte", "1e-3", "learning_rate")
flag_case("a learning rate that is no number", "learning_rate", "fast")
flag_case("a negative learning rate", "learning_rate", "-0.1")
flag_case("a learning rate of nan", "learning_rate", "nan")
flag_case("an infinite learning rate", "learning_rate", "inf")
flag_case("negative epochs", "num_train_epochs", "-1")
flag_case("an empty micro-batch", "per_device_train_batch_size", "0")
flag_case("a negative accumulation", "gradient_accumulation_steps", "-2")
flag_case("an empty block", "block_size", "0")
flag_case("a block of an unthinkable size", "block_size", "99999999999999999999")
flag_case("a negative warm-up", "warmup_steps", "-5")
flag_case("a beta of 1.5", "adam_beta1", "1.5")
flag_case("a negative clip", "max_grad_norm", "-1")
flag_case("a boolean that is none", "bf16", "maybe")
flag_case("an unknown schedule", "lr_scheduler_type", "polynom")
flag_case("an optimizer that is not there", "optim", "adafactor")
flag_case("a negative number of ranks", "nproc", "-1")
flag_case("a size with a wrong unit", "gpu_memory", "12XB")
flag_case("a data split above 100 %", "validation_split_percentage", "140")
flag_case("fp16 in evaluation alone", "fp16_full_eval", "True")
flag_case("a checkpoint that is absent", "resume_from_checkpoint", "checkpoint-10", codes=FILES)
flag_case("a DeepSpeed file that is absent", "deepspeed", "/nonexistent/ds.json", codes=EITHER)
flag_case("a model folder that is absent", "model_name_or_path", "/nonexistent/model", codes=EITHER)
flag_case("a data folder that is absent", "train_file_dir", "/nonexistent/data", codes=EITHER)
flag_case("a validation folder that is absent", "validation_file_dir", "/nonexistent/data", codes=EITHER)
flag_case("an output folder in a place that takes none", "output_dir", "/proc/zt/out", codes=EITHER)


@case("a block longer than the model's positions", EITHER, "max_position_embeddings", "positions")
def _(run):
    (run.model / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "Qwen2Tokenizer", "eos_token": tiny.END, "pad_token": tiny.END}), encoding="utf-8")
    run.flags["block_size"] = "256"


@case("no model named", CONFIGURATION, "model_name_or_path")
def _(run):
    del run.flags["model_name_or_path"]


@case("no output folder named", CONFIGURATION, "output_dir")
def _(run):
    del run.flags["output_dir"]


@case("no training data named", CONFIGURATION, "train_file_dir")
def _(run):
    del run.flags["train_file_dir"]


@case("two precisions at once", CONFIGURATION, "fp16", "bf16")
def _(run):
    run.flags |= {"bf16": "True", "fp16": "True"}


@case("an unknown command", CONFIGURATION, "train")
def _(run):
    run.command = "trian"


@case("an unknown flag with two ranks is reported once", CONFIGURATION, "learning_rate")
def _(run):
    run.flags |= {"nproc": "2", "learning_rte": "1"}


@case("a rank outside the world", CONFIGURATION, "RANK")
def _(run):
    run.environment = {"RANK": "5", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
    del run.flags["nproc"]


@case("a rank that is no number", CONFIGURATION, "RANK")
def _(run):
    run.environment = {"RANK": "first", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
    del run.flags["nproc"]


# DeepSpeed JSON.
def ds_case(name, content, *words):
    case(name, CONFIGURATION, *words)(lambda run: run.deepspeed(content))


ds_case("duplicate keys", '{"zero_optimization": {"stage": 1, "stage": 2}}', "stage")
ds_case("a truncated file", '{"zero_optimization": {"stage": 1', "ds.json")
ds_case("an empty file", "", "ds.json")
ds_case("a list instead of an object", "[1, 2]", "ds.json")
ds_case("NaN", '{"gradient_clipping": NaN}', "gradient_clipping", "NaN")
ds_case("a misspelt key", {"zero_optimization": {"stagee": 2}}, "stagee")
ds_case("stage 4", {"zero_optimization": {"stage": 4}}, "stage")
ds_case("a stage that is text", {"zero_optimization": {"stage": "two"}}, "stage")
ds_case("batch sizes that contradict each other", {"train_batch_size": 7, "train_micro_batch_size_per_gpu": 2,
                                                   "gradient_accumulation_steps": 1}, "train_batch_size")
ds_case("offload to NVMe without a folder",
        {"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "nvme"}}}, "nvme_path")
ds_case("an optimizer that is not there", {"optimizer": {"type": "Lamb", "params": {"lr": 1e-3}}}, "amb")
ds_case("a loss scale below zero", {"fp16": {"enabled": True, "loss_scale": -2}}, "fp16.loss_scale")
ds_case("fp16 masters, which are not built", {"fp16": {"enabled": True, "fp16_master_weights_and_grads": True}},
        "fp16_master_weights_and_grads")
ds_case("two precisions", {"bf16": {"enabled": True}, "fp16": {"enabled": True}}, "fp16", "bf16")
ds_case("a negative bucket", {"zero_optimization": {"stage": 2, "reduce_bucket_size": -1}}, "reduce_bucket_size")
ds_case("very deep nesting", "[" * 100000, "ds.json")


@case("a flag against the DeepSpeed file", CONFIGURATION, "learning_rate", "lr")
def _(run):
    run.flags["learning_rate"] = "0.001"
    run.deepspeed({"optimizer": {"type": "AdamW", "params": {"lr": 0.5}}})


# The model's config.json.
def config_case(name, changes, *words, codes=frozenset(FILES)):
    case(name, set(codes), *words)(lambda run: run.config(**changes))


config_case("an unknown model family", {"model_type": "elman", "architectures": ["ElmanForCausalLM"]}, "elman", codes=EITHER)
config_case("an empty hidden size", {"hidden_size": 0}, "hidden_size", codes=EITHER)
config_case("a negative layer count", {"num_hidden_layers": -2}, "num_hidden_layers", codes=EITHER)
config_case("a hidden size that is text", {"hidden_size": "wide"}, "hidden_size", codes=EITHER)
config_case("a hidden size that is missing", {"hidden_size": None}, "hidden_size", codes=EITHER)
config_case("heads that do not divide", {"num_attention_heads": 3, "num_key_value_heads": 2}, "num_key_value_heads",
            "num_attention_heads", codes=EITHER)
config_case("an activation that is not there", {"hidden_act": "relu6"}, "hidden_act", codes=EITHER)
config_case("a rope scaling that is not there", {"rope_scaling": {"rope_type": "spiral", "factor": 4.0}}, "rope", codes=EITHER)
config_case("an embedding smaller than the tokenizer", {"vocab_size": 100}, "vocab", "embed", "token", codes=EITHER)


@case("no config.json", EITHER, "config.json")
def _(run):
    (run.model / "config.json").unlink()


@case("a config.json that is no JSON", EITHER, "config.json")
def _(run):
    (run.model / "config.json").write_text("{ not json", encoding="utf-8")


@case("NaN in config.json", EITHER, "rope_theta", "config.json")
def _(run):
    (run.model / "config.json").write_text(json.dumps(tiny.CONFIG | {"rope_theta": float("nan")}), encoding="utf-8")


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


# Tokenizer.
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


@case("a data file that is no text", EITHER, "train_file_dir", "text.bin")
def _(run):
    (run.train.parent / "text.bin").write_bytes(bytes(range(256)) * 40)
    run.flags["train_file_dir"] = str(run.train.parent / "text.bin")


# Output.
@case("a file in the place of the output folder", EITHER, "output_dir", "out")
def _(run):
    run.output.write_text("precious", encoding="utf-8")


@case("an output folder that holds a run", CONFIGURATION, "overwrite_output_dir")
def _(run):
    run.output.mkdir()
    (run.output / "model.safetensors").write_text("precious", encoding="utf-8")
    (run.output / "config.json").write_text("{}", encoding="utf-8")


@case("the model's own folder as output", CONFIGURATION, "output_dir")
def _(run):
    run.flags["output_dir"] = str(run.model)


def snapshot(folder):
    """Hash of every file, by path."""
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def execute(run):
    """Exit code (None: ran past the limit), output and seconds."""
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    begun = time.monotonic()
    try:
        result = subprocess.run([ZT, *run.arguments()], capture_output=True, timeout=LIMIT_S, check=False, cwd=run.folder,
                                env=environment | {"OMP_NUM_THREADS": "1"} | run.environment, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as expired:
        return None, (expired.stderr or b"").decode(errors="replace"), LIMIT_S
    return result.returncode, result.stderr.decode(errors="replace"), time.monotonic() - begun


def judge(codes, words, code, stderr, damaged):
    """What is wrong with the way the program refused, as a list."""
    wrong = []
    errors = [line for line in stderr.splitlines() if ERROR_LINE.search(line)]
    if code is None:
        wrong.append(f"ran longer than {LIMIT_S} s")
    elif code not in codes:
        wrong.append(f"exit code {code}, expected {' or '.join(map(str, sorted(codes)))}")
    if not errors:
        wrong.append("no line of the form [module.op] on stderr")
    if words and not any(word.lower() in line.lower() for line in stderr.splitlines() for word in words):
        wrong.append(f"the error names none of {', '.join(words)}")
    if CRASH.search(stderr):
        wrong.append(f"looks like a crash: {CRASH.search(stderr)[0]}")
    if len(errors) != len(set(errors)):
        wrong.append("the same error is printed more than once")
    if len(stderr.splitlines()) > 40:
        wrong.append(f"{len(stderr.splitlines())} lines on stderr")
    if damaged:
        wrong.append(f"changed or removed {', '.join(damaged)}")
    return wrong


def check(registered):
    """Runs one case; returns (name, what is wrong, stderr)."""
    name, codes, words, function = registered
    with tempfile.TemporaryDirectory(prefix="zt-bad-") as folder:
        run = Run(pathlib.Path(folder) / "run")
        tiny.make(run.folder)
        function(run)
        before = snapshot(run.folder)
        code, stderr, _ = execute(run)
        after = snapshot(run.folder)
        damaged = [os.path.relpath(p, folder) for p in before if after.get(p) != before[p]]
        wrong = judge(codes, words, code, stderr, damaged)
        if (run.output / "model.safetensors").exists() and str(run.output / "model.safetensors") not in before:
            wrong.append("wrote a model all the same")
        return name, wrong, stderr


def good_run():
    """The unbroken run has to work, or every case above would pass for the wrong reason."""
    with tempfile.TemporaryDirectory(prefix="zt-good-") as folder:
        run = Run(pathlib.Path(folder) / "run")
        tiny.make(run.folder)
        run.flags["deepspeed"] = str(run.folder / "ds.json")
        code, stderr, _ = execute(run)
        saved = (run.output / "model.safetensors").exists()
        return "the same run with nothing broken", [] if code == 0 and saved else [f"exit code {code}, saved: {saved}"], stderr


def main():
    if not shutil.which(ZT):
        print(f"FAIL no program at {ZT}; set ZT_BINARY")
        return 1
    wanted = sys.argv[1:]
    cases = [c for c in CASES if not wanted or any(w in c[0] for w in wanted)]
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for name, wrong, stderr in [good_run(), *pool.map(check, cases)]:
            print(f"{'FAIL' if wrong else 'PASS'} {name}{': ' + '; '.join(wrong) if wrong else ''}")
            if wrong or wanted:
                print("\n".join("     | " + line for line in stderr.splitlines()[-12:]))
            failures += bool(wrong)
    print(f"{len(cases)} bad inputs, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
