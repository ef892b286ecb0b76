#!/usr/bin/env bash
# Installs what a Debian or Ubuntu machine lacks to build zerotrain, and nothing else.
# A second run finds everything, touches no network and ends at once.
#
#   scripts/setup.sh [--tests] [--machines] [--full] [--no-apt]
#     --machines  also an ssh server, OpenMPI and Slurm, for the tests of several machines; Debian may start these
#               services, so that nothing asks for them but you and .ci/run
#     --tests   also the Python packages that the tests compare with (requirements-test.txt)
#     --full    also Clang and clang-tidy, for ./test.sh --full
#     --no-apt  leave system packages alone (you installed them some other way)
#
#   ZT_VENV   where the Python environment goes (default ~/.cache/zerotrain/venv, outside the sources)
set -euo pipefail
cd "$(dirname "$0")/.."

with_tests=0 with_machines=0 with_full=0 with_apt=1
for argument in "$@"; do
  case "$argument" in
    --tests) with_tests=1 ;;
    --machines) with_machines=1 ;;
    --full) with_full=1 ;;
    --no-apt) with_apt=0 ;;
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "[setup.arguments] unknown flag: got '$argument', expected --tests, --machines, --full or --no-apt." >&2; exit 2 ;;
  esac
done

venv="${ZT_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/zerotrain/venv}"
case "$venv" in /*) ;; *) venv="$PWD/$venv" ;; esac
marker="$venv/.zerotrain-installed"   # written last; names the exact requirements that are in
owned="$venv/.zerotrain-venv"         # written first; this folder may be deleted and made again

say() { printf '[setup] %s\n' "$*"; }
fail() { printf '[setup.%s] %s\n' "$1" "$2" >&2; exit 1; }
# Log tails go to the screen without addresses or credentials.
show_log() { grep -vE 'Retrying|^Looking in|^Collecting|^Downloading' "$1" | tail -n 15 | sed -E 's#[a-z+]+://[^ ,"]*#<address>#g; s#(host=)[^ ,)]*#\1<address>#g' >&2; }

build_packages=(  # each has its row in docs/dependencies.md
  g++ cmake ninja-build ccache python3 python3-venv ca-certificates
  nlohmann-json3-dev libspdlog-dev libfmt-dev libutf8proc-dev libxxhash-dev libyaml-cpp-dev
  libgloo-dev libhwy-dev liburing-dev libgtest-dev libbenchmark-dev
)
full_packages=(clang clang-tidy libclang-rt-dev libomp-dev)  # with the run times of its sanitizers and of OpenMP
machine_packages=(iproute2 openssh-client openssh-server openmpi-bin slurmctld slurmd slurm-client munge)

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install_packages() {
  local missing=() package sudo=() log
  for package in "$@"; do installed "$package" || missing+=("$package"); done
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail apt "not root and no sudo: cannot install ${missing[*]}. Run as root: apt-get install ${missing[*]}; or, when these are there in another form, with --no-apt"
    sudo=(sudo)
  fi
  say "installing ${#missing[@]} system packages: ${missing[*]}"
  log="$(mktemp)"
  local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y
             -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  # Old lists may still do when the update fails (one bad third-party source); the install decides.
  "${apt[@]}" update >"$log" 2>&1 || say "the package lists could not be refreshed completely; trying with the ones at hand"
  if ! "${apt[@]}" install --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
    show_log "$log"
    fail apt "apt-get could not install: ${missing[*]}. Is there a network, and are Debian 12's or Ubuntu's 'main' and 'universe' packages enabled? Full log: $log"
  fi
  rm -f "$log"
}

# what, the version that is there ('' when none is), the least that does
require() {
  local hint="Debian 12 and Ubuntu 24.04 have it"
  [ -n "$2" ] || fail "$1" "no $1 is on PATH, expected $3 or newer ($hint)."
  [ "$(printf '%s\n' "$3" "$2" | sort -V | head -n 1)" = "$3" ] || fail "$1" "$1 $2 is too old: expected $3 or newer ($hint). Put a newer one on PATH and run again."
}

# What a release older than those would only show in the middle of the build.
check_tools() {
  local compiler
  require cmake "$(cmake --version 2>/dev/null | sed -n '1s/.* //p')" 3.25
  require ninja "$(ninja --version 2>/dev/null)" 1.10
  require python3 "$(python3 -c 'import platform; print(platform.python_version())' 2>/dev/null)" 3.10
  compiler="$("${CXX:-c++}" -dM -E -x c++ /dev/null 2>/dev/null |
              awk '$2 == "__clang_major__" { clang = $3 } $2 == "__GNUC__" { gcc = $3 } END { print clang ? "clang " clang : gcc ? "gcc " gcc : "" }')"
  case "$compiler" in
    clang\ *) require clang "${compiler#* }" 14 ;;
    *) require gcc "${compiler#* }" 12 ;;
  esac
}

requirements_stamp() {  # file -> one line that changes when the file or the interpreter does
  printf '%s %s %s\n' "$1" "$(sha256sum <"$1" | cut -c1-32)" "$(python3 -c 'import sys; print(*sys.version_info[:2], sep=".")')"
}

has_stamp() { grep -qxF "$(requirements_stamp "$1")" "$marker" 2>/dev/null; }

venv_is_ready() {
  local requirements
  for requirements in "$@"; do has_stamp "$requirements" || return 1; done
  "$venv/bin/python" -c 'pass' 2>/dev/null || return 1
  compgen -G "$venv/lib/python3.*/site-packages/torch/lib/libtorch_cpu.so" >/dev/null
}

