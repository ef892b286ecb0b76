#!/usr/bin/env bash
# From a fresh machine to a trained model: installs what is missing, builds, trains a tiny Qwen3 with
# ZeRO-2 on two ranks (all GPUs where there are some and nvcc 13 is there), evaluates, saves, shows.
#
#   ./quickstart.sh [--steps N] [--cpu] [--no-apt]
#
#     --no-apt  installs no system packages (scripts/setup.sh --help)
#
# Everything it writes lies in build-*/ and output-quickstart/. Run it as often as you like.
set -euo pipefail
cd "$(dirname "$0")"

steps=500 use_gpu=auto setup=()
while [ $# -gt 0 ]; do
  case "$1" in
    --steps)
      steps="${2:-}"
      case "$steps" in '' | *[!0-9]* | 0*) echo "[quickstart.arguments] --steps: got '$steps', expected a number >= 1." >&2; exit 2 ;; esac
      shift 2 ;;
    --cpu) use_gpu=no; shift ;;
    --no-apt) setup=(--no-apt); shift ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "[quickstart.arguments] unknown flag: got '$1', expected --steps N, --cpu or --no-apt." >&2; exit 2 ;;
  esac
done
section() { printf '\n== %s (%d s)\n' "$1" "$SECONDS"; }

section "setup"
scripts/setup.sh "${setup[@]}"
# shellcheck source=scripts/env.sh
. scripts/env.sh

gpus=0
if [ "$use_gpu" = auto ] && command -v nvidia-smi >/dev/null; then
  gpus="$(nvidia-smi -L 2>/dev/null | grep -c '^GPU ' || true)"
fi
if [ "$gpus" -gt 0 ] && [ -z "$ZT_CUDA_HOME" ]; then
  echo "[quickstart] $gpus GPUs are here, but no nvcc 13 on PATH or in /usr/local/cuda: training on the CPU."
  gpus=0
fi
preset=cpu-release
configure=()
train=(--use_cpu True --nproc 2 --per_device_train_batch_size 4)
if [ "$gpus" -gt 0 ]; then
  preset=cuda-release
  configure=("-DCMAKE_CUDA_COMPILER=$ZT_CUDA_HOME/bin/nvcc")
  train=(--nproc "$gpus" --per_device_train_batch_size 16 --bf16 True)
fi

section "build ($preset; the first time takes some minutes)"
log="build-$preset/quickstart-build.log"
mkdir -p "build-$preset"
if ! { cmake --preset "$preset" "${configure[@]}" && cmake --build --preset "$preset" --target zt; } >"$log" 2>&1; then
  tail -n 40 "$log"
  echo "[quickstart.build] the build failed. Full log: $log" >&2
  exit 1
fi
zt="build-$preset/src/cli/zt"

section "train, evaluate, save"
output=output-quickstart
command=("$zt" train
  --model_name_or_path examples/tiny_qwen3 --from_scratch True
  --train_file_dir examples/tiny_qwen3/train --validation_file_dir examples/tiny_qwen3/valid
  --output_dir "$output" --overwrite_output_dir True --save_strategy no
  --deepspeed examples/tiny_qwen3/zero2.json
  --block_size 256 --max_steps "$steps" --learning_rate 2e-3 --lr_scheduler_type cosine --warmup_steps 20
  --weight_decay 0.01 --do_eval True --eval_strategy steps --eval_steps 150 --logging_steps 50
  "${train[@]}")
printf '%s \\\n' "$(printf '%q ' "${command[@]}" | sed 's/ --/ \\\n    --/g; s/ $//')" | sed '$ s/ \\$//'
echo
"${command[@]}"

section "what came out of it"
python3 scripts/plot_loss.py "$output/metrics.jsonl"
echo
echo "eval_results.json:"
cat "$output/eval_results.json"
echo
echo "$output/ (a Hugging Face folder; transformers loads it):"
ls -l "$output" | awk 'NR > 1 { printf "  %12d  %s\n", $5, $9 }'
echo
echo "Done in $SECONDS s. Next: README.md, \"Train your own model\"."
