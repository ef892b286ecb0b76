#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/policy.h"
#include "base/units.h"
#include "config/checkpoint_config.h"
#include "config/model_config.h"
#include "config/run_task.h"
#include "config/zero_config.h"

namespace zt::config {

enum class PackingRule : std::uint8_t { stream, hf };
enum class Sampling : std::uint8_t { random, sequential, group_by_length };
enum class DeviceKind : std::uint8_t { cpu, cuda };
/// When something is done during training.
enum class Interval : std::uint8_t { no, steps, epoch };

struct DataConfig {
  std::string train_file_dir;
  std::string validation_file_dir;
  std::string cache_dir;  ///< empty: `<output_dir>/cache`
  std::int64_t block_size = 1024;
  bool packing = true;
  PackingRule packing_rule = PackingRule::stream;
  bool document_mask = false;  ///< no attention across documents inside a packed block
  bool keep_linebreaks = true;
  bool overwrite_cache = false;
  std::int64_t max_train_samples = -1;  ///< blocks; -1: all
  std::int64_t max_eval_samples = -1;
  int validation_split_percentage = 1;
  int preprocessing_num_workers = 0;  ///< 0: all cores
  Sampling train_sampling_strategy = Sampling::random;
  std::uint64_t data_seed = 42;
  bool dataloader_drop_last = false;
};

struct OptimizerConfig {
  bool l2_adam = false;  ///< true: L2 regularisation inside Adam; false: AdamW
  double learning_rate = 5e-5;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0.0;
  bool bias_correction = true;
  /// One group, norms and biases decayed too (DeepSpeed `optimizer` section).
  bool decay_all = false;
  double max_grad_norm = 1.0;  ///< 0: no clipping
};

enum class ScheduleKind : std::uint8_t {
  constant,
  constant_with_warmup,
  linear,
  cosine,
  ds_warmup,
  ds_warmup_decay,
  ds_warmup_cosine
};

struct LrScheduleConfig {
  ScheduleKind kind = ScheduleKind::linear;
  /// HF: steps when >= 1, share of all steps when < 1.
  double warmup_steps = 0;
  double num_cycles = 0.5;
  // DeepSpeed schedulers. Negative or absent: taken from the run.
  double warmup_min_lr = 0.0;
  std::optional<double> warmup_max_lr;
  std::optional<std::int64_t> warmup_num_steps;
  std::optional<std::int64_t> total_num_steps;
  bool warmup_log = true;  ///< `warmup_type` log (true) or linear
  double warmup_min_ratio = 0.0, cos_min_ratio = 1e-4;
};

struct PrecisionConfig {
  DType compute = DType::f32;
  DType grad_accum = DType::f32;
  std::optional<DType> communication;  ///< absent: the compute dtype
  bool check_grad_overflow = true;
  int max_nonfinite_steps = 3;
  // fp16 loss scaling (DeepSpeed `fp16` section).
  double loss_scale = 0;  ///< 0: dynamic
  int initial_scale_power = 16;
  std::int64_t loss_scale_window = 1000;
  int hysteresis = 2;
  bool consecutive_hysteresis = false;
  double min_loss_scale = 1;
};

struct RunConfig {
  std::string output_dir;
  bool overwrite_output_dir = false;
  bool do_train = true, do_eval = false;
  std::int64_t per_device_train_batch_size = 8;
  /// Absent: as a micro-step of training, which fits.
  std::optional<std::int64_t> per_device_eval_batch_size;
  std::int64_t gradient_accumulation_steps = 1;
  double num_train_epochs = 3.0;
  std::int64_t max_steps = -1;
  Interval eval_strategy = Interval::no;
  double eval_steps = 0;  ///< with `eval_strategy` steps; < 1: share of all steps
  Interval logging_strategy = Interval::steps;
  double logging_steps = 1;
  std::int64_t profile_steps = 0;      ///< `--profile N`: timed steps for a trace
  bool logging_first_step = false;     ///< log step 1 whatever `logging_steps` is
  bool logging_nan_inf_filter = true;  ///< the logged mean loss leaves non-finite steps out
  std::string logging_dir;             ///< of event files; empty: `<output_dir>/runs/<date>_<host>`
  bool report_tensorboard = false, report_csv = false;
  bool disable_tqdm = false;
  std::string log_level = "info";             ///< of rank 0
  std::string log_level_replica = "warning";  ///< of the other ranks
  std::uint64_t seed = 42;
  int ddp_timeout_seconds = 1800;
  int hang_timeout_seconds = 300;  ///< no rank has moved for so long: the run ends; 0: off
};

struct LaunchConfig {
  int nproc = 0;  ///< ranks on this machine; 0: all GPUs, or 1 CPU rank
  DeviceKind device = DeviceKind::cpu;
  bool use_cpu = false;
  std::optional<Bytes> gpu_memory;
  std::optional<Bytes> host_memory;  ///< of this machine, for its ranks together
};

/// One key of the user's and what became of it.
struct Origin {
  std::string key;    ///< `zero_optimization.stage`, `--learning_rate`
  std::string place;  ///< `zero2.json:12`, `command line`, `default`
};

/// The one resolved configuration. Built by `resolve`, immutable afterwards; each component is
/// given its own section.
struct Config {
  ModelConfig model;
  DataConfig data;
  OptimizerConfig optimizer;
  LrScheduleConfig lr_schedule;
  PrecisionConfig precision;
  ZeroConfig zero;
  RunConfig run;
  CheckpointConfig checkpoint;
  LaunchConfig launch;
  ModelShape shape;
  TestConfig test;
  PredictConfig predict;
  std::map<std::string, Origin> origins;  ///< field path of this tree -> where its value came from
  std::vector<std::string> notices;       ///< accepted without effect, each with its reason
  /// Fields that wait for a fact, as `zero.reduce_bucket_size (needs hidden_size)`. Empty:
  /// complete.
  std::vector<std::string> unresolved;
};

}  // namespace zt::config
