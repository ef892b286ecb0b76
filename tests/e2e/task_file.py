"""zt run: one task file trains, tests and predicts; loss, accuracy and greedy texts are PyTorch's.

Train writes a model with stage 3 on two ranks. Test evaluates the saved model, or a checkpoint. Predict writes the texts
that transformers generates, whatever the number of ranks, the stage and the form of the weights. Bad input is named.
Environment: ZT_BINARY.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import torch
from _checks import Checks
from _peer import EXAMPLE, SOURCE, blocks, make_model, run_zt

BLOCK, NEW_TOKENS = 64, 12
PROMPTS = [{"prompt": "The LORD is my", "id": 1}, {"text": "床前明月光"}, {"prompt": "a"}, {"prompt": "Blessed is the man"},
           {"prompt": "题目:《"}]
TASK_FILE = """
num_gpus: {world}
num_workers: 2
pin_memory: true
output_dir: ${{TASK_OUTPUT:-{output}}}
model:
  name_or_path: {model}
data:
  train_file: {train}
  validation_file: {valid}
  test_file: {valid}
  max_length: {block}
training:
  batch_size: 4
  eval_batch_size: 4
  max_steps: 4
  learning_rate: 0.001
  eval_strategy: epoch
  save_steps: 2
  use_cpu: true
deepspeed:
  enabled: true
  zero_stage: {stage}
  log_level: info
predict:
  prompts: {prompts}
  max_new_tokens: {new_tokens}
"""


def write_task(work, name="task.yaml", **changes):
    values = {"world": 2, "stage": 3, "output": work / "out", "model": work / "model", "train": work / "train", "valid": work / "valid",
              "block": BLOCK, "prompts": work / "prompts.jsonl", "new_tokens": NEW_TOKENS} | changes
    path = work / name
    path.write_text(TASK_FILE.format(**values), encoding="utf-8")
    return path


def make_data(work):
    for part in ("train", "valid"):
        (work / part).mkdir()
        source = next((EXAMPLE / part).glob("*.jsonl"))
        lines = source.read_text(encoding="utf-8").splitlines()[:30]
        (work / part / "text.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (work / "prompts.jsonl").write_text("\n".join(map(json.dumps, PROMPTS)) + "\n", encoding="utf-8")


def lines_of(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def expected_test(network, rows):
    loss, hits, count = 0.0, 0, 0
    with torch.no_grad():
        for part in rows.split(8):
            logits, targets = network(input_ids=part).logits[:, :-1].float(), part[:, 1:]
            loss += torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").item()
            hits += (logits.argmax(-1) == targets).sum().item()
            count += targets.numel()
    return loss / count, hits / count


def expected_texts(network, tokenizer):
    texts = []
    for line in PROMPTS:
        ids = tokenizer.encode(line.get("prompt", line.get("text"))).ids
        with torch.no_grad():
            out = network.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                                   max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0)
        new = out[0, len(ids):].tolist()
        texts.append((tokenizer.decode(new, skip_special_tokens=True), len(ids), len(new)))
    return texts


def check_predictions(checks, path, theirs, name):
    kinds = len(set("".join(text for text, _, _ in theirs)))
    ours = [(line["completion"], line["prompt_tokens"], line["completion_tokens"]) for line in lines_of(path)]
    checks.check(ours == theirs and kinds > 20, f"{name}: {len(ours)} greedy texts with {kinds} different characters are "
                 "those of transformers")


def refused(checks, name, code, part, *flags):
    done = run_zt("run", *flags, expect=code)
    text = done.stdout + done.stderr
    checks.check(part in text, f"{name}: exit {code} and '{part}'" + ("" if part in text else f", got {text[-400:]}"))


def check_notices(checks, work, task):
    """A drawing setting has no effect only where the model's own generation_config.json does not draw either."""
    path = work / "model/generation_config.json"
    plain = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for draws in (True, False):
        path.write_text(json.dumps(plain | {"do_sample": draws}), encoding="utf-8")
        done = run_zt("run", "--config", task, "--task", "predict", "--predictions_file", work / "again.jsonl", "--top_k", 5)
        noted = "--top_k: no effect without do_sample (command line)" in done.stdout + done.stderr
        checks.check(noted != draws, f"--top_k beside do_sample {draws} of the model: {'noted' if noted else 'not noted'}")


def check_refusals(checks, work, task):
    bad = work / "bad.jsonl"
    bad.write_text('{"prompt": "fine"}\n{"prompt"\n{"question": "x"}\n', encoding="utf-8")
    refused(checks, "bad prompts", 3, "bad.jsonl:3: has neither", "--config", task, "--task", "predict", "--prompts_file", bad)
    refused(checks, "unknown task", 2, "Did you mean 'predict'", "--config", task, "--task", "predikt")
    refused(checks, "no trained weights", 2, "there are no trained weights", "--config", task, "--task", "predict",
            "--output_dir", work / "nothing", "--from_scratch")
    refused(checks, "prompt beyond the positions", 3, "positions together", "--config", task, "--task", "predict",
            "--max_new_tokens", "600")


