#!/usr/bin/env bash
# Checks that this machine can train, and sets up what is missing. Despite its name, which users of older
# guides know, it installs no DeepSpeed: zerotrain needs neither DeepSpeed nor Python to train.
#
#   scripts/install_deepspeed.sh [--check]
#     --check   only look: change nothing, say what is missing, exit 1 if it is
set -euo pipefail
guide_dir="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
root="$(dirname "$guide_dir")"

check=0
case "${1:-}" in
  '') ;;
  --check) check=1 ;;
  -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "[install.arguments] unknown flag: got '$1', expected --check." >&2; exit 2 ;;
esac

missing=0
have() { printf '  ok       %s\n' "$*"; }
note() { printf '  note     %s\n' "$*"; }
lack() { printf '  missing  %s\n' "$*"; missing=$((missing + 1)); }

check_gpus() {
  local gpus
  if ! command -v nvidia-smi >/dev/null; then
    note "no NVIDIA driver (nvidia-smi): training will run on the CPU"
    return
  fi
  gpus="$(nvidia-smi --query-gpu=index,name,memory.total,memory.free --format=csv,noheader 2>/dev/null || true)"
  if [ -z "$gpus" ]; then
    lack "GPUs: nvidia-smi is there but lists none; look at the driver"
    return
  fi
  while IFS= read -r line; do have "GPU $line"; done <<<"$gpus"
}

find_zt() {
  local candidate
  for candidate in "$root/zt" "$root"/build-*/src/cli/zt "$root/../../bin/zt" "$(command -v zt || true)"; do
    if [ -f "$candidate" ] && [ -x "$candidate" ]; then printf '%s' "$candidate"; return; fi
  done
}

check_program() {
  local zt
  zt="$(find_zt)"
  if [ -z "$zt" ]; then
    lack "the program zt: it is not built"
    return
  fi
  if "$zt" version >/dev/null 2>&1; then
    have "zt: $zt"
    "$zt" version | sed 's/^/           /'
  else
    lack "zt does not start: $zt ($("$zt" version 2>&1 | tail -n 1))"
  fi
}

check_python() {
  local found
  found="$(python3 -c 'import deepspeed; print(deepspeed.__version__)' 2>/dev/null | tail -n 1 || true)"
  if [ -n "$found" ]; then
    note "DeepSpeed $found is installed; zerotrain does not use it"
  else
    note "DeepSpeed is not installed; zerotrain does not need it"
  fi
}

build() {
  [ -x "$root/scripts/setup.sh" ] || { echo "[install.build] there are no sources beside this script to build zt from." >&2; exit 1; }
  (cd "$root" && scripts/setup.sh)
  # shellcheck source=scripts/env.sh
  . "$root/scripts/env.sh"
  local preset=cpu-release configure=()
  if command -v nvidia-smi >/dev/null && [ -n "${ZT_CUDA_HOME:-}" ]; then
    preset=cuda-release
    configure=("-DCMAKE_CUDA_COMPILER=$ZT_CUDA_HOME/bin/nvcc")
  fi
  (cd "$root" && cmake --preset "$preset" "${configure[@]}" && cmake --build --preset "$preset" --target zt)
}

echo "== this machine"
check_gpus
check_python
check_program
if [ "$missing" -gt 0 ] && [ "$check" -eq 0 ] && [ -z "$(find_zt)" ]; then
  echo "== building zt"
  build
  missing=0
  echo "== afterwards"
  check_gpus
  check_program
fi
if [ "$missing" -gt 0 ]; then
  echo "$missing missing"
  exit 1
fi
echo "ready: scripts/launch_deepspeed.sh --num_gpus N --preset 1b_mamba; zt train --check_memory says what fits"
