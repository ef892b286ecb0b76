"""Generated tokens and the choice of tokens against transformers.

Greedy tokens of 50 prompts on random small Qwen3 and Mamba models (tied and untied) in fp32 equal transformers' generate one by
one, for several numbers of slots and ranks, with and without rules (repetition penalty, repeated n-grams, least length).
Logits after rules and warpers equal those of transformers' processors, in the order in which generate applies them.
Environment: ZT_BUILD_DIR (holds generate_peer_tool).
"""

import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import torch
from transformers import GenerationConfig, MambaConfig, MambaForCausalLM, Qwen3Config, Qwen3ForCausalLM

import _probe
from _probe import report

TOOL = next(pathlib.Path(os.environ["ZT_BUILD_DIR"]).rglob("generate_peer_tool"))
VOCAB, PROMPTS, NEW_TOKENS, EOS = 331, 50, 24, 7


def make_model(folder, tied, seed):
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=VOCAB, hidden_size=72, intermediate_size=136, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=128, tie_word_embeddings=tied, rope_theta=1e4,
        initializer_range=0.3)
    model = Qwen3ForCausalLM(config).eval()
    with torch.no_grad():
        for name, param in model.named_parameters():
            if "norm" in name:
                param.uniform_(0.5, 1.5)
    model.save_pretrained(folder)
    return model


def make_mamba(folder, tied, seed):
    torch.manual_seed(seed)
    config = MambaConfig(
        vocab_size=VOCAB, hidden_size=48, state_size=8, num_hidden_layers=3, conv_kernel=4, expand=2,
        use_conv_bias=tied, use_bias=False, tie_word_embeddings=tied, initializer_range=0.4, time_step_rank=5)
    model = MambaForCausalLM(config).eval()
    model.save_pretrained(folder)
    return model


def make_prompts(seed):
    choose = random.Random(seed)
    return [[choose.randrange(VOCAB) for _ in range(choose.randint(1, 40))] for _ in range(PROMPTS)]


def tool(command, *requests):
    done = subprocess.run([TOOL, command], input="\n".join(map(json.dumps, requests)) + "\n", capture_output=True,
                          text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        raise SystemExit(f"FAIL generate_peer_tool {command}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def expected(model, prompts, settings):
    config = GenerationConfig(**settings, pad_token_id=0, do_sample=False)
    result = []
    with torch.no_grad():
        for ids in prompts:
            tokens = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                                    generation_config=config)
            result.append(tokens[0, len(ids):].tolist())
    return result


def first_difference(ours, theirs):
    for index, (a, b) in enumerate(zip(ours, theirs)):
        if a != b:
            return f"prompt {index}: got {a}, expected {b}"
    return "none"


def greedy(work):
    variants = {
        "greedy": {"max_new_tokens": NEW_TOKENS, "eos_token_id": EOS},
        "greedy with rules": {"max_new_tokens": NEW_TOKENS, "eos_token_id": [EOS, 11], "repetition_penalty": 1.3,
                              "no_repeat_ngram_size": 2, "min_new_tokens": 5, "suppress_tokens": [3, 4],
                              "begin_suppress_tokens": [5]},
        "greedy to a length": {"max_length": 60, "min_length": 30, "eos_token_id": list(range(40))},
    }
    models = {"Qwen3 tied": (make_model, True), "Qwen3 untied": (make_model, False), "Mamba tied": (make_mamba, True),
              "Mamba untied": (make_mamba, False)}
    for kind, (make, tied) in models.items():
        folder = work / kind.replace(" ", "-")
        model = make(folder, tied, seed=1 + tied)
        prompts = make_prompts(seed=2)
        for name, settings in variants.items():
            if name != "greedy" and not tied:
                continue
            asked = prompts if name == "greedy" else prompts[:10]
            theirs = expected(model, asked, settings)
            kinds = len({token for tokens in theirs for token in tokens})
            lengths = {len(tokens) for tokens in theirs}
            report(f"{kind} {name} is a test", kinds > 50 and (len(lengths) > 1 or name != "greedy to a length"),
                   f"{kinds} different tokens, {len(lengths)} different lengths")
            for slots, world in ((8, 1), (1, 1), (3, 2)):
                request = {"model": str(folder), "slots": slots, "world": world, "settings": settings,
                           "prompts": asked}
                ours = tool("complete", request)[0]
                report(f"{kind} {name} {slots} slots {world} ranks", ours == theirs,
                       f"{sum(map(len, theirs))} tokens of {len(asked)} prompts; first difference: "
                       f"{first_difference(ours, theirs)}")


def random_settings(choose):
    settings = {"max_new_tokens": 9, "eos_token_id": [1, 5], "do_sample": choose.random() < 0.8}
    maybe = {
        "repetition_penalty": choose.choice([0.7, 1.1, 2.5]), "no_repeat_ngram_size": choose.randint(1, 3),
        "min_new_tokens": choose.randint(1, 6), "min_length": choose.randint(1, 20), "suppress_tokens": [0, 9],
        "begin_suppress_tokens": [2],
    }
    if settings["do_sample"]:
        maybe |= {"temperature": choose.choice([0.3, 0.7, 1.8]), "top_k": choose.choice([0, 1, 3, 20, 500]),
                  "top_p": choose.choice([0.05, 0.5, 0.9, 0.99]), "min_p": choose.choice([0.01, 0.2])}
    return settings | {key: value for key, value in maybe.items() if choose.random() < 0.45}


def processed(model, request):
    """The logits as generate's own processors leave them."""
    settings = request["settings"]
    config = GenerationConfig(**settings, pad_token_id=0)
    defaults = {"top_k": 50, "top_p": 1.0, "temperature": 1.0, "num_beams": 1, "repetition_penalty": 1.0}
    for key, value in defaults.items():  # what generate fills in
        if getattr(config, key) is None:
            setattr(config, key, value)
    model._prepare_special_tokens(config, kwargs_has_attention_mask=True, device="cpu")
    processors = model._get_logits_processor(config, input_ids_seq_length=request["prompt"], device="cpu")
    ids, logits = torch.tensor([request["tokens"]]), torch.tensor([request["logits"]])
    return processors(ids, logits)[0]


def logits(model):
    choose = random.Random(5)
    requests = []
    for _ in range(250):
        tokens = [choose.randrange(30) for _ in range(choose.randint(2, 25))]
        prompt = choose.randint(1, len(tokens))
        values = torch.tensor([choose.gauss(0, 3) for _ in range(60)]).tolist()
        requests.append({"settings": random_settings(choose), "tokens": tokens, "prompt": prompt, "logits": values})
    wrong, masked = [], 0
    for request, ours in zip(requests, tool("logits", *requests)):
        theirs = processed(model, request).tolist()
        masked += sum(map(math.isinf, theirs))
        # Equal masks; values up to the rounding of one division.
        same = all((b == -math.inf) if a is None else math.isclose(a, b, rel_tol=1e-6) for a, b in zip(ours, theirs))
        if not same:
            wrong.append(request["settings"])
    report("rules and warpers", not wrong, f"{len(requests)} random cases, {masked} masked logits, wrong: {wrong[:2]}")


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        greedy(work)
        logits(Qwen3ForCausalLM.from_pretrained(work / "Qwen3-tied"))
    sys.exit(_probe.finish())


if __name__ == "__main__":
    main()
