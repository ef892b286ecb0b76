#!/usr/bin/env python3
"""Wrong flags, environment variables, DeepSpeed JSON, config.json and output folders are refused as _bad_inputs.py says."""

import json
import sys

import _tiny_model as tiny
from _bad_inputs import CONFIGURATION, EITHER, FILES, case, main


def flag_case(name, flag, value, *words, codes=frozenset(CONFIGURATION)):
    case(name, set(codes), flag, *words)(lambda run: run.flags.update({flag: value}))


flag_case("an unknown flag", "learning_rte", "1e-3", "learning_rate")
flag_case("a learning rate that is no number", "learning_rate", "fast")
flag_case("the name of another script's flag", "batch_size", "4", "per_device_train_batch_size")
flag_case("a seed that is negative", "seed", "-1")
flag_case("a step count beyond 64 bits", "max_steps", "99999999999999999999999")
flag_case("accelerate's processes at zero", "num_processes", "0")
flag_case("a model folder that is a file", "model_name_or_path", "/etc/hosts", codes=EITHER)
flag_case("a DeepSpeed file that is a folder", "deepspeed", "/etc", codes=EITHER)
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
ds_case("offload to NVMe in a place that takes no files",
        {"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "nvme", "nvme_path": "/proc/zt"}}}, "/proc/zt")
ds_case("UTF-16", '{"zero_optimization": {"stage": 1}}'.encode("utf-16"), "UTF-16")
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


@case("more GPUs than there are, by their name and with a hyphen", CONFIGURATION, "--num_gpus: got 64")
def _(run):
    del run.flags["nproc"], run.flags["use_cpu"]
    run.flags["num-gpus"] = "64"


@case("a checkpoint folder that is not there", FILES, "checkpoint-99: got no such folder")
def _(run):
    run.flags["resume_from_checkpoint"] = str(run.output / "checkpoint-99")


@case("another JSON file as DeepSpeed's", CONFIGURATION, "this is no DeepSpeed configuration")
def _(run):
    run.flags["deepspeed"] = str(run.model / "config.json")


@case("a config.json in UTF-16", FILES, "config.json: the text is UTF-16LE, expected UTF-8. Convert it: iconv")
def _(run):
    path = run.model / "config.json"
    path.write_bytes(path.read_text(encoding="utf-8").encode("utf-16"))


@case("a config.json that ends early", FILES, "line 3, column")
def _(run):
    (run.model / "config.json").write_text('{\n "hidden_size": 64,\n', encoding="utf-8")


@case("a tokenizer.json in UTF-16", FILES, "tokenizer.json: the text is UTF-16LE, expected UTF-8. Convert it: iconv")
def _(run):
    path = run.model / "tokenizer.json"
    path.write_bytes(path.read_text(encoding="utf-8").encode("utf-16"))


@case("NaN in config.json", EITHER, "rope_theta", "config.json")
def _(run):
    (run.model / "config.json").write_text(json.dumps(tiny.CONFIG | {"rope_theta": float("nan")}), encoding="utf-8")


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


if __name__ == "__main__":
    sys.exit(main())
