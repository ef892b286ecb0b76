# shellcheck shell=bash
# Sourced by the guide scripts beside it: arguments and environment to one `zt train` command line.
# Users read guide_help below (or <script> --help). The script sets guide_dir, its own folder.
# shellcheck disable=SC2154

guide_help() {
  cat <<'HELP'

  [zero_stage]     1, 2 or 3 (default 2): the zero<N>.json beside the script
  [num_nodes]      machines (default 1); run the script on each, with its NODE_RANK
  [gpus_per_node]  ranks of each machine (default: its GPUs, or 2 CPU ranks without one)
  [master_addr]    address of machine 0 (default 127.0.0.1; needed with several machines)
  [master_port]    a free port there (default 29500)
  -- flags         further flags of `zt train`, as they are

Environment. Required: MODEL_PATH (Hugging Face folder) and TRAIN_DATA_DIR or TRAIN_FILE_DIR.

  NODE_RANK            this machine, from 0 (default 0)
  TOKENIZER_PATH       default: MODEL_PATH
  VALID_DATA_DIR or VALID_FILE_DIR   default: a split of the training text
  OUTPUT_DIR           default: outputs-zero<N>; created
  CACHE_DIR            tokenized data (default: OUTPUT_DIR/cache)
  CUDA_VISIBLE_DEVICES GPUs to use (default: the first gpus_per_node)
  NCCL_*, OMP_NUM_THREADS   are passed on; NCCL_* are printed
  USE_CPU=True         CPU ranks even where there is a GPU
  LOG_DIR              folder for rank_<n>.log, one per rank
  GRACE                seconds for a last checkpoint after SIGTERM (default 30; zt launch only)
  ZT, TORCHRUN         the programs, when they are neither beside the scripts nor on PATH
  DRY_RUN=True         print the settings and the command, run nothing

Hyper-parameters (flags of `zt train` in upper case) and their defaults:

HELP
  local setting
  for setting in "${guide_defaults[@]}"; do
    case "$setting" in *=) ;; *) echo "  $setting" ;; esac
  done
  echo
  echo "Passed on when set:"
  for setting in "${guide_defaults[@]}"; do
    case "$setting" in *=) printf '  %s\n' "${setting%=}" ;; esac
  done
}

# NAME=default; a setting without a default is passed on when the user sets it.
guide_defaults=(
  PER_DEVICE_TRAIN_BATCH_SIZE=1 PER_DEVICE_EVAL_BATCH_SIZE=1 GRADIENT_ACCUMULATION_STEPS=16
  NUM_TRAIN_EPOCHS=0.5 LEARNING_RATE=2e-4 WEIGHT_DECAY=0.01 WARMUP_RATIO=0.05
  MAX_TRAIN_SAMPLES=10000 MAX_EVAL_SAMPLES=10 BLOCK_SIZE=512
  BF16=True GRADIENT_CHECKPOINTING=True REPORT_TO=tensorboard
  LOGGING_STEPS=10 LOGGING_FIRST_STEP=True
  EVAL_STRATEGY=steps EVAL_STEPS=50 SAVE_STRATEGY=steps SAVE_STEPS=500 SAVE_TOTAL_LIMIT=13
  SEED=42
  FP16= MAX_STEPS= WARMUP_STEPS= LR_SCHEDULER_TYPE= MAX_GRAD_NORM= ADAM_BETA1= ADAM_BETA2= ADAM_EPSILON=
  PACKING= VALIDATION_SPLIT_PERCENTAGE= PREPROCESSING_NUM_WORKERS= OVERWRITE_CACHE= FROM_SCRATCH=
  LOGGING_DIR= RUN_NAME= LOG_LEVEL= DISABLE_TQDM= DATA_SEED= DDP_TIMEOUT= RESUME_FROM_CHECKPOINT=
  OVERWRITE_OUTPUT_DIR= DETERMINISTIC= RECOMPUTE= GPU_MEMORY=
)

guide_fail() {  # <what> <text>
  printf '[guide.%s] %s\n' "$1" "$2" >&2
  exit 2
}

guide_note() { printf '[guide] %s\n' "$*"; }

