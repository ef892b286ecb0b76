#!/usr/bin/env python3
"""The guide scripts as users run them, on CPU ranks: every script at every stage, two nodes, wrong arguments.

All runs have two ranks and reduce at the same points, so all of them have to give the same model, bit for bit.
Uses ZT_BINARY (default ./zt) and the torchrun beside this interpreter.
"""

import shutil
import socket

import _guides as guides
import _ports as ports
from _checks import Report
from _guides import DEEPSPEED, OLD, TORCHRUN

SAME = ("--reduce_at", "boundary")
RUNS = [(script, stage, 1) for script in (DEEPSPEED, OLD, TORCHRUN) for stage in (1, 2, 3)]
RUNS += [(DEEPSPEED, 2, 2), (TORCHRUN, 3, 2)]  # two nodes on loopback

# name, script arguments, changed environment (None: not set), what the one error says
REFUSED = [
    ("stage 7", ["7"], {}, "zero_stage: got '7', expected 1, 2 or 3"),
    ("port 99999", ["2", "1", "2", "127.0.0.1", "99999"], {}, "master_port: got '99999'"),
    ("0 nodes", ["2", "0"], {}, "num_nodes: got '0'"),
    ("half a GPU", ["2", "1", "0.5"], {}, "gpus_per_node: got '0.5'"),
    ("six arguments", ["2", "1", "2", "h", "1", "x"], {}, "got 6 arguments"),
    ("a flag without --", ["2", "--bf16"], {}, "unknown flag '--bf16'"),
    ("two nodes without an address", ["2", "2", "1"], {}, "master_addr is missing"),
    ("node rank 2 of 2", ["2", "2", "1", "127.0.0.1"], {"NODE_RANK": "2"}, "NODE_RANK: got '2'"),
    ("no model set", ["2"], {"MODEL_PATH": None}, "MODEL_PATH is not set"),
    ("a missing model", ["2"], {"MODEL_PATH": "no/such"}, "MODEL_PATH: no such folder: 'no/such'"),
    ("no data set", ["2"], {"TRAIN_DATA_DIR": None}, "TRAIN_DATA_DIR is not set"),
    ("missing data", ["2"], {"TRAIN_DATA_DIR": None, "TRAIN_FILE_DIR": "no/such"}, "no such folder: 'no/such'"),
    ("two data folders", ["2"], {"TRAIN_FILE_DIR": "other"}, "but TRAIN_FILE_DIR is 'other'"),
    ("no zt", ["2"], {"ZT": "no/zt"}, "'no/zt' is no program"),
]


