#!/usr/bin/env python3
"""Mamba: 30 steps of zt against a plain PyTorch loop with transformers' MambaForCausalLM, and the saved folder.

fp32: loss 1e-4 relative, gradient norm 1e-3, as parity_30_steps.py. fp16: PyTorch runs autocast with GradScaler and gets
an infinite gradient in exactly the steps that zt skipped, as fp16_loss_scale.py; same bounds. Then the saved folder
loads in transformers with nothing missing or unexpected, and a folder with the older names of mamba_ssm gives the same
first loss as Hugging Face's.
"""

import json

import torch

import _peer
from _checks import Checks
import fp16_loss_scale as half
import parity_30_steps as parity


def make_model(folder):
    from transformers import MambaConfig, MambaForCausalLM
    torch.manual_seed(0)
    vocab = json.loads((_peer.EXAMPLE / "config.json").read_text())["vocab_size"]
    config = MambaConfig(vocab_size=vocab, hidden_size=32, num_hidden_layers=2, state_size=8)
    MambaForCausalLM(config).save_pretrained(folder)
    _peer.copy_tokenizer(folder)


def older_folder(source, folder):
    """The same weights as the mamba_ssm package saves them: pickled, the tied head beside the embedding."""
    from safetensors.torch import load_file
    folder.mkdir()
    weights = load_file(source / "model.safetensors")
    weights["backbone.embedding.weight"] = weights.pop("backbone.embeddings.weight")
    weights["lm_head.weight"] = weights["backbone.embedding.weight"]
    torch.save(weights, folder / "pytorch_model.bin")
    config = json.loads((source / "config.json").read_text())
    older = {"d_model": config["hidden_size"], "n_layer": config["num_hidden_layers"], "rms_norm": True,
             "vocab_size": config["vocab_size"], "ssm_cfg": {"d_state": config["state_size"]},
             "pad_vocab_size_multiple": 1, "residual_in_fp32": True, "fused_add_norm": True}
    (folder / "config.json").write_text(json.dumps(older))
    _peer.copy_tokenizer(folder)


def loads_in_transformers(checks, folder):
    from transformers import MambaForCausalLM
    model, info = MambaForCausalLM.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    wrong = {key: value for key, value in info.items() if value}
    checks.check(not wrong, f"{folder.name}: transformers loads it, nothing missing or unexpected {wrong}")
    return model


def main():
    torch.set_num_threads(2)
    with Checks.in_folder("mamba") as (checks, root):
        folder = root / "model"
        make_model(folder)
        rows = _peer.blocks(folder, parity.TEXT)
        stage2 = parity.zt(folder, root, root / "stage2", "--deepspeed", '{"zero_optimization": {"stage": 2}}')
        parity.compare(checks, "ZeRO-2 and PyTorch, fp32", stage2, parity.pytorch_loop(folder, rows), 1e-4, 1e-3)
        trained = loads_in_transformers(checks, root / "stage2")
        first = _peer.eval_loss(trained, rows[:8])
        checks.check(first < stage2[0]["loss"], f"its loss is {first:.3f}, {stage2[0]['loss']:.3f} before training")
        parity.STEPS = 12  # transformers' scan is slow on a CPU
        half.parity_with_grad_scaler(checks, folder, rows, root)
        saved = loads_in_transformers(checks, root / "parity")
        from safetensors.torch import load_file
        kinds = {name: str(value.dtype) for name, value in load_file(root / "parity" / "model.safetensors").items()}
        kept = {name for name, kind in kinds.items() if kind == "torch.float32"}
        checks.check(kept == {n for n, _ in saved.named_parameters() if n.endswith(("A_log", ".D", "dt_proj.bias"))},
                     "the fp16 run saves A_log, D and dt_proj.bias in fp32, the rest in fp16")
        older_folder(folder, root / "older")
        older = parity.zt(root / "older", root, root / "from_older")
        checks.check(abs(older[0]["loss"] - stage2[0]["loss"]) < 1e-6, "older names and pytorch_model.bin give the same first loss")
        loads_in_transformers(checks, root / "from_older")


if __name__ == "__main__":
    main()