# guide_number <what> <value> <low> <high>
guide_number() {
  local value="$2"
  if ! [[ "$value" =~ ^[0-9]{1,9}$ ]] || ((10#$value < $3 || 10#$value > $4)); then
    guide_fail arguments "$1: got '$value', expected a whole number from $3 to $4."
  fi
}

guide_folder() {  # <what> <path>
  [ -d "$2" ] || guide_fail paths "$1: no such folder: '$2'. Give an existing one."
}

# One value of two names for the same thing: guide_either TRAIN_DATA_DIR TRAIN_FILE_DIR
guide_either() {
  local first="${!1:-}" second="${!2:-}"
  if [ -n "$first" ] && [ -n "$second" ] && [ "$first" != "$second" ]; then
    guide_fail paths "$1 is '$first', but $2 is '$second'. Set one of them."
  fi
  printf '%s' "${first:-$second}"
}

# The program: ZT, beside the scripts (a built repository, an installed tree), or on PATH.
guide_find_zt() {
  local candidate
  if [ -n "${ZT:-}" ]; then
    [ -x "$ZT" ] || guide_fail program "ZT: '$ZT' is no program."
    guide_zt="$ZT"
    return
  fi
  for candidate in "$guide_dir/../zt" "$guide_dir"/../build-*/src/cli/zt \
    "$guide_dir/../../../bin/zt" "$(command -v zt || true)"; do
    if [ -f "$candidate" ] && [ -x "$candidate" ]; then
      guide_zt="$candidate"
      return
    fi
  done
  guide_fail program "zt was not found beside the scripts or on PATH. Build it (./quickstart.sh), or set ZT to it."
}

guide_read_arguments() {
  local positional=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    case "$1" in
      -*) guide_fail arguments "unknown flag '$1'. Flags of zt train follow a --; see --help." ;;
    esac
    positional+=("$1")
    shift
  done
  if [ $# -gt 0 ]; then shift; fi
  guide_extra=("$@")
  if [ ${#positional[@]} -gt 5 ]; then
    guide_fail arguments "got ${#positional[@]} arguments, expected at most 5: [zero_stage] [num_nodes] [gpus_per_node] [master_addr] [master_port]. Flags of zt train follow a --."
  fi
  zero_stage="${positional[0]:-2}"
  num_nodes="${positional[1]:-1}"
  gpus_per_node="${positional[2]:-}"
  master_addr="${positional[3]:-}"
  master_port="${positional[4]:-29500}"
  node_rank="${NODE_RANK:-0}"

  case "$zero_stage" in
    1 | 2 | 3) ;;
    *) guide_fail arguments "zero_stage: got '$zero_stage', expected 1, 2 or 3." ;;
  esac
  guide_number num_nodes "$num_nodes" 1 4096
  if [ -n "$gpus_per_node" ]; then guide_number gpus_per_node "$gpus_per_node" 1 4096; fi
  guide_number master_port "$master_port" 1 65535
  guide_number NODE_RANK "$node_rank" 0 $((num_nodes - 1))
  if [ -z "$master_addr" ]; then
    if [ "$num_nodes" -gt 1 ]; then
      guide_fail arguments "master_addr is missing: with $num_nodes machines give the address of machine 0."
    fi
    master_addr=127.0.0.1
  fi
  ds_config="$guide_dir/zero$zero_stage.json"
  [ -f "$ds_config" ] || guide_fail config "zero$zero_stage.json is missing: it has to lie beside the script, as $ds_config."
}

guide_read_paths() {
  model_path="${MODEL_PATH:-}"
  [ -n "$model_path" ] || guide_fail paths "MODEL_PATH is not set. Give the folder of a Hugging Face model."
  guide_folder MODEL_PATH "$model_path"
  tokenizer_path="${TOKENIZER_PATH:-$model_path}"
  guide_folder TOKENIZER_PATH "$tokenizer_path"
  train_dir="$(guide_either TRAIN_DATA_DIR TRAIN_FILE_DIR)"
  [ -n "$train_dir" ] || guide_fail paths "TRAIN_DATA_DIR is not set (nor TRAIN_FILE_DIR). Give the folder with the training text."
  guide_folder TRAIN_DATA_DIR "$train_dir"
  valid_dir="$(guide_either VALID_DATA_DIR VALID_FILE_DIR)"
  if [ -n "$valid_dir" ]; then guide_folder VALID_DATA_DIR "$valid_dir"; fi
  output_dir="${OUTPUT_DIR:-outputs-zero$zero_stage}"
  cache_dir="${CACHE_DIR:-$output_dir/cache}"
}

# GPUs that zt can use here, ranks per machine, CUDA_VISIBLE_DEVICES, threads.
guide_choose_devices() {
  local gpus=0 cores
  case "${USE_CPU:-False}" in
    [Tt]rue | 1 | yes) ;;
    *) gpus="$("$guide_zt" version | sed -n 's/^GPUs: \([0-9]*\).*/\1/p')" ;;
  esac
  if [ "${gpus:-0}" -eq 0 ]; then
    gpus_per_node="${gpus_per_node:-2}"
    use_cpu=True
    export CUDA_VISIBLE_DEVICES=""
    guide_note "no GPU in use on this machine: training on $gpus_per_node CPU ranks."
  else
    gpus_per_node="${gpus_per_node:-$gpus}"
    use_cpu=False
    if [ "$gpus_per_node" -gt "$gpus" ]; then
      guide_fail devices "gpus_per_node: got $gpus_per_node, but $gpus GPUs are usable here (CUDA_VISIBLE_DEVICES='${CUDA_VISIBLE_DEVICES:-not set}')."
    fi
    if [ -z "${CUDA_VISIBLE_DEVICES:-}" ]; then
      CUDA_VISIBLE_DEVICES="$(seq -s, 0 $((gpus_per_node - 1)))"
    fi
    export CUDA_VISIBLE_DEVICES
  fi
  WORLD_SIZE=$((num_nodes * gpus_per_node))
  cores="$(nproc)"
  export WORLD_SIZE OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores > gpus_per_node ? cores / gpus_per_node : 1))}"
  export TORCH_CPP_LOG_LEVEL="${TORCH_CPP_LOG_LEVEL:-ERROR}"
}

