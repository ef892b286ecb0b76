#include "train/run.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "config/resolve.h"
#include "memory/arena.h"
#include "model/family.h"
#include "optim/lr_schedule.h"
#include "plan/choose.h"
#include "plan/offload_report.h"
#include "plan/roofline.h"
#include "train/not_finite.h"
#include "train/output_dir.h"
#include "train/outputs.h"
#include "train/prepare_data.h"
#include "train/profiler.h"
#include "train/rank_group.h"
#include "train/run_checkpoints.h"
#include "train/run_parts.h"
#include "train/same_run.h"
#include "train/save.h"
#include "train/test_task.h"
#include "train/trained_weights.h"
#include "train/trainer.h"
#include "zero/engine_options.h"

namespace zt::train {
namespace {

/// What one rank holds while it runs; members are destroyed in reverse order.
class RankRun {
 public:
  RankRun(const RunInput& input, config::Config config, OpenedModel model, comm::RankGroup& group)
      : input_(input), config_(std::move(config)), model_(std::move(model)), group_(group) {}

  RunEnd run() {
    checkpoints_.emplace(group_, config_, model_.parts.params,
                         [this](const std::string& line) { say(line); });
    if (!config_.checkpoint.init_from.empty()) {
      verify_weights(config_.checkpoint.init_from, checkpoints_->exchange());
    }
    if (input_.task == config::Task::test) return test();
    open_data();
    build_engine();
    open_run_outputs();
    std::optional<TrainResult> trained;
    std::optional<EvalResult> evaluated;
    if (config_.run.do_train) trained = train();
    if (trained && trained->stopped) {
      say(fmt::format("stopped after step {} of {}; go on with --resume_from_checkpoint latest",
                      trained->steps, plan_.total_steps));
      return RunEnd::stopped;
    }
    if (trained) checkpoints_->load_best(*planned_.engine);
    if (config_.run.do_eval) evaluated = evaluate_once(trained.value_or(TrainResult{}));
    if (!config_.test.test_file_dir.empty()) test_trained();
    if (config_.run.do_train) {
      group_.position().begin(comm::Activity::saving);
      save_model(*planned_.engine, config_, rank());
      say(fmt::format("saved the model in {}", config_.run.output_dir));
    }
    say(compare_memory(planned_, context_));
    if (rank() == 0) write_results(config_.run.output_dir, trained, evaluated);
    return RunEnd::finished;
  }

 private:
  [[nodiscard]] int rank() const { return input_.rank.rank; }
  void say(const std::string& text) const {
    if (rank() == 0) log::info("train", text);
  }
  /// `zt run --task test`.
  RunEnd test();
  /// The test text of a training run, once its weights are final.
  void test_trained();
  void report_test(const data::Dataset& set);
  void open_data();
  void check_data() const;
  void check_ids(const data::Dataset& set) const;
  void build_engine();
  void load_weights();
  void open_run_outputs();
  TrainResult train();
  /// The evaluation that ends a run.
  EvalResult evaluate_once(const TrainResult& trained);
  [[nodiscard]] std::optional<data::EvalLoader> eval_loader() const;

