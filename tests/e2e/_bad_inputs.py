"""Wrong files, flags and folders: one clear error, the right exit code, quickly, and nothing is damaged.

Each case starts from a small run that works, breaks one thing, and runs `zt`. It passes when the
exit code is the documented one (2 configuration, 3 files), stderr has a line `[module.op] ...` that
names the fault, nothing crashed, it took less than 20 s, and no existing file changed.
Shared by bad_settings.py and bad_files.py. Uses ZT_BINARY (default ./zt).
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

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
        text = content if isinstance(content, (str, bytes)) else json.dumps(content)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
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


def snapshot(folder):
    """Hash of every file, by path."""
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def execute(run):
    """Exit code (None: ran past the limit) and output."""
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    try:
        result = subprocess.run([ZT, *run.arguments()], capture_output=True, timeout=LIMIT_S, check=False, cwd=run.folder,
                                env=environment | {"OMP_NUM_THREADS": "1"} | run.environment, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as expired:
        return None, (expired.stderr or b"").decode(errors="replace")
    return result.returncode, result.stderr.decode(errors="replace")


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
        code, stderr = execute(run)
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
        code, stderr = execute(run)
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
