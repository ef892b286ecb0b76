#!/usr/bin/env bash
# Trains, tests or predicts as a task file says. The number of ranks is the file's `num_gpus` (else every GPU, or one CPU rank).
#
#   scripts/run_deepspeed.sh CONFIG [train|test|predict] [flags of zt run]
#   scripts/run_deepspeed.sh configs/tiny_qwen3.yaml train --zero_stage 3
set -euo pipefail

usage() { sed -n '2,5s/^# \{0,1\}//p' "$0"; }
case "${1:-}" in
  -h | --help) usage; exit 0 ;;
  '' | --*) usage >&2; exit 2 ;;
esac
config="$1"
shift
task=train
case "${1:-}" in
  train | test | predict) task="$1"; shift ;;
esac
zt="$(dirname "$0")/../zt"
if [ ! -x "$zt" ]; then zt=zt; fi
exec "$zt" run --config "$config" --task "$task" "$@"