  const RunInput& input_;
  config::Config config_;
  OpenedModel model_;
  comm::RankGroup& group_;
  zero::RankContext context_;
  RunData data_;
  StepPlan plan_;
  PlannedEngine planned_;
  Outputs outputs_;                            ///< empty on other ranks than 0
  std::optional<RunCheckpoints> checkpoints_;  ///< a save under way ends before what it uses
};

void RankRun::open_data() {
  group_.position().begin(comm::Activity::preparing_data);
  const auto tokenizer = load_tokenizer(config_.model);
  if (tokenizer.vocab_size() > model_.config.vocab()) {
    throw FileError(fmt::format(
        "[train.data] the tokenizer has more tokens than the model's embedding has rows: got {}, "
        "expected at most vocab_size {}. Use the model's own tokenizer.",
        tokenizer.vocab_size(), model_.config.vocab()));
  }
  data_.sets = prepare_data(config_, tokenizer, group_, {rank(), input_.rank.local_rank}, "run");
  check_data();
  auto facts = facts_of(data_.sets);
  facts["config.json of the model"] = model_.config.config_json();
  require_same(facts, checkpoints_->exchange());
  data_.batch = config_.run.per_device_train_batch_size;
  if (!data_.sets.train) return;
  const auto& set = *data_.sets.train;
  const bool by_length = config_.data.train_sampling_strategy == config::Sampling::group_by_length;
  data_.sampler.emplace(
      data::SamplerOptions{.num_samples = set.size(),
                           .per_device_batch = data_.batch,
                           .world = input_.rank.world_size,
                           .accumulation = config_.run.gradient_accumulation_steps,
                           .strategy = config_.data.train_sampling_strategy,
                           .seed = config_.data.data_seed,
                           .drop_last = config_.data.dataloader_drop_last,
                           .num_epochs = config_.run.num_train_epochs,
                           .max_steps = config_.run.max_steps},
      by_length ? set.lengths() : std::vector<std::int32_t>{});
  plan_ =
      make_step_plan(config_.run, data_.sampler->total_steps(), data_.sampler->updates_per_epoch());
  plan_saves(plan_, config_.checkpoint);
  if (rank() != 0) return;
  std::vector<std::string> warnings{
      short_epoch_warning(*data_.sampler, config_.run.gradient_accumulation_steps)};
  if (checkpoints_->resume() != nullptr) {
    warnings.push_back(place_warning(*checkpoints_->resume(), *data_.sampler));
  }
  for (const auto& warning : warnings) {
    if (!warning.empty()) log::warning("train", warning);
  }
}

void RankRun::check_data() const {
  require_length(model_.config, data_.sets.block_size);
  for (const auto* set : {&data_.sets.train, &data_.sets.eval}) {
    if (*set) check_ids(**set);
  }
}

void RankRun::check_ids(const data::Dataset& set) const {
  if (set.max_id() < model_.config.vocab()) return;
  throw FileError(
      fmt::format("[train.data] the data has a token id beyond the model's vocabulary: got {}, "
                  "expected below {}.",
                  set.max_id(), model_.config.vocab()));
}

void RankRun::build_engine() {
  group_.position().begin(comm::Activity::building);
  context_.communicator = &group_.communicator();
  context_.position = &group_.position();
  context_.device = context_.communicator->device();
  context_.device_index = context_.local_rank = input_.rank.local_rank;
  context_.local_world = input_.rank.local_world_size;
  const auto target = plan_target(config_, context_, input_.rank.local_world_size);
  const plan::Planner planner(model_.parts, target);
  auto options = zero::engine_options(config_);
  options.shape.sequence = data_.sets.block_size;
  planned_.plan = plan::choose(planner, options);
  plan::require_fits(planner, planned_.plan);
  say("\n" +
      describe_run(summarise(config_, model_, data_, planned_.plan, context_), config_, plan_));
  planned_.memory_base = read_process_memory();
  planned_.engine =
      std::make_unique<zero::Engine>(std::move(model_.parts), planned_.plan.options, context_);
  group_.set_operation_names(planned_.engine->operation_names());
  const auto offload = plan::offload_report(
      planned_.plan, planned_.engine->program(), planned_.engine->measure_host(),
      plan::layer_share(model_.config, planned_.plan.options, target.sheet));
  if (!offload.empty()) say(offload);
  load_weights();
}

void RankRun::load_weights() {
  if (const auto* resume = checkpoints_->resume()) {
    load_engine(*planned_.engine, *resume, [this](const std::string& line) { say(line); });
  } else {
    planned_.engine->load_params(model_.values);
  }
  model_.values = nullptr;  // closes the weight files
  log::debug("train", fmt::format("loading took at most {} of host memory",
                                  format_bytes(peak_growth(planned_.memory_base))));
  forget_peak();  // what loading needed for a moment is not the run's memory
}

TrainResult RankRun::train() {
  const auto& shape = planned_.plan.options.shape;
  const int coalesce = static_cast<int>(shape.batch / data_.batch);
  TrainerOptions options;
  options.plan = plan_;
  options.window = {{data_.batch, shape.sequence, shape.document_mask},
                    planned_.plan.options.micro_steps,
                    coalesce};
  const auto& precision = config_.precision;
  const bool scale_falls = precision.compute == DType::f16 && precision.loss_scale == 0;
  options.max_nonfinite_steps = scale_falls ? 0 : precision.max_nonfinite_steps;
  options.memory_base = planned_.memory_base;
  options.samples = data_.sets.train->size();
  options.flops_per_token = total_flos_per_token(*planned_.engine);
  options.logging_nan_inf_filter = config_.run.logging_nan_inf_filter;
  options.learning_rate = [this](std::int64_t applied_steps) {
    return optim::learning_rate(config_.lr_schedule, config_.optimizer.learning_rate,
                                plan_.total_steps, applied_steps);
  };
  options.start = checkpoints_->start(plan_);
  auto& saves = checkpoints_->begin({.engine = planned_.engine.get(),
                                     .plan = plan_,
                                     .options = planned_.plan.options,
                                     .coalesce = coalesce,
                                     .learning_rate = options.learning_rate,
                                     .signals = input_.signals,
                                     .observers = &outputs_.observers,
                                     .state = outputs_.state});
  if (options.start.step >= plan_.total_steps) checkpoints_->save_unchanged(options.start);
  const data::TrainLoader loader(*data_.sets.train, *data_.sampler, data_.batch, rank());
  const auto eval = eval_loader();
  const EvalData eval_data{eval ? &*eval : nullptr, data_.sets.eval ? data_.sets.eval->size() : 0,
                           shape.document_mask};
  if (config_.run.profile_steps > 0) {
    const auto path = rank() == 0 ? config_.run.output_dir + "/trace.json" : std::string();
    outputs_.observers.push_back(
        make_profiler(*planned_.engine, {config_.run.profile_steps, path, rank()}));
  }
  Trainer trainer({.engine = planned_.engine.get(),
                   .rank = context_,
                   .train_data = &loader,
                   .eval_data = eval ? &eval_data : nullptr,
                   .observers = &outputs_.observers,
                   .checkpoints = &saves},
                  std::move(options));
  if (input_.signals != nullptr) input_.signals->arm(true);
  auto result = trainer.run();
  if (input_.signals != nullptr) input_.signals->arm(false);
  return result;
}

void RankRun::open_run_outputs() {
  if (rank() != 0) return;
  OutputFacts facts;
  facts.plan = plan_;
  facts.resumed_step = checkpoints_->start(plan_).step;
  facts.world = input_.rank.world_size;
  facts.on_gpu = context_.device == Device::cuda;
  facts.flops_per_token = flops_per_token(model_, planned_.plan.options.shape.sequence);
  facts.total_flos_per_token = total_flos_per_token(*planned_.engine);
  facts.environment_log_dir = input_.tensorboard_logging_dir;
  const auto& model = config_.model.model_name_or_path;
  const auto named = model::named_model(model);
  facts.model_config = named ? named->config_json() : read_text_file(model + "/config.json");
  outputs_ = open_outputs(config_, facts);
  const auto saved = checkpoints_->trainer_state();
  if (outputs_.state != nullptr && !saved.empty()) outputs_.state->restore(saved);
}

std::optional<data::EvalLoader> RankRun::eval_loader() const {
  if (!data_.sets.eval) return std::nullopt;
  return data::EvalLoader(*data_.sets.eval, planned_.plan.options.eval_shape().batch,
                          input_.rank.world_size, rank());
}

RunEnd RankRun::test() {
  open_data();
  build_engine();
  report_test(*data_.sets.eval);
  return RunEnd::finished;
}

void RankRun::test_trained() {
  group_.position().begin(comm::Activity::preparing_data);
  const auto sets = prepare_data(test_data_of(config_), load_tokenizer(config_.model), group_,
                                 {rank(), input_.rank.local_rank}, "test");
  report_test(*sets.eval);
}

void RankRun::report_test(const data::Dataset& set) {
  check_ids(set);
  const auto shape = planned_.plan.options.eval_shape();
  const data::EvalLoader loader(set, shape.batch, input_.rank.world_size, rank());
  const auto result = evaluate(*planned_.engine,
                               {.loader = &loader,
                                .samples = set.size(),
                                .document_mask = shape.document_mask,
                                .count_hits = true},
                               context_);
  if (rank() == 0) write_test_results(config_, result);
  say(describe_test(result, config_));
  const auto warning = evaluation_warning(0, result);
  if (rank() == 0 && !warning.empty()) log::warning("train", warning);
}

EvalResult RankRun::evaluate_once(const TrainResult& trained) {
  const auto loader = eval_loader();
  const EvalData eval_data{&*loader, data_.sets.eval->size(),
                           planned_.plan.options.shape.document_mask};
  const auto result = evaluate(*planned_.engine, eval_data, context_);
  for (const auto& observer : outputs_.observers) {
    observer->on_evaluate({.step = trained.steps, .epoch = trained.epoch}, result);
  }
  return result;
}

RunEnd run_in_group(const RunInput& input, config::Config config, OpenedModel model) {
  auto end = RunEnd::finished;
  with_rank_group(input, config, [&](comm::RankGroup& group) {
    RankRun rank_run(input, config, std::move(model), group);
    comm::run_part(group, [&] { end = rank_run.run(); });
  });
  return end;
}

/// A number of ranks that the launcher decided otherwise.
void note_ranks(const RunInput& input, config::Config& config) {
  const int ranks = input.rank.local_world_size;
  if (config.launch.nproc == 0 || config.launch.nproc == ranks) return;
  const auto& said = config.origins.at("launch.nproc");
  config.notices.push_back(fmt::format(
      "{} {}: no effect: {} started by the launcher ({})", said.key, config.launch.nproc,
      ranks == 1 ? "one rank was" : fmt::format("{} ranks were", ranks), said.place));
}

config::Config resolve_input(const RunInput& input, std::optional<std::int64_t> hidden_size) {
  config::Facts facts;
  facts.world_size = input.rank.world_size;
  facts.has_gpu = input.has_gpu;
  facts.environment = input.environment;
  facts.task = input.task;
  facts.model_names = model::model_names();
  facts.hidden_size = hidden_size;
  auto config = config::resolve(input.arguments, facts);
  note_ranks(input, config);
  if (input.task == config::Task::test) use_trained_weights(config);
  return config;
}

config::Config resolve_with_model(const RunInput& input, const OpenedModel& model) {
  auto config = resolve_input(input, model.config.hidden());
  if (model.config.length_limit().holds_for_request) {
    require_length(model.config, config.data.block_size);
  }
  return config;
}

config::Config resolve_first(const RunInput& input) { return resolve_input(input, {}); }

/// A run that goes on writes where it wrote before, a test where training did.
bool may_write_into_used(const RunInput& input, const config::Config& config) {
  return input.task == config::Task::test || config.run.overwrite_output_dir ||
         !config.checkpoint.resume_from.empty();
}

}  // namespace

config::Config check_inputs(const RunInput& input, bool check_output) {
  const auto config = resolve_first(input);
  if (check_output) prepare_output_dir(config.run.output_dir, may_write_into_used(input, config));
  return resolve_with_model(input,
                            open_model(config.model, config.run.seed, config.checkpoint.init_from));
}

RunEnd run(const RunInput& input) {
  const auto first = resolve_first(input);
  const int rank = input.rank.rank;
  log::init(rank, log::parse_level(rank == 0 ? first.run.log_level : first.run.log_level_replica));
  if (rank == 0) prepare_output_dir(first.run.output_dir, may_write_into_used(input, first));
  auto model = open_model(first.model, first.run.seed, first.checkpoint.init_from);
  auto config = resolve_with_model(input, model);
  for (const auto& notice : config.notices) {
    if (rank == 0) log::info("config", notice);
  }
  try {
    return run_in_group(input, std::move(config), std::move(model));
  } catch (const c10::OutOfMemoryError& error) {
    throw DeviceError(std::string("[train.run] out of memory: ") + error.what_without_backtrace());
  } catch (const c10::Error& error) {
    throw InternalError(std::string("[train.run] libtorch: ") + error.what_without_backtrace());
  }
}

}  // namespace zt::train
