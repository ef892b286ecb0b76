#!/usr/bin/env bash
# The old spelling of deepspeed_multi_node_multi_gpu.sh.
set -euo pipefail
exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/deepspeed_multi_node_multi_gpu.sh" "$@"
