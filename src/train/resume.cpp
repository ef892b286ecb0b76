#include "train/resume.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/deepspeed.h"
#include "checkpoint/native_checkpoint.h"
#include "checkpoint/store.h"
#include "config/fields.h"
#include "train/checkpoint_folders.h"
#include "train/python_json.h"
#include "zero/state_io.h"

namespace zt::train {
namespace {

constexpr const char* kWorld = "world_size";

std::unique_ptr<Resume> open_native(const std::string& folder,
                                    const std::vector<layout::ParamSpec>& params) {
  auto source = std::make_unique<checkpoint::NativeCheckpoint>(folder);
  source->check(params);
  auto resume = std::make_unique<Resume>();
  resume->folder = folder;
  resume->config = source->config();
  resume->is_native = true;
  resume->weight_dtype = source->weight_dtype();
  resume->source = std::move(source);
  return resume;
}

std::unique_ptr<Resume> open_deepspeed(const std::string& folder,
                                       const std::vector<layout::ParamSpec>& params,
                                       const checkpoint::RankExchange& exchange) {
  auto resume = std::make_unique<Resume>();
  checkpoint::all_or_none(exchange, [&] {
    auto source = std::make_unique<checkpoint::DeepSpeedCheckpoint>(folder);
    source->check(params);
    std::string text;
    for (const auto& problem : source->verify(exchange.rank, exchange.world)) {
      text += "\n  " + problem;
    }
    if (!text.empty()) {
      throw CheckpointError("[train.resume] " + folder + " is damaged:" + text);
    }
    resume->folder = source->where().folder;
    resume->source = std::move(source);
  });
  return resume;
}

/// The newest whole checkpoint of a run's output folder, or nothing.
std::unique_ptr<Resume> open_newest(const std::string& output_dir,
                                    const std::vector<layout::ParamSpec>& params,
                                    const checkpoint::RankExchange& exchange, const Say& say) {
  const auto found = checkpoint::find_resumable(output_dir, exchange);
  for (const auto& line : found.skipped) say("skipped " + line);
  return found.folder.empty() ? nullptr : open_native(found.folder, params);
}

std::unique_ptr<Resume> open_named(const std::string& given,
                                   const std::vector<layout::ParamSpec>& params,
                                   const checkpoint::RankExchange& exchange, const Say& say) {
  const auto path = locate_checkpoint(given);
  if (checkpoint::is_native(path)) {
    checkpoint::require_whole(path, exchange);
    return open_native(path, params);
  }
  if (!checkpoint::list_checkpoints(path).empty()) {
    if (auto resume = open_newest(path, params, exchange, say)) return resume;
  } else if (!checkpoint::find_deepspeed(path).folder.empty()) {
    return open_deepspeed(path, params, exchange);
  }
  throw CheckpointError(fmt::format(
      "[train.resume] --resume_from_checkpoint {}: got {}, "
      "expected a checkpoint-N folder, an output folder with some, or a DeepSpeed checkpoint, also "
      "in step_N, checkpoints/step_N or final. To "
      "take weights alone, use --init_from.",
      path,
      std::filesystem::is_directory(path) ? "a folder without a whole checkpoint"
                                          : "no such folder"));
}

void keep_global_batch(config::Config& config, std::int64_t wanted, int world, const Say& say) {
  auto& run = config.run;
  const auto per_micro_step = run.per_device_train_batch_size * world;
  if (wanted <= 0 || run.gradient_accumulation_steps * per_micro_step == wanted) return;
  if (wanted % per_micro_step == 0) {
    const auto before = std::exchange(run.gradient_accumulation_steps, wanted / per_micro_step);
    say(fmt::format(
        "the global batch stays {} sequences: {} per rank x {} ranks x {} accumulation "
        "steps (the flags say {})",
        wanted, run.per_device_train_batch_size, world, run.gradient_accumulation_steps, before));
    return;
  }
  std::string fits;
  for (std::int64_t batch = 1; batch * world <= wanted; ++batch) {
    if (wanted % (batch * world) == 0) fits += (fits.empty() ? "" : ", ") + std::to_string(batch);
  }
  throw ConfigError(fmt::format(
      "[train.resume] the checkpoint's global batch is {} sequences: got "
      "--per_device_train_batch_size {} on {} ranks, expected a batch that divides it. {}",
      wanted, run.per_device_train_batch_size, world,
      fits.empty()
          ? fmt::format("Use a number of ranks that divides {}.", wanted)
          : fmt::format("With {} ranks use --per_device_train_batch_size {}.", world, fits)));
}

template <typename T>
void keep_value(T& value, T saved, const char* name, const Say& say) {
  if (value == saved) return;
  say(fmt::format("{} stays {} as in the checkpoint (the flags say {})", name, saved, value));
  value = saved;
}

/// In a run of the same shape `auto` is again what it had become, so that the bits are the same.
void keep_choices(config::Config& config, const nlohmann::json& saved, int world, const Say& say) {
  constexpr std::array kShape = {"zero.stage",
                                 "zero.optimizer_place",
                                 "zero.param_place",
                                 "precision.compute",
                                 "run.per_device_train_batch_size",
                                 "run.gradient_accumulation_steps",
                                 "data.block_size"};
  constexpr std::array kChoices = {"zero.reduce_at", "zero.recompute", "zero.coalesce"};
  if (saved.value(kWorld, std::string()) != std::to_string(world)) return;
  for (const char* path : kShape) {
    if (saved.value(path, std::string()) != config::field_at(path).get(config)) return;
  }
  for (const char* path : kChoices) {
    const auto& field = config::field_at(path);
    const auto mine = field.get(config);
    const bool is_auto =
        mine == "auto" || (std::string_view(path) == "zero.coalesce" && mine == "0");
    const auto text = saved.value(path, std::string());
    if (!is_auto || text.empty() || text == mine) continue;
    if (!config::set_field(config, field, text).empty()) continue;
    say(fmt::format("{} auto is {} as in the checkpoint", path, text));
  }
}

}  // namespace

std::unique_ptr<Resume> find_resume(const config::Config& config,
                                    const std::vector<layout::ParamSpec>& params,
                                    const checkpoint::RankExchange& exchange, const Say& say) {
  const auto& from = config.checkpoint.resume_from;
  if (from.empty()) return nullptr;
  if (from != "latest" && from != "true") return open_named(from, params, exchange, say);
  auto resume = open_newest(config.run.output_dir, params, exchange, say);
  if (resume) return resume;
  if (from == "true") {
    throw CheckpointError(fmt::format(
        "[train.resume] --resume_from_checkpoint true: got no whole checkpoint in {}, expected "
        "one. Use latest to start from the beginning then.",
        config.run.output_dir));
  }
  say(fmt::format("no checkpoint in {}: starting from the beginning", config.run.output_dir));
  return nullptr;
}

void adopt(config::Config& config, const Resume& resume, int world, const Say& say) {
  const auto& state = resume.source->run_state();
  keep_global_batch(config, state.global_batch, world, say);
  const auto saved = nlohmann::json::parse(resume.config, nullptr, /*allow_exceptions=*/false);
  if (!saved.is_object()) return;  // of another program
  keep_value(config.run.seed, state.seed, "--seed", say);
  keep_value(config.data.data_seed, state.data_seed, "--data_seed", say);
  keep_choices(config, saved, world, say);
}

void load_engine(zero::Engine& engine, const Resume& resume, const Say& say) {
  const auto& params = engine.layout().params;
  const auto& source = *resume.source;
  zero::StateReader reader;
  reader.has = [&source](layout::StateKind kind) { return source.has(kind); };
  reader.read = [&](layout::StateKind kind, layout::ParamId id, std::int64_t begin,
                    std::span<float> values) {
    source.read(kind, params.at(static_cast<std::size_t>(id.value)), begin, values);
  };
  reader.weight_dtype = resume.weight_dtype;
  const auto& state = source.run_state();
  const auto loaded = engine.load_state(reader, state.applied_steps);
  if (!loaded.moments) {
    throw CheckpointError(fmt::format(
        "[train.resume] {} holds no optimizer state (it was saved with --save_only_model). Use "
        "--init_from to start from its weights.",
        resume.folder));
  }
  if (resume.is_native && loaded.differing_weights > 0) {
    throw CheckpointError(fmt::format(
        "[train.resume] {}: {} weights of {} are not their masters rounded. The files are of "
        "different saves; use an earlier checkpoint.",
        resume.folder, loaded.differing_weights, loaded.first_differing));
  }
  if (state.loss_scaler) engine.set_loss_scaler_state(*state.loss_scaler);
  say(fmt::format("resumed from {}: step {}, {} updates, epoch {:.3f}", resume.folder,
                  state.global_step, state.applied_steps, state.epoch));
}

std::string place_warning(const Resume& resume, const data::Sampler& sampler) {
  const auto& state = resume.source->run_state();
  if (state.epoch <= 0) return {};  // DeepSpeed does not keep it
  const auto epoch = sampler.epoch_at(state.global_step);
  // Ranks share the last batches of an epoch in another way when there are others: less than a
  // step.
  const auto steps =
      std::abs(epoch - state.epoch) * static_cast<double>(sampler.updates_per_epoch());
  if (steps < 1) return {};
  return fmt::format(
      "[train.resume] step {} of {} was epoch {:.4f} when it was saved, and is epoch {:.4f} now: "
      "samples may come again or be left out. Is the training data the same, and what cuts it "
      "(--block_size, --max_train_samples, --dataloader_drop_last)?",
      state.global_step, resume.folder, state.epoch, epoch);
}

BestModel best_of(const std::string& trainer_state) {
  BestModel best;
  nlohmann::json json;
  try {  // the log history may hold NaN and Infinity, as Python writes them
    json = from_python_json(trainer_state, "trainer_state.json");
  } catch (const FileError&) {
    return best;
  }
  if (!json.is_object()) return best;
  const auto metric = json.find("best_metric");
  const auto step = json.find("best_global_step");
  const auto folder = json.find("best_model_checkpoint");
  if (metric == json.end() || step == json.end() || folder == json.end()) return best;
  if (!metric->is_number() || !step->is_number_integer() || !folder->is_string()) return best;
  return {metric->get<double>(), step->get<std::int64_t>(), folder->get<std::string>()};
}

std::string resume_config_json(const config::Config& config, int world) {
  nlohmann::json json;
  for (const auto& field : config::fields()) json[field.path] = field.get(config);
  json[kWorld] = std::to_string(world);
  return json.dump(1);
}

}  // namespace zt::train