make_venv() {
  if [ -e "$venv" ] && [ -n "$(ls -A "$venv")" ]; then
    if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then return; fi
    if [ ! -e "$owned" ] && [ ! -e "$venv/pyvenv.cfg" ]; then
      fail venv "$venv is not empty and is no Python environment. Point ZT_VENV at a folder of its own."
    fi
    say "the Python environment is damaged; making it again"
    rm -rf "$venv"
  fi
  mkdir -p "$venv" || fail venv "cannot create $venv. Point ZT_VENV at a folder you may write."
  touch "$owned"
  say "creating the Python environment in $venv"
  python3 -m venv "$venv" >"$venv/.log" 2>&1 || { show_log "$venv/.log"; fail venv "python3 -m venv failed. Is python3-venv installed?"; }
}

pip_install() {  # requirements files...
  local arguments=() requirements log="$venv/.log"
  for requirements in "$@"; do arguments+=(-r "$requirements"); done
  if ! "$venv/bin/python" -m pip install --progress-bar off --no-input --disable-pip-version-check \
       --retries 5 "${arguments[@]}" >"$log" 2>&1; then
    show_log "$log"
    fail pip "pip could not install $*. Is there a network, and a free disk of 6 GB under $venv? What was fetched is kept; run again. Full log: $log"
  fi
}

install_venv() {  # requirements files...
  local lock="$venv.lock"
  mkdir -p "$(dirname "$venv")" || fail venv "cannot create $(dirname "$venv"). Point ZT_VENV at a folder you may write."
  touch "$lock" 2>/dev/null || fail venv "cannot write $lock. Point ZT_VENV at a folder you may write."
  exec 9>"$lock"
  if ! flock -n 9; then
    say "another setup is filling $venv; waiting for it"
    flock -w 3600 9 || fail venv "another setup has held $lock for an hour. End it and run again."
  fi
  if venv_is_ready "$@"; then return; fi  # the other one did the work
  local keep="" requirements
  for requirements in requirements.txt requirements-test.txt; do
    if has_stamp "$requirements"; then keep+="$(requirements_stamp "$requirements")"$'\n'; fi
  done
  make_venv
  rm -f "$marker"
  "$venv/bin/python" scripts/repair_venv.py
  say "installing ${*} (about 3 GB the first time; several minutes)"
  pip_install "$@"
  "$venv/bin/python" scripts/repair_venv.py --check || fail venv "files are missing after the installation. Is the disk full? Delete $venv and run again."
  for requirements in "$@"; do keep+="$(requirements_stamp "$requirements")"$'\n'; done
  printf '%s' "$keep" | sort -u >"$marker.new"
  mv "$marker.new" "$marker"
}

if [ "$with_apt" -eq 1 ]; then
  command -v dpkg-query >/dev/null || fail apt "this is no Debian or Ubuntu. Install what docs/dependencies.md lists, then run with --no-apt."
  packages=("${build_packages[@]}")
  if [ "$with_full" -eq 1 ]; then packages+=("${full_packages[@]}"); fi
  if [ "$with_machines" -eq 1 ]; then packages+=("${machine_packages[@]}"); fi
  install_packages "${packages[@]}"
fi
check_tools
wanted=(requirements.txt)
if [ "$with_tests" -eq 1 ]; then wanted+=(requirements-test.txt); fi
venv_is_ready "${wanted[@]}" || install_venv "${wanted[@]}"
ZT_VENV="$venv"
# shellcheck source=scripts/env.sh
. scripts/env.sh
say "ready: ZT_TORCH_ROOT=$ZT_TORCH_ROOT CUDA toolkit: ${ZT_CUDA_HOME:-none}"
