#include "config/fields.h"

#include "base/policy_names.h"
#include "config/field_access.h"

namespace zt::config {

namespace {

/// Values with the names that base/policy_names.h gives them.
template <typename E, typename... Rest>
constexpr auto named(E first, Rest... rest) {
  return std::array{std::pair<E, const char*>{first, to_string(first)},
                    std::pair<E, const char*>{rest, to_string(rest)}...};
}

}  // namespace

template <>
struct Names<Place> {
  static constexpr auto kAll = named(Place::device, Place::host, Place::nvme);
};
template <>
struct Names<Recompute> {
  static constexpr auto kAll = named(Recompute::none, Recompute::selective, Recompute::full);
};
template <>
struct Names<ReduceAt> {
  static constexpr auto kAll = named(ReduceAt::boundary, ReduceAt::micro_step);
};
template <>
struct Names<Reduce> {
  static constexpr auto kAll = named(Reduce::ordered, Reduce::native);
};
template <>
struct Names<PackingRule> {
  static constexpr std::array<std::pair<PackingRule, const char*>, 2> kAll{
      {{PackingRule::stream, "stream"}, {PackingRule::hf, "hf"}}};
};
template <>
struct Names<Sampling> {
  static constexpr std::array<std::pair<Sampling, const char*>, 3> kAll{
      {{Sampling::random, "random"},
       {Sampling::sequential, "sequential"},
       {Sampling::group_by_length, "group_by_length"}}};
};
template <>
struct Names<Interval> {
  static constexpr std::array<std::pair<Interval, const char*>, 3> kAll{
      {{Interval::no, "no"}, {Interval::steps, "steps"}, {Interval::epoch, "epoch"}}};
};
template <>
struct Names<DeviceKind> {
  static constexpr std::array<std::pair<DeviceKind, const char*>, 2> kAll{
      {{DeviceKind::cpu, "cpu"}, {DeviceKind::cuda, "cuda"}}};
};
template <>
struct Names<SaveStrategy> {
  static constexpr std::array<std::pair<SaveStrategy, const char*>, 4> kAll{
      {{SaveStrategy::no, "no"},
       {SaveStrategy::steps, "steps"},
       {SaveStrategy::epoch, "epoch"},
       {SaveStrategy::best, "best"}}};
};
template <>
struct Names<CheckpointFormat> {
  static constexpr std::array<std::pair<CheckpointFormat, const char*>, 2> kAll{
      {{CheckpointFormat::native, "native"}, {CheckpointFormat::deepspeed, "deepspeed"}}};
};
template <>
struct Names<ScheduleKind> {
  static constexpr std::array<std::pair<ScheduleKind, const char*>, 7> kAll{
      {{ScheduleKind::constant, "constant"},
       {ScheduleKind::constant_with_warmup, "constant_with_warmup"},
       {ScheduleKind::linear, "linear"},
       {ScheduleKind::cosine, "cosine"},
       {ScheduleKind::ds_warmup, "WarmupLR"},
       {ScheduleKind::ds_warmup_decay, "WarmupDecayLR"},
       {ScheduleKind::ds_warmup_cosine, "WarmupCosineLR"}}};
};
template <>
struct Names<DType> {
  static constexpr std::array<std::pair<DType, const char*>, 3> kAll{
      {{DType::f32, "fp32"}, {DType::bf16, "bf16"}, {DType::f16, "fp16"}}};
};

namespace {

constexpr Range kFromZero{0};
constexpr Range kFromOne{1};
constexpr Range kAboveZero{0, 1e300, true};
constexpr Range kShare{0, 1};
constexpr Range kBeta{0, 1, false, true};
constexpr Range kCount{-1};
constexpr Range kSeed{0, 9223372036854775807.0};

void add_data_fields(std::vector<Field>& all) {
  constexpr auto model = &Config::model;
  constexpr auto data = &Config::data;
  using M = ModelConfig;
  using D = DataConfig;
  all.insert(
      all.end(),
      {field<model, &M::model_name_or_path>("model.model_name_or_path"),
       field<model, &M::tokenizer_name_or_path>("model.tokenizer_name_or_path"),
       field<model, &M::from_scratch>("model.from_scratch"),
       field<data, &D::train_file_dir>("data.train_file_dir"),
       field<data, &D::validation_file_dir>("data.validation_file_dir"),
       field<data, &D::cache_dir>("data.cache_dir"),
       field<data, &D::block_size>("data.block_size", {2, 1 << 24}),
       field<data, &D::packing>("data.packing"), field<data, &D::packing_rule>("data.packing_rule"),
       field<data, &D::document_mask>("data.document_mask"),
       field<data, &D::keep_linebreaks>("data.keep_linebreaks"),
       field<data, &D::overwrite_cache>("data.overwrite_cache"),
       field<data, &D::max_train_samples>("data.max_train_samples", kCount),
       field<data, &D::max_eval_samples>("data.max_eval_samples", kCount),
       field<data, &D::validation_split_percentage>("data.validation_split_percentage", {0, 99}),
       field<data, &D::preprocessing_num_workers>("data.preprocessing_num_workers", {0, 4096}),
       field<data, &D::train_sampling_strategy>("data.train_sampling_strategy"),
       field<data, &D::data_seed>("data.data_seed", kSeed),
       field<data, &D::dataloader_drop_last>("data.dataloader_drop_last")});
}

void add_optimizer_fields(std::vector<Field>& all) {
  constexpr auto optimizer = &Config::optimizer;
  constexpr auto schedule = &Config::lr_schedule;
  using O = OptimizerConfig;
  using S = LrScheduleConfig;
  all.insert(all.end(),
             {field<optimizer, &O::l2_adam>("optimizer.l2_adam"),
              field<optimizer, &O::learning_rate>("optimizer.learning_rate", kFromZero),
              field<optimizer, &O::beta1>("optimizer.beta1", kBeta),
              field<optimizer, &O::beta2>("optimizer.beta2", kBeta),
              field<optimizer, &O::epsilon>("optimizer.epsilon", kAboveZero),
              field<optimizer, &O::weight_decay>("optimizer.weight_decay", kFromZero),
              field<optimizer, &O::bias_correction>("optimizer.bias_correction"),
              field<optimizer, &O::decay_all>("optimizer.decay_all"),
              field<optimizer, &O::max_grad_norm>("optimizer.max_grad_norm", kFromZero),
              field<schedule, &S::kind>("lr_schedule.kind"),
              field<schedule, &S::warmup_steps>("lr_schedule.warmup_steps", kFromZero),
              field<schedule, &S::num_cycles>("lr_schedule.num_cycles", kFromZero),
              field<schedule, &S::warmup_min_lr>("lr_schedule.warmup_min_lr", kFromZero),
              field<schedule, &S::warmup_max_lr>("lr_schedule.warmup_max_lr", kFromZero),
              field<schedule, &S::warmup_num_steps>("lr_schedule.warmup_num_steps", kFromZero),
              field<schedule, &S::total_num_steps>("lr_schedule.total_num_steps", kFromOne),
              field<schedule, &S::warmup_log>("lr_schedule.warmup_log"),
              field<schedule, &S::warmup_min_ratio>("lr_schedule.warmup_min_ratio", kShare),
              field<schedule, &S::cos_min_ratio>("lr_schedule.cos_min_ratio", kShare)});
}

void add_precision_fields(std::vector<Field>& all) {
  constexpr auto precision = &Config::precision;
  using P = PrecisionConfig;
  all.insert(all.end(),
             {field<precision, &P::compute>("precision.compute"),
              field<precision, &P::grad_accum>("precision.grad_accum"),
              field<precision, &P::communication>("precision.communication"),
              field<precision, &P::check_grad_overflow>("precision.check_grad_overflow"),
              field<precision, &P::max_nonfinite_steps>("precision.max_nonfinite_steps", kFromOne),
              field<precision, &P::loss_scale>("precision.loss_scale", kFromZero),
              field<precision, &P::initial_scale_power>("precision.initial_scale_power", {0, 64}),
              field<precision, &P::loss_scale_window>("precision.loss_scale_window", kFromOne),
              field<precision, &P::hysteresis>("precision.hysteresis", kFromOne),
              field<precision, &P::consecutive_hysteresis>("precision.consecutive_hysteresis"),
              field<precision, &P::min_loss_scale>("precision.min_loss_scale", kAboveZero)});
}

void add_zero_fields(std::vector<Field>& all) {
  constexpr auto zero = &Config::zero;
  using Z = ZeroConfig;
  all.insert(
      all.end(),
      {field<zero, &Z::stage>("zero.stage", {0, 3}),
       field<zero, &Z::reduce_bucket_size>("zero.reduce_bucket_size", kFromOne),
       field<zero, &Z::allgather_bucket_size>("zero.allgather_bucket_size", kFromZero),
       field<zero, &Z::overlap_comm>("zero.overlap_comm"),
       field<zero, &Z::optimizer_place>("zero.optimizer_place"),
       field<zero, &Z::param_place>("zero.param_place"),
       field<zero, &Z::pin_memory>("zero.pin_memory"),
       field<zero, &Z::offload_ratio>("zero.offload_ratio", {0, 1}),
       field<zero, &Z::activations_on_host>("zero.activations_on_host"),
       field<zero, &Z::optimizer_nvme_path>("zero.optimizer_nvme_path"),
       field<zero, &Z::param_nvme_path>("zero.param_nvme_path"),
       field<zero, &Z::optimizer_buffers>("zero.optimizer_buffers", {1, 1 << 10}),
       field<zero, &Z::param_in_host>("zero.param_in_host", kFromZero),
       field<zero, &Z::aio_block_size>("zero.aio_block_size", {4096, 1 << 30}),
       field<zero, &Z::aio_queue_depth>("zero.aio_queue_depth", {1, 4096}),
       field<zero, &Z::aio_threads>("zero.aio_threads", {1, 256}),
       field<zero, &Z::aio_single_submit>("zero.aio_single_submit"),
       field<zero, &Z::aio_overlap_events>("zero.aio_overlap_events"),
       field<zero, &Z::prefetch_bucket_size>("zero.prefetch_bucket_size", kFromZero),
       field<zero, &Z::max_live_parameters>("zero.max_live_parameters", kFromZero),
       field<zero, &Z::param_persistence_threshold>("zero.param_persistence_threshold", kFromZero),
       field<zero, &Z::gather_16bit_on_save>("zero.gather_16bit_on_save"),
       field<zero, &Z::reduce_at>("zero.reduce_at"),
       field<zero, &Z::retain_auto>("zero.retain_auto"),
       field<zero, &Z::coalesce>("zero.coalesce", {0, 1 << 20}),
       field<zero, &Z::recompute>("zero.recompute"),
       field<zero, &Z::reduce>("zero.reduce"),
       field<zero, &Z::deterministic>("zero.deterministic"),
       field<zero, &Z::cuda_graphs>("zero.cuda_graphs"),
       field<zero, &Z::copy_engines>("zero.copy_engines")});
}

void add_run_fields(std::vector<Field>& all) {
  constexpr auto run = &Config::run;
  constexpr auto launch = &Config::launch;
  using R = RunConfig;
  using L = LaunchConfig;
  all.insert(
      all.end(),
      {field<run, &R::output_dir>("run.output_dir"),
       field<run, &R::overwrite_output_dir>("run.overwrite_output_dir"),
       field<run, &R::do_train>("run.do_train"),
       field<run, &R::do_eval>("run.do_eval"),
       field<run, &R::per_device_train_batch_size>("run.per_device_train_batch_size", {1, 1 << 24}),
       field<run, &R::per_device_eval_batch_size>("run.per_device_eval_batch_size", {1, 1 << 24}),
       field<run, &R::gradient_accumulation_steps>("run.gradient_accumulation_steps", {1, 1 << 24}),
       field<run, &R::num_train_epochs>("run.num_train_epochs", kAboveZero),
       field<run, &R::max_steps>("run.max_steps", kCount),
       field<run, &R::eval_strategy>("run.eval_strategy"),
       field<run, &R::eval_steps>("run.eval_steps", kFromZero),
       field<run, &R::logging_strategy>("run.logging_strategy"),
       field<run, &R::logging_steps>("run.logging_steps", kAboveZero),
       field<run, &R::profile_steps>("run.profile_steps", kFromZero),
       field<run, &R::logging_first_step>("run.logging_first_step"),
       field<run, &R::logging_nan_inf_filter>("run.logging_nan_inf_filter"),
       field<run, &R::logging_dir>("run.logging_dir"),
       field<run, &R::report_tensorboard>("run.report_tensorboard"),
       field<run, &R::report_csv>("run.report_csv"),
       field<run, &R::disable_tqdm>("run.disable_tqdm"),
       field<run, &R::log_level>("run.log_level"),
       field<run, &R::log_level_replica>("run.log_level_replica"),
       field<run, &R::seed>("run.seed", kSeed),
       field<run, &R::ddp_timeout_seconds>("run.ddp_timeout_seconds", kFromOne),
       field<run, &R::hang_timeout_seconds>("run.hang_timeout_seconds", kFromZero),
       field<launch, &L::nproc>("launch.nproc", {0, 4096}),
       field<launch, &L::device>("launch.device"),
       field<launch, &L::use_cpu>("launch.use_cpu"),
       field<launch, &L::gpu_memory>("launch.gpu_memory"),
       field<launch, &L::host_memory>("launch.host_memory")});
}

void add_checkpoint_fields(std::vector<Field>& all) {
  constexpr auto checkpoint = &Config::checkpoint;
  using C = CheckpointConfig;
  all.insert(all.end(),
             {field<checkpoint, &C::save_strategy>("checkpoint.save_strategy"),
              field<checkpoint, &C::save_steps>("checkpoint.save_steps", kAboveZero),
              field<checkpoint, &C::save_total_limit>("checkpoint.save_total_limit", kFromZero),
              field<checkpoint, &C::save_keep_every>("checkpoint.save_keep_every", kFromZero),
              field<checkpoint, &C::save_only_model>("checkpoint.save_only_model"),
              field<checkpoint, &C::async_save>("checkpoint.async_save"),
              field<checkpoint, &C::format>("checkpoint.format"),
              field<checkpoint, &C::tag>("checkpoint.tag"),
              field<checkpoint, &C::resume_from>("checkpoint.resume_from"),
              field<checkpoint, &C::init_from>("checkpoint.init_from"),
              field<checkpoint, &C::load_best_model_at_end>("checkpoint.load_best_model_at_end"),
              field<checkpoint, &C::metric_for_best_model>("checkpoint.metric_for_best_model"),
              field<checkpoint, &C::greater_is_better>("checkpoint.greater_is_better"),
              field<checkpoint, &C::max_train_seconds>("checkpoint.max_train_seconds", kFromZero)});
}

void add_task_fields(std::vector<Field>& all) {
  constexpr auto shape = &Config::shape;
  constexpr auto test = &Config::test;
  constexpr auto predict = &Config::predict;
  using S = ModelShape;
  using T = TestConfig;
  using P = PredictConfig;
  constexpr Range kSize{1, 1 << 24};
  all.insert(all.end(), {field<shape, &S::model_type>("shape.model_type"),
                         field<shape, &S::vocab_size>("shape.vocab_size", kSize),
                         field<shape, &S::max_seq_length>("shape.max_seq_length", kSize),
                         field<shape, &S::d_model>("shape.d_model", kSize),
                         field<shape, &S::n_layers>("shape.n_layers", kSize),
                         field<shape, &S::d_state>("shape.d_state", kSize),
                         field<shape, &S::d_conv>("shape.d_conv", kSize),
                         field<shape, &S::expand>("shape.expand", kAboveZero),
                         field<shape, &S::dropout>("shape.dropout", {0, 1, false, true}),
                         field<test, &T::test_file_dir>("test.test_file_dir"),
                         field<test, &T::output_file>("test.output_file"),
                         field<predict, &P::prompts_file>("predict.prompts_file"),
                         field<predict, &P::output_file>("predict.output_file"),
                         field<predict, &P::max_new_tokens>("predict.max_new_tokens", kSize),
                         field<predict, &P::do_sample>("predict.do_sample"),
                         field<predict, &P::temperature>("predict.temperature", kAboveZero),
                         field<predict, &P::top_k>("predict.top_k", kFromZero),
                         field<predict, &P::top_p>("predict.top_p", {0, 1, true}),
                         field<predict, &P::seed>("predict.seed", kSeed),
                         field<predict, &P::batch_size>("predict.batch_size", kSize)});
}

std::vector<Field> make_fields() {
  std::vector<Field> all;
  add_data_fields(all);
  add_optimizer_fields(all);
  add_precision_fields(all);
  add_zero_fields(all);
  add_run_fields(all);
  add_checkpoint_fields(all);
  add_task_fields(all);
  return all;
}

std::string article(FieldType type) {
  return type == FieldType::integer ? "a whole number" : "a finite number";
}

}  // namespace

const std::vector<Field>& fields() {
  static const std::vector<Field> all = make_fields();
  return all;
}

const Field& field_at(const std::string& path) {
  for (const Field& row : fields()) {
    if (path == row.path) return row;
  }
  throw_assertion(__FILE__, __LINE__, "known path", "no field " + path);
}

std::string expected_text(const Field& field) {
  switch (field.type) {
    case FieldType::boolean:
      return "true or false";
    case FieldType::text:
      return "text";
    case FieldType::bytes:
      return "a size as 24GB or 24GiB";
    case FieldType::choice:
      return "one of " + field.choices;
    case FieldType::integer:
    case FieldType::real:
      break;
  }
  std::string text = article(field.type);
  const Range& range = field.range;
  const Range whole;
  if (range.low > whole.low) {
    text += (range.low_open ? " > " : " >= ") + format_real(range.low);
  }
  if (range.high < whole.high) {
    text += range.low > whole.low ? " and" : "";
    text += (range.high_open ? " < " : " <= ") + format_real(range.high);
  }
  return text;
}

std::string set_field(Config& config, const Field& field, const std::string& text) {
  if (!field.set(config, text)) return expected_text(field);
  if (field.type == FieldType::integer || field.type == FieldType::real) {
    const std::optional<double> value = parse_real(text);
    if (value && (*value < field.range.low || *value > field.range.high ||
                  (field.range.low_open && *value == field.range.low) ||
                  (field.range.high_open && *value == field.range.high))) {
      return expected_text(field);
    }
  }
  return "";
}

}  // namespace zt::config
