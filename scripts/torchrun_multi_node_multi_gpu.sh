#!/usr/bin/env bash
# Trains on one or several machines with a DeepSpeed file of ZeRO stage 1, 2 or 3, started by torchrun
# (by zt launch where there is no torchrun).
#
#   MODEL_PATH=... TRAIN_DATA_DIR=... scripts/torchrun_multi_node_multi_gpu.sh \
#       [zero_stage] [num_nodes] [gpus_per_node] [master_addr] [master_port] [-- flags of zt train]
#
# Two machines: run it on both, with NODE_RANK=0 and NODE_RANK=1 and the same arguments. Passes
# --overwrite_output_dir True: it writes into an OUTPUT_DIR that was used before, and never deletes the
# checkpoints there. --help lists every variable.
set -euo pipefail
guide_dir="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
# shellcheck source=scripts/guide_common.sh
. "$guide_dir/guide_common.sh"

find_torchrun() {
  local candidate
  if [ -n "${TORCHRUN:-}" ]; then
    [ -x "$TORCHRUN" ] || guide_fail program "TORCHRUN: '$TORCHRUN' is no program."
    printf '%s' "$TORCHRUN"
    return
  fi
  for candidate in "$(command -v torchrun || true)" \
    "${ZT_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/zerotrain/venv}/bin/torchrun"; do
    if [ -x "$candidate" ]; then
      printf '%s' "$candidate"
      return
    fi
  done
}

# torchrun would show a Python stack instead.
# shellcheck disable=SC2016,SC2154  # the inner shell expands; guide_common.sh sets these
refuse_taken_port() {
  if [ "$node_rank" -eq 0 ] && timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$master_addr" "$master_port" 2>/dev/null; then
    guide_fail port "port $master_port of $master_addr is taken by another program. Choose a free one as the fifth argument, the same on every machine."
  fi
}

# What an earlier run left there stays; say so.
# shellcheck disable=SC2154
note_checkpoints() {
  local found
  [ -d "$output_dir" ] || return 0
  found="$(find "$output_dir" -maxdepth 1 -name 'checkpoint-*' -printf . | wc -c)"
  if [ "$found" -gt 0 ]; then
    guide_note "$output_dir holds $found checkpoints of an earlier run: --overwrite_output_dir keeps them."
  fi
}

case "${1:-}" in
  -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; guide_help; exit 0 ;;
esac
OVERWRITE_OUTPUT_DIR="${OVERWRITE_OUTPUT_DIR:-True}"
guide_prepare "$@"
guide_collect
note_checkpoints
torchrun="$(find_torchrun)"
if [ -n "$torchrun" ]; then
  guide_checks+=(refuse_taken_port)
  guide_command=("$torchrun" --nnodes "$num_nodes" --node_rank "$node_rank" --nproc_per_node "$gpus_per_node"
    --master_addr "$master_addr" --master_port "$master_port")
  if [ -n "${LOG_DIR:-}" ]; then guide_command+=(--log_dir "$LOG_DIR" --tee 3); fi
  guide_command+=(--no-python "$guide_zt" train "${guide_flags[@]}")
else
  guide_note "there is no torchrun on PATH: starting the ranks with zt launch."
  guide_use_zt_launch
fi
guide_run
