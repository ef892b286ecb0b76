#!/usr/bin/env bash
# Builds zerotrain and runs every test. The last line is `N passed, M failed, K skipped`.
#
#   ./test.sh [--fast | --full [--only PART] | --campaign] [--cuda | --no-cuda]
#     (nothing)   checks of the sources, one release build, CTest, tests/tools, tests/peers, tests/e2e
#     --fast      checks, build and the CTest programs with label cpu
#     --full      also these parts, each of which --only runs alone:
#                 headers (every header compiles alone), asan (ASan + UBSan, all modules),
#                 tsan (ThreadSanitizer, modules without libtorch), fuzz (the same modules built with Clang, ASan and
#                 UBSan: their tests, then 60 s of each fuzz program), lint (clang-tidy on every file)
#                 About two hours on two cores the first time; what did not change is not compiled or looked at again
#     --campaign  also long seeded campaigns (ZT_CAMPAIGN_SEEDS rounds, default 200) and 10 min of each fuzz program
#     --cuda, --no-cuda   compile the CUDA half or not (default: when an nvcc >= 13 is there)
#
# Tests that need a GPU are listed as skipped where there is none. Logs: test-logs/ in the build folder.
set -uo pipefail
cd "$(dirname "$0")"
started=$SECONDS

parts=(headers asan tsan fuzz lint)
mode=normal cuda=auto only=
while [ $# -gt 0 ]; do
  case "$1" in
    --fast | --full | --campaign) mode="${1#--}" ;;
    --only) only="${2:-nothing}"; shift ;;
    --cuda) cuda=on ;;
    --no-cuda) cuda=off ;;
    -h | --help) sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "[test.arguments] unknown flag: got '$1'. See ./test.sh --help." >&2; exit 2 ;;
  esac
  shift
done
if [ -n "$only" ] && { [ "$mode" != full ] || [[ " ${parts[*]} " != *" $only "* ]]; }; then
  echo "[test.arguments] --only: got '$only', expected --full and one of ${parts[*]}." >&2
  exit 2
fi

passed=0 failed=0 skipped=0
failures=() skips=()
section() { printf '\n== %s (%d s)\n' "$1" $((SECONDS - started)); }
finish() {
  section "summary"
  local name
  for name in "${skips[@]}"; do echo "skipped: $name"; done
  for name in "${failures[@]}"; do echo "FAILED:  $name"; done
  echo "$passed passed, $failed failed, $skipped skipped"
  if [ "$failed" -gt 0 ] || [ "$passed" -eq 0 ]; then exit 1; fi
  exit 0
}

# record <name> <status>: 0 passed, 77 skipped, everything else failed.
record() {
  case "$2" in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)); skips+=("$1") ;;
    *) failed=$((failed + 1)); failures+=("$1 (status $2)") ;;
  esac
}

# run_one <name> <limit in s> <command...>: one test with its log; the log is shown when it fails.
run_one() {
  local name="$1" limit="$2" log status begun=$SECONDS
  shift 2
  log="$logs/${name//\//_}.log"
  timeout --kill-after=20 "$limit" "$@" >"$log" 2>&1 </dev/null
  status=$?
  case $status in
    0) echo "pass  $name ($((SECONDS - begun)) s)" ;;
    77) echo "skip  $name: $(tail -n 1 "$log")" ;;
    *) echo "FAIL  $name (status $status, $((SECONDS - begun)) s)"; tail -n 60 "$log" | sed 's/^/    /' ;;
  esac
  record "$name" "$status"
}

# build <preset>: configures and builds; a failure is one failed test.
build() {
  local log="$logs/build-$1.log" status begun=$SECONDS
  { cmake --preset "$@" && cmake --build --preset "$1"; } >"$log" 2>&1
  status=$?
  record "build $1" "$status"
  if [ "$status" -ne 0 ]; then
    echo "FAIL  build $1"
    grep -nE 'error|FAILED|CMake Error' "$log" | head -n 20
    tail -n 30 "$log"
    return 1
  fi
  echo "pass  build $1 ($((SECONDS - begun)) s)"
}

# run_ctest <build folder> <label expression>: adds CTest's own counts.
run_ctest() {
  local report="$logs/ctest-$(basename "$1").xml" status=0 counts
  rm -f "$report"
  ctest --test-dir "$1" -L "$2" -LE "$(excluded_labels)" -j2 --output-on-failure --no-tests=error \
    --output-junit "$PWD/$report" || status=$?
  if ! counts="$("$python" scripts/junit_counts.py "$report" "$logs/names")"; then
    record "ctest in $1 wrote no report" 1
    return
  fi
  read -r p f s <<<"$counts"
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  mapfile -t -O "${#failures[@]}" failures < <(sed -n 's/^failed //p' "$logs/names")
  mapfile -t -O "${#skips[@]}" skips < <(sed -n 's/^skipped //p' "$logs/names")
  if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then record "ctest in $1 (status $status)" 1; fi
}