# The settings in force, in guide_names and guide_values, and the flags of zt train in guide_flags.
guide_collect() {
  local setting name value
  if [[ "${FP16:-}" =~ ^([Tt]rue|1|yes)$ ]] && [ -z "${BF16:-}" ]; then BF16=False; fi
  guide_flags=(--model_name_or_path "$model_path" --tokenizer_name_or_path "$tokenizer_path"
    --train_file_dir "$train_dir")
  if [ -n "$valid_dir" ]; then guide_flags+=(--validation_file_dir "$valid_dir"); fi
  guide_flags+=(--output_dir "$output_dir" --cache_dir "$cache_dir" --deepspeed "$ds_config" --do_train --do_eval)
  if [ "$use_cpu" = True ]; then guide_flags+=(--use_cpu True); fi
  guide_names=() guide_values=()
  for setting in "${guide_defaults[@]}"; do
    name="${setting%%=*}"
    value="${!name:-${setting#*=}}"
    # A number of warm-up steps replaces the default ratio.
    if [ "$name" = WARMUP_RATIO ] && [ -n "${WARMUP_STEPS:-}" ] && [ -z "${WARMUP_RATIO:-}" ]; then value=; fi
    if [ -z "$value" ]; then continue; fi
    guide_names+=("$name") guide_values+=("$value")
    guide_flags+=("--${name,,}" "$value")
  done
  guide_flags+=("${guide_extra[@]}")
}

guide_print() {
  local i name
  printf '%s\n' "== settings"
  printf '  %-28s %s\n' ZERO_STAGE "$zero_stage ($ds_config)" NUM_NODES "$num_nodes" NODE_RANK "$node_rank" \
    GPUS_PER_NODE "$gpus_per_node" WORLD_SIZE "$WORLD_SIZE" MASTER_ADDR "$master_addr" MASTER_PORT "$master_port" \
    CUDA_VISIBLE_DEVICES "${CUDA_VISIBLE_DEVICES:-(none: CPU ranks)}" OMP_NUM_THREADS "$OMP_NUM_THREADS" \
    MODEL_PATH "$model_path" TOKENIZER_PATH "$tokenizer_path" TRAIN_DATA_DIR "$train_dir" \
    VALID_DATA_DIR "${valid_dir:-(a split of the training text)}" OUTPUT_DIR "$output_dir" CACHE_DIR "$cache_dir"
  for i in "${!guide_names[@]}"; do printf '  %-28s %s\n' "${guide_names[$i]}" "${guide_values[$i]}"; done
  for name in $(compgen -e NCCL_ || true); do printf '  %-28s %s\n' "$name" "${!name}"; done
  printf '%s\n' "== command"
  printf ' %q' "${guide_command[@]}"
  printf '\n== run\n'
}

guide_prepare() {
  guide_read_arguments "$@"
  guide_read_paths
  guide_find_zt
  guide_choose_devices
}

# Checks that a script wants made just before its command runs.
guide_checks=()

# Replaces this shell: signals go straight to the launcher.
guide_run() {
  local check
  mkdir -p -- "$output_dir" "$cache_dir" 2>/dev/null ||
    guide_fail paths "OUTPUT_DIR or CACHE_DIR: cannot create '$output_dir' and '$cache_dir'."
  guide_print
  case "${DRY_RUN:-False}" in [Tt]rue | 1 | yes) exit 0 ;; esac
  for check in "${guide_checks[@]}"; do "$check"; done
  exec "${guide_command[@]}"
}

# The command with zt's own launcher, in guide_command.
guide_use_zt_launch() {
  guide_command=("$guide_zt" launch --nproc "$gpus_per_node" --nnodes "$num_nodes" --node_rank "$node_rank"
    --master_addr "$master_addr" --master_port "$master_port" --grace "${GRACE:-30}")
  if [ -n "${LOG_DIR:-}" ]; then guide_command+=(--log_dir "$LOG_DIR"); fi
  guide_command+=(-- zt train "${guide_flags[@]}")
}
