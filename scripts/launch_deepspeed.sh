#!/usr/bin/env bash
# Trains a preset on the GPUs of this machine with configs/deepspeed_config.json (ZeRO-2, fp16).
#
#   scripts/launch_deepspeed.sh --num_gpus N --preset P [--port X] [--config FILE] [flags of zt train]
#
#   --num_gpus N     GPUs, or CPU ranks with --use_cpu True
#   --preset P       1b_mamba, 3b_mamba or 7b_mamba; or --config FILE with a YAML file of the same form
#   --port X         a free port for the ranks to meet (default 29500)
#   everything else is passed to zt train: --train_file_dir DIR, --tokenizer_name_or_path DIR, --output_dir DIR,
#   --dry_run, --load_checkpoint DIR, --deepspeed_config FILE, ...
#   ZT               the program, when it is neither beside the scripts nor on PATH
set -euo pipefail
guide_dir="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
# shellcheck source=scripts/guide_common.sh
. "$guide_dir/guide_common.sh"

num_gpus='' preset='' config='' port=29500 deepspeed='' dry=0
rest=()
need() {
  if [ $# -lt 2 ] || [ -z "$2" ]; then guide_fail arguments "$1 has no value."; fi
}
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --num_gpus) need "$@"; num_gpus="$2"; shift 2 ;;
    --preset) need "$@"; preset="$2"; shift 2 ;;
    --config) need "$@"; config="$2"; shift 2 ;;
    --port | --master_port) need "$@"; port="$2"; shift 2 ;;
    --deepspeed_config | --deepspeed) need "$@"; deepspeed="$2"; shift 2 ;;
    --dry_run | --check_memory) dry=1; rest+=("$1"); shift ;;
    *) rest+=("$1"); shift ;;
  esac
done
[ -n "$num_gpus" ] || guide_fail arguments "--num_gpus is missing. Give the number of GPUs."
guide_number --num_gpus "$num_gpus" 1 4096
guide_number --port "$port" 1 65535
if [ -n "$preset" ] && [ -n "$config" ]; then guide_fail arguments "--preset and --config are both given. Give one."; fi
if [ -z "$preset" ] && [ -z "$config" ]; then guide_fail arguments "--preset is missing. Give 1b_mamba, 3b_mamba or 7b_mamba, or --config FILE."; fi
if [ -z "$deepspeed" ]; then
  for deepspeed in "$guide_dir/../configs/deepspeed_config.json" "$guide_dir/../../../share/zerotrain/configs/deepspeed_config.json"; do
    if [ -f "$deepspeed" ]; then break; fi
  done
fi
[ -f "$deepspeed" ] || guide_fail config "no such DeepSpeed file: '$deepspeed'. Give it with --deepspeed_config."
guide_find_zt

flags=(--num_gpus "$num_gpus" --deepspeed_config "$deepspeed")
if [ -n "$preset" ]; then flags+=(--preset "$preset"); else flags+=(--config "$config"); fi
if [ "$dry" -eq 1 ]; then
  command=("$guide_zt" train "${flags[@]}" "${rest[@]}")
else
  command=("$guide_zt" launch --nproc "$num_gpus" --master_port "$port" -- "$guide_zt" train "${flags[@]}" --do_train "${rest[@]}")
fi
printf '%q ' "${command[@]}"
echo
exec "${command[@]}"