excluded_labels() {
  local labels='^never$'
  if [ "$has_gpu" -eq 0 ]; then labels+='|^cuda$'; fi
  printf '%s' "$labels"
}

# Programs that this run leaves out are named, never dropped silently.
list_not_run() {
  local name
  while read -r name; do
    skipped=$((skipped + 1))
    skips+=("$name ($2)")
  done < <(ctest --test-dir "$build_dir" -N -L "$1" | sed -n 's/^ *Test *#[0-9]*: //p')
}

section "setup"
setup_flags=(--tests)
case "$mode" in full | campaign) setup_flags+=(--full) ;; esac
if ! scripts/setup.sh "${setup_flags[@]}"; then
  failures+=("scripts/setup.sh"); failed=1
  finish
fi
# shellcheck source=scripts/env.sh
. scripts/env.sh
python="$ZT_VENV/bin/python"
if [ "$cuda" = auto ]; then
  if [ -n "$ZT_CUDA_HOME" ]; then cuda=on; else cuda=off; fi
fi
preset=cpu-release
configure_flags=()
if [ "$cuda" = on ]; then
  preset=cuda-release
  configure_flags+=("-DCMAKE_CUDA_COMPILER=$ZT_CUDA_HOME/bin/nvcc")
fi
has_gpu=0
if [ "$cuda" = on ] && nvidia-smi -L >/dev/null 2>&1; then has_gpu=1; fi
build_dir="build-$preset"
logs="$build_dir/test-logs"
mkdir -p "$logs"

# Limits of the long parts leave room for a slow machine: they end a hang, not a build.
build_and_test() {
  if build "$1"; then run_ctest "build-$1" '^(cpu|dist)$'; fi
}
run_fuzz() {
  section "fuzz ($1 s each)"
  build cpu-fuzz || return
  run_ctest build-cpu-fuzz '^cpu$'
  run_one fuzz 36000 "$python" tests/fuzz/run.py build-cpu-fuzz/tests/fuzz --seconds "$1"
}
run_part() {
  case "$1" in fuzz) run_fuzz 60; return ;; esac
  section "$1"
  case "$1" in
    headers) run_one "headers alone" 7200 "$python" scripts/check_headers.py --all ;;
    asan) build_and_test cpu-asan ;;
    tsan) build_and_test cpu-tsan ;;
    lint)
      run_one "configure lint" 600 cmake --preset lint
      run_one lint 36000 "$python" scripts/lint.py build-lint
      ;;
  esac
}
if [ -n "$only" ]; then
  run_part "$only"
  finish
fi

section "checks of the sources"
for check in scripts/check_*.py; do run_one "$(basename "$check" .py)" 900 "$python" "$check"; done
for test in tests/tools/*_test.py; do run_one "$(basename "$test" .py)" 300 "$python" "$test"; done

section "build ($preset)"
build "$preset" "${configure_flags[@]}" || finish

section "CTest"
run_ctest "$build_dir" '.*'
if [ "$has_gpu" -eq 0 ]; then list_not_run '^cuda$' "needs a GPU"; fi
if grep -hE '^\[  SKIPPED \]' "$build_dir/Testing/Temporary/LastTest.log" | sort -u | head -n 40 | grep .; then
  echo "(cases above were skipped inside programs that passed)"
fi
if [ "$mode" = fast ]; then finish; fi

export ZT_BUILD_DIR="$PWD/$build_dir" ZT_SOURCE_DIR="$PWD" ZT_BINARY="$PWD/zt"
export PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
ln -sfn "$build_dir/src/cli/zt" zt
run_folder() {
  local test
  for test in "$1"/*.py; do
    case "$(basename "$test")" in _*) continue ;; esac  # _name.py: shared by the tests
    run_one "$(basename "$1")/$(basename "$test" .py)" 600 "$python" "$test"
  done
}
shopt -s nullglob
section "compared with PyTorch and Hugging Face (tests/peers)"
run_folder tests/peers
section "the program as users run it (tests/e2e)"
run_folder tests/e2e

if [ "$mode" = full ]; then
  for part in "${parts[@]}"; do run_part "$part"; done
fi
if [ "$mode" = campaign ]; then run_fuzz 600; fi
if [ "$mode" = campaign ]; then
  section "campaign"
  export ZT_CAMPAIGN_SEEDS="${ZT_CAMPAIGN_SEEDS:-200}"
  for test in tests/campaign/*.py; do run_one "campaign/$(basename "$test" .py)" 36000 "$python" "$test"; done
fi
finish