def check_shipped_file(checks, work):
    """configs/tiny_qwen3.yaml as README names it, with two steps so that it is short."""
    out = work / "shipped"
    os.environ["ZT_OUTPUT"] = str(out)
    os.chdir(SOURCE)  # the paths in the file start at the root of the repository
    for task, flags, made in (("train", ("--max_steps", 2), "model.safetensors"), ("test", (), "test_results.json"),
                              ("predict", ("--max_new_tokens", 4), "predictions.jsonl")):
        run_zt("run", "--config", "configs/tiny_qwen3.yaml", "--task", task, *flags)
        checks.check((out / made).exists(), f"configs/tiny_qwen3.yaml: {task} writes {made}")
    asked = len((SOURCE / "configs/prompts.jsonl").read_text(encoding="utf-8").splitlines())
    checks.check(len(lines_of(out / "predictions.jsonl")) == asked, f"one line for each of the {asked} prompts")


def main():
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM
    torch.set_num_threads(1)
    with Checks.in_folder("task") as (checks, work):
        make_data(work)
        make_model(work / "model", initializer_range=0.3)  # texts of an untrained model with small weights repeat one token
        task = write_task(work)
        out = work / "out"
        run_zt("run", "--config", task, "--task", "train")
        checks.check((out / "model.safetensors").exists() and (out / "eval_results.json").exists(),
                     "train: two ranks, stage 3, a saved model and an evaluation")
        network = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
        tokenizer = Tokenizer.from_file(str(EXAMPLE / "tokenizer.json"))

        after_training = json.loads((out / "test_results.json").read_text())
        lines = len((out / "metrics.jsonl").read_text().splitlines())
        run_zt("run", "--config", task, "--task", "test")
        tested = json.loads((out / "test_results.json").read_text())
        checks.check(tested["test_loss"] == after_training["test_loss"], "the saved model gives the loss at the end of training")
        loss, accuracy = expected_test(network, blocks(EXAMPLE, work / "valid", BLOCK))
        checks.check(abs(tested["test_loss"] - loss) < 1e-5 * loss, f"test: loss {tested['test_loss']:.6f}, PyTorch {loss:.6f}")
        checks.check(abs(tested["test_accuracy"] - accuracy) < 1e-9,
                     f"test: accuracy {tested['test_accuracy']:.4f}, PyTorch {accuracy:.4f}")
        checks.check(len((out / "metrics.jsonl").read_text().splitlines()) == lines, "test leaves the training's metrics alone")

        theirs = expected_texts(network, tokenizer)
        done = run_zt("run", "--config", task, "--task", "predict")
        check_predictions(checks, out / "predictions.jsonl", theirs, "two ranks, stage 3")
        checks.check("5 prompts, 3 slots of" in done.stdout + done.stderr, "without a number each rank has slots for its prompts")
        first = lines_of(out / "predictions.jsonl")[0]
        checks.check(first["id"] == 1 and first["prompt"] == PROMPTS[0]["prompt"], "a line keeps its prompt's fields")
        for name, flags in {
                "one rank, stage 0, one slot": ("--nproc", 1, "--zero_stage", 0, "--generation_batch_size", 1),
                "two slots": ("--generation_batch_size", 2), "the newest checkpoint": ("--resume_from_checkpoint", "latest"),
                "a named checkpoint": ("--resume_from_checkpoint", out / "checkpoint-4", "--nproc", 1)}.items():
            path = work / "again.jsonl"
            run_zt("run", "--config", task, "--task", "predict", "--predictions_file", path, *flags)
            check_predictions(checks, path, theirs, name)
        run_zt("ckpt", "convert", out / "checkpoint-4", work / "ds", "--to", "deepspeed", "--stage", 2, "--world_size", 2)
        run_zt("run", "--config", task, "--task", "predict", "--predictions_file", work / "ds.jsonl",
               "--resume_from_checkpoint", work / "ds")
        check_predictions(checks, work / "ds.jsonl", theirs, "a DeepSpeed checkpoint")

        drawn = {}
        for name, flags in {"two": ("--generation_batch_size", 2), "one": ("--nproc", 1, "--generation_batch_size", 5),
                            "other": ("--generation_seed", 7)}.items():
            path = work / f"{name}.jsonl"
            run_zt("run", "--config", task, "--task", "predict", "--predictions_file", path, "--do_sample", "--top_p", 0.9, *flags)
            drawn[name] = path.read_text()
        checks.check(drawn["two"] == drawn["one"], "sampling: two ranks draw what one rank draws, in other batches")
        checks.check(drawn["two"] != drawn["other"], "sampling: another seed draws something else")

        check_notices(checks, work, task)
        quiet = run_zt("run", "--config", task, "--task", "predict", "--log_level", "error")
        checks.check("[info]" not in quiet.stdout + quiet.stderr, "log_level error: nothing at info")
        script = subprocess.run([SOURCE / "scripts" / "run_deepspeed.sh", task, "predict", "--nproc", "1"], check=False,
                                capture_output=True, text=True)
        checks.check(script.returncode == 0, "scripts/run_deepspeed.sh CONFIG predict")
        check_refusals(checks, work, task)
        check_shipped_file(checks, work)
        shutil.rmtree(out)


if __name__ == "__main__":
    main()
