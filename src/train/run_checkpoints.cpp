#include "train/run_checkpoints.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "checkpoint/native_checkpoint.h"
#include "train/checkpoint_folders.h"
#include "train/deepspeed_save.h"
#include "train/metrics_file.h"
#include "train/same_run.h"
#include "train/watched_store.h"

namespace zt::train {
namespace {

namespace fs = std::filesystem;

std::string tokenizer_source(const config::ModelConfig& model) {
  return model.tokenizer_name_or_path.empty() ? model.model_name_or_path
                                              : model.tokenizer_name_or_path;
}

std::int64_t global_batch(const config::Config& config, int world) {
  return config.run.per_device_train_batch_size * config.run.gradient_accumulation_steps * world;
}

bool same_folder(const fs::path& a, const fs::path& b) {
  std::error_code error;
  return fs::equivalent(a, b, error);
}

}  // namespace

RunCheckpoints::RunCheckpoints(comm::RankGroup& group, config::Config& config,
                               const std::vector<layout::ParamSpec>& params, Say say)
    : config_(config),
      rank_(group.communicator().rank()),
      world_(group.communicator().world()),
      say_(std::move(say)),
      store_connection_(watched_store(group)) {
  const std::chrono::milliseconds timeout = std::chrono::seconds(config.run.ddp_timeout_seconds);
  const auto exchange = [&](const char* name) {
    return checkpoint::exchange_over_store(*store_connection_, rank_, world_, name, timeout);
  };
  exchanges_.look = exchange("resume");
  exchanges_.save = exchange("save");
  exchanges_.retain = exchange("retain");
  require_same(facts_of(config), exchanges_.look);
  if (config.run.do_train) {
    store_.emplace(config.run.output_dir, exchanges_.look);
    for (const auto& line : store_->removed()) say_(line);
  }
  resume_ = find_resume(config, params, exchanges_.look, say_);
  if (store_) checkpoint::all_or_none(exchanges_.look, [this] { set_aside(); });
  if (resume_) adopt(config, *resume_, world_, say_);
}

void RunCheckpoints::set_aside() const {
  if (rank_ != 0) return;
  const auto step = resume_ ? resume_->source->run_state().global_step : -1;
  const auto moved = set_checkpoints_aside(config_.run.output_dir, step);
  if (moved.num_folders == 0) return;
  say_(fmt::format("set {} checkpoint folders {} aside in {}", moved.num_folders,
                   resume_ ? fmt::format("of steps behind {}", step) : "of an earlier run",
                   moved.folder));
}

TrainStart RunCheckpoints::start(const StepPlan& plan) const {
  TrainStart start;
  if (!resume_) return start;
  const auto& state = resume_->source->run_state();
  start.step = state.global_step;
  start.samples_seen = state.samples_seen;
  start.epoch = state.epoch;
  if (rank_ != 0) return start;
  std::int64_t logged = start.step;
  while (logged > 0 && !plan.logs(logged)) --logged;
  const auto metrics = fs::path(resume_->folder).parent_path() / "metrics.jsonl";
  start.unlogged = read_losses(metrics.string(), logged, start.step);
  return start;
}

std::string RunCheckpoints::trainer_state() const {
  return resume_ ? resume_->source->run_state().trainer_state : std::string();
}

BestModel RunCheckpoints::resumed_best() const {
  if (!resume_) return {};
  auto best = best_of(trainer_state());
  if (best.step == 0) return best;
  // A run's checkpoints lie beside each other, and it may have been moved or copied. What lies in
  // the output folder has the name by which the retention knows it.
  const auto name = fmt::format("checkpoint-{}", best.step);
  const auto own = fs::path(config_.run.output_dir) / name;
  for (const auto& place :
       {fs::path(resume_->folder).parent_path() / name, fs::path(best.folder)}) {
    if (!fs::is_directory(place)) continue;
    best.folder = (same_folder(place, own) ? own : place).string();
    return best;
  }
  say_(fmt::format("the best checkpoint {} is gone: the best is looked for anew", best.folder));
  return {};
}

checkpoint::NativeSaveOptions RunCheckpoints::save_options(const Loop& loop) const {
  checkpoint::NativeSaveOptions options;
  options.output_dir = config_.run.output_dir;
  options.source = config_.model.model_name_or_path;
  options.tokenizer_source = tokenizer_source(config_.model);
  options.tensors.dtype = loop.options.precision.compute;
  options.tensors.optimizer = !config_.checkpoint.save_only_model;
  auto chosen = config_;
  chosen.zero = loop.options.zero;
  options.config = resume_config_json(chosen, world_);
  if (config_.checkpoint.format == config::CheckpointFormat::deepspeed) {
    // The same once more: weights, masters and both moments.
    for (const auto& param : loop.engine->layout().params) {
      options.keep_free += storage(param.numel(), param.dtype(options.tensors.dtype));
      options.keep_free += storage(param.numel(), DType::f32) * 3;
    }
  }
  return options;
}

CheckpointWriterOptions RunCheckpoints::writer_options(const Loop& loop) const {
  CheckpointWriterOptions options;
  options.save = save_options(loop);
  options.async = config_.checkpoint.async_save;
  if (config_.checkpoint.format == config::CheckpointFormat::deepspeed) {
    options.deepspeed = [this, engine = loop.options,
                         rate = loop.learning_rate](const checkpoint::RunState& state) {
      return deepspeed_save(config_, engine, world_, state, rate);
    };
  }
  return options;
}

Checkpointing& RunCheckpoints::begin(const Loop& loop) {
  writer_ = std::make_unique<CheckpointWriter>(*loop.engine, *store_, exchanges_.save,
                                               exchanges_.retain, writer_options(loop));
  CheckpointingParts parts;
  parts.engine = loop.engine;
  parts.writer = writer_.get();
  parts.signals = loop.signals;
  parts.observers = loop.observers;
  if (auto* state = loop.state) {
    parts.trainer_state = [state] { return state->checkpoint_text(); };
    parts.set_best = [state](const BestModel& best) {
      state->set_best(best.metric, best.step, best.folder);
    };
  }
  CheckpointingOptions options;
  options.checkpoint = config_.checkpoint;
  options.plan = loop.plan;
  options.output_dir = config_.run.output_dir;
  options.run.global_batch = global_batch(config_, world_);
  options.run.coalesce = loop.coalesce;
  options.run.seed = config_.run.seed;
  options.run.data_seed = config_.data.data_seed;
  options.best = resumed_best();
  checkpointing_ = std::make_unique<Checkpointing>(std::move(parts), std::move(options));
  return *checkpointing_;
}

void RunCheckpoints::save_unchanged(const TrainStart& start) {
  say_(
      fmt::format("{} is at step {}: there is no step left to train", resume_->folder, start.step));
  if (same_folder(fs::path(resume_->folder).parent_path(), config_.run.output_dir)) return;
  if (config_.checkpoint.save_strategy == config::SaveStrategy::no) return;
  checkpointing_->save(start.step, start.epoch, start.samples_seen);
}

void RunCheckpoints::load_best(zero::Engine& engine) const {
  const auto& best = checkpointing_->best();
  if (!config_.checkpoint.load_best_model_at_end) return;
  if (best.step == 0) {
    say_("no checkpoint was the best: the last weights stay");
    return;
  }
  try {
    checkpoint::require_whole(best.folder, exchanges_.look);
  } catch (const CheckpointError& error) {  // on all ranks
    if (rank_ == 0) {
      log::warning("train", fmt::format("the best model, of step {}, cannot be loaded, the last "
                                        "weights stay: {}",
                                        best.step, error.what()));
    }
    return;
  }
  const checkpoint::NativeCheckpoint source(best.folder);
  const auto& params = engine.layout().params;
  source.check(params);
  const auto kind =
      source.has(layout::StateKind::master) ? layout::StateKind::master : layout::StateKind::weight;
  engine.load_params([&](layout::ParamId id, std::int64_t begin, std::span<float> values) {
    source.read(kind, params.at(static_cast<std::size_t>(id.value)), begin, values);
  });
  say_(fmt::format("loaded the best model: {} ({} {:.6f})", best.folder,
                   config_.checkpoint.metric_for_best_model, best.metric));
}

}  // namespace zt::train
