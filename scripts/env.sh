# shellcheck shell=bash
# Sourced by quickstart.sh, test.sh and by you: where scripts/setup.sh put things.
#   ZT_VENV        the Python environment that holds libtorch
#   ZT_TORCH_ROOT  the torch wheel in it, as CMake wants it
#   ZT_CUDA_HOME   a CUDA 13 toolkit, empty when there is none
export ZT_VENV="${ZT_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/zerotrain/venv}"
if [ -z "${ZT_TORCH_ROOT:-}" ]; then
  for zt_candidate in "$ZT_VENV"/lib/python3.*/site-packages/torch; do
    if [ -f "$zt_candidate/version.py" ]; then ZT_TORCH_ROOT="$zt_candidate"; fi
  done
  unset zt_candidate
fi
export ZT_TORCH_ROOT="${ZT_TORCH_ROOT:-}"

# nvcc 13 or newer, from PATH or the usual folder.
zt_find_cuda() {
  local nvcc major
  for nvcc in "${CUDA_HOME:+$CUDA_HOME/bin/nvcc}" "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
    if [ -x "$nvcc" ]; then
      major="$("$nvcc" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')"
      if [ "${major:-0}" -ge 13 ]; then
        dirname "$(dirname "$nvcc")"
        return
      fi
    fi
  done
}
ZT_CUDA_HOME="$(zt_find_cuda)"
export ZT_CUDA_HOME