def runs_train_the_same_model(report, root):
    reference = None
    for script, stage, nodes in RUNS:
        output = root / f"{script}-{stage}-{nodes}"
        arguments = guides.command(script, stage, nodes, 2 // nodes, "127.0.0.1", ports.free_port(), *SAME)
        results = guides.run_together([(arguments, guides.environment(root, output, NODE_RANK=str(node)))
                                       for node in range(nodes)])
        wrong = guides.problems_of(results, output, reference)
        text = results[0][1]
        for expected in (f"zero{stage}.json", "WORLD_SIZE                   2", "CUDA_VISIBLE_DEVICES",
                         "training on"):
            if expected not in text:
                wrong.append(f"'{expected}' is not printed")
        reference = reference or guides.model_hash(output)
        report.check(f"{script}, stage {stage}, {nodes} node(s)", wrong, "\n".join(t for _, t in results))


def wrong_arguments_are_refused(report, root):
    for name, arguments, changes, expected in REFUSED:
        for script in (DEEPSPEED, TORCHRUN):
            env = guides.environment(root, root / "refused") | {k: v for k, v in changes.items() if v is not None}
            for key in (k for k, v in changes.items() if v is None):
                del env[key]
            status, text = guides.run([str(guides.SCRIPTS / script), *arguments], env)
            wrong = [] if status == 2 else [f"status {status}"]
            if expected not in text or text.count("\n") != 1:
                wrong.append(f"expected one line with: {expected}")
            report.check(f"{name} is refused by {script}", wrong, text)
    report.check("a refused run leaves nothing behind", ["OUTPUT_DIR exists"] if (root / "refused").exists() else [])


def missing_stage_file_is_named(report, root):
    copy = root / "scripts"
    shutil.copytree(guides.SCRIPTS, copy, ignore=shutil.ignore_patterns("*.py", "zero3.json"))
    status, text = guides.run([str(copy / OLD), "3"], guides.environment(root, root / "refused"))
    wrong = [] if status == 2 and "zero3.json is missing" in text else [f"status {status}"]
    report.check("a missing zero3.json is named", wrong, text)


def taken_port_is_named(report, root):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for script in (DEEPSPEED, TORCHRUN):
            status, text = guides.run(guides.command(script, 2, 1, 2, "127.0.0.1", port),
                                      guides.environment(root, root / "taken"))
            wrong = [] if status != 0 and f"port {port} of 127.0.0.1 is taken" in text else [f"status {status}"]
            report.check(f"a taken port is named by {script}", wrong, text)


def checkpoints_are_kept(report, root):
    """--overwrite_output_dir, without torchrun on PATH: zt launch takes over."""
    output = root / "again"
    (output / "checkpoint-7").mkdir(parents=True)
    (output / "checkpoint-7" / "model.safetensors").write_bytes(b"precious")
    env = guides.environment(root, output, ZT_VENV="no/such", PATH="/usr/bin:/bin", SAVE_STEPS="1", SAVE_TOTAL_LIMIT="1")
    status, text = guides.run(guides.command(TORCHRUN, 1, 1, 1, "127.0.0.1", ports.free_port()), env)
    wrong = [] if status == 0 else [f"status {status}"]
    for expected in ("no torchrun", "holds 1 checkpoints of an earlier run"):
        if expected not in text:
            wrong.append(f"'{expected}' is not printed")
    kept = [p for p in output.rglob("model.safetensors") if p.parent.name == "checkpoint-7"]  # may be set aside
    if [p.read_bytes() for p in kept] != [b"precious"]:
        wrong.append("the checkpoint of the earlier run is gone")
    report.check("without torchrun zt launch starts the ranks; earlier checkpoints stay", wrong, text)


def settings_reach_the_command(report, root):
    env = guides.environment(root, root / "dry", DRY_RUN="True", NCCL_DEBUG="WARN", WARMUP_STEPS="3", FP16="True",
                             LEARNING_RATE="3e-5", MAX_STEPS="")
    for script in (DEEPSPEED, TORCHRUN):
        status, text = guides.run(guides.command(script, 3, 2, 4, "10.0.0.1", 4242, "--coalesce", "off"), env)
        expected = ["NCCL_DEBUG                   WARN", "WORLD_SIZE                   8", "--warmup_steps 3",
                    "--learning_rate 3e-5", "--fp16 True", "--bf16 False", "--num_train_epochs 0.5", "--coalesce off",
                    "--per_device_train_batch_size 1", "--weight_decay 0.01", "--max_train_samples 10000",
                    "--max_eval_samples 10", "--gradient_checkpointing True", "--report_to tensorboard",
                    "--master_addr 10.0.0.1 --master_port 4242", f"--deepspeed {guides.SCRIPTS}/zero3.json"]
        if script == TORCHRUN:
            expected += ["/torchrun ", "--overwrite_output_dir True", "--nnodes 2 --node_rank 0 --nproc_per_node 4"]
        wrong = [f"lacks '{e}'" for e in expected if e not in text]
        wrong += [f"has '{e}'" for e in ("--warmup_ratio", "--max_steps") if e in text]
        report.check(f"{script}: settings and defaults reach the command", wrong + [f"status {status}"] * (status != 0), text)


def main():
    with Report.in_folder("guide") as (report, root):
        guides.make_model(root)
        settings_reach_the_command(report, root)
        wrong_arguments_are_refused(report, root)
        missing_stage_file_is_named(report, root)
        taken_port_is_named(report, root)
        checkpoints_are_kept(report, root)
        runs_train_the_same_model(report, root)


if __name__ == "__main__":
    main()
