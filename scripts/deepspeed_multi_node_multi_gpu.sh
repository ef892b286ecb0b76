#!/usr/bin/env bash
# Trains on one or several machines with a DeepSpeed file of ZeRO stage 1, 2 or 3, through zt launch.
#
#   MODEL_PATH=... TRAIN_DATA_DIR=... scripts/deepspeed_multi_node_multi_gpu.sh \
#       [zero_stage] [num_nodes] [gpus_per_node] [master_addr] [master_port] [-- flags of zt train]
#
# Two machines: run it on both, with NODE_RANK=0 and NODE_RANK=1 and the same arguments. --help lists
# every variable.
set -euo pipefail
guide_dir="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
# shellcheck source=scripts/guide_common.sh
. "$guide_dir/guide_common.sh"

case "${1:-}" in
  -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; guide_help; exit 0 ;;
esac
guide_prepare "$@"
guide_collect
guide_use_zt_launch
guide_run
