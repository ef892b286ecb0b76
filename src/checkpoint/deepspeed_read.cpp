#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "base/error.h"
#include "checkpoint/deepspeed.h"
#include "checkpoint/deepspeed_load.h"
#include "checkpoint/deepspeed_parts.h"
#include "model/family.h"
#include "optim/param_groups.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;
using layout::StateKind;

constexpr std::int64_t kMaxWorld = 100'000;

[[noreturn]] void fail(const std::string& what) {
  throw CheckpointError("[checkpoint.deepspeed] " + what);
}

/// Layouts of other kinds of parallelism.
void refuse_other_parallelism(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const auto name = entry.path().filename().string();
    const bool tensor = name.find("mp_rank_01_") != std::string::npos;
    const bool layers = name.rfind("layer_", 0) == 0 || name.rfind("expp_rank_", 0) == 0;
    if (tensor || layers) {
      fail(
          fmt::format("{}: {} belongs to a tensor, pipeline or expert parallel run, which is not "
                      "supported. Convert it with DeepSpeed first.",
                      folder.string(), name));
    }
  }
}

std::string rank_file(const fs::path& folder, std::int64_t rank) {
  const auto name = fmt::format("zero_pp_rank_{}_mp_rank_00_optim_states.pt", rank);
  const bool plain = fs::exists(folder / name), bf16 = fs::exists(folder / ("bf16_" + name));
  if (plain && bf16) {
    fail(fmt::format("{}: holds both {} and bf16_{}: two saves are mixed. Remove the older one.",
                     folder.string(), name, name));
  }
  return plain ? name : bf16 ? "bf16_" + name : "";
}

DType to_dtype(TorchDType dtype) {
  return dtype == TorchDType::bf16  ? DType::bf16
         : dtype == TorchDType::f16 ? DType::f16
                                    : DType::f32;
}

using Aliases = std::vector<std::pair<std::string, std::string>>;  ///< alias, name

/// Parameters that only the module knows: frozen ones, and all in stage 0, where a tied tensor
/// appears under both of its names.
void declare_module(DeepSpeedContent& content, const PickleValue& module,
                    const std::set<std::string>& other, Aliases& shared) {
  std::map<std::pair<const std::byte*, std::vector<std::int64_t>>, std::string> places;
  const auto& file = *content.files.front();
  for (const auto& [name, value] : module.entries()) {
    if (value.kind() != NodeKind::tensor || other.count(name) != 0) continue;
    if (value.tensor().shape == std::vector<std::int64_t>{0}) continue;  // stage 3
    const auto [place, is_new] =
        places.emplace(std::pair{file.first_byte(value.tensor()), value.tensor().shape}, name);
    if (content.pieces.knows(name)) continue;
    if (is_new) {
      content.pieces.declare(name, value.tensor().shape);
    } else {
      shared.emplace_back(name, place->second);
    }
  }
}

/// Names and shapes of parameters: trained ones in the optimizer's order, then frozen ones.
void declare_params(DeepSpeedContent& content, const PickleValue& model) {
  std::set<std::string> other;
  Aliases shared;
  if (const auto names = model.find("buffer_names")) {
    for (const auto& name : names->items()) other.insert(name.text());
  }
  if (const auto aliases = model.find("shared_params")) {
    for (const auto& [alias, name] : aliases->entries()) {
      shared.emplace_back(alias, name.text());
      other.insert(alias);
    }
  }
  if (const auto groups = model.find("param_shapes")) {
    for (const auto& group : groups->items()) {
      for (const auto& [name, shape] : group.entries()) {
        content.pieces.declare(name, shape.shape());
      }
    }
  }
  if (const auto module = model.find("module")) declare_module(content, *module, other, shared);
  for (const auto& name : content.pieces.names()) {
    layout::ParamSpec param{.name = name, .shape = content.pieces.shape(name)};
    param.decay = optim::is_decayed(name, false, false);
    param.keep_fp32 = model::keeps_fp32(name);
    for (const auto& [alias, target] : shared) {
      if (target == name) param.aliases.push_back(alias);
    }
    content.params.push_back(std::move(param));
  }
}

/// Where no fp32 values are, the weights of the module.
void add_module_weights(DeepSpeedContent& content, const TorchFile& file) {
  const auto module = file.root().find("module");
  if (!module) return;
  bool first = true;
  for (const auto& [name, value] : module->entries()) {
    if (value.kind() != NodeKind::tensor) continue;
    const auto dtype = to_dtype(file.dtype(value.tensor()));  // some may be fp32 in a 16-bit run
    if (std::exchange(first, false) || dtype != DType::f32) content.weight_dtype = dtype;
    if (!content.pieces.knows(name) || content.pieces.has(StateKind::master, name)) continue;
    content.pieces.append(StateKind::weight, name, value.tensor().numel(), file, value.tensor(), 0);
  }
}

optim::LossScalerState scaler_state(const PickleValue& scaler) {
  optim::LossScalerState state;
  state.scale = scaler.at("cur_scale").number();
  if (const auto value = scaler.find("cur_iter")) state.iteration = value->integer();
  if (const auto value = scaler.find("last_overflow_iter")) {
    state.last_overflow_iter = value->integer();
  }
  if (const auto value = scaler.find("cur_hysteresis")) {
    state.hysteresis = static_cast<int>(std::clamp<std::int64_t>(value->integer(), 0, 1'000'000));
  }
  return state;
}

/// The scaler of ZeRO's optimizer file, or the fields of stage 0's wrapper.
void read_scaler(DeepSpeedContent& content, const PickleValue& optimizer) {
  if (content.weight_dtype != DType::f16) return;
  if (const auto scaler = optimizer.find("loss_scaler")) {
    content.run_state.loss_scaler = scaler_state(*scaler);
  } else if (optimizer.find("cur_scale")) {
    content.run_state.loss_scaler = scaler_state(optimizer);
  }
}

void read_counters(DeepSpeedContent& content, const PickleValue& model) {
  auto& run = content.run_state;
  const auto integer = [](const PickleValue& from, const char* key, std::int64_t otherwise) {
    const auto value = from.find(key);
    return value ? value->integer() : otherwise;
  };
  run.global_step = integer(model, "global_steps", 0);
  if (run.applied_steps < 0) {
    run.applied_steps = run.global_step - integer(model, "skipped_steps", 0);
  }
  if (const auto config = model.find("ds_config"); config && config->kind() == NodeKind::dict) {
    const auto batch = config->find("train_batch_size");
    if (batch && batch->kind() == NodeKind::integer) run.global_batch = batch->integer();
  }
  run.samples_seen = integer(model, "global_samples", run.global_step * run.global_batch);
  if (run.global_batch == 0 && run.global_step > 0) {
    run.global_batch = run.samples_seen / run.global_step;
  }
  if (const auto own = model.find(kOwnState); own && own->kind() == NodeKind::dict) {
    if (const auto epoch = own->find("epoch")) run.epoch = epoch->number();
    run.global_batch = integer(*own, "global_batch", run.global_batch);
    run.coalesce = integer(*own, "coalesce", 1);
    run.seed = static_cast<std::uint64_t>(integer(*own, "seed", 0));
    run.data_seed = static_cast<std::uint64_t>(integer(*own, "data_seed", 0));
    if (const auto state = own->find("trainer_state")) run.trainer_state = state->text();
  }
}

std::vector<const TorchFile*> open_ranks(DeepSpeedContent& content, const PickleValue& model) {
  const fs::path folder(content.where.folder);
  if (rank_file(folder, 0).empty()) return {};
  const auto world = model.at("dp_world_size").integer();
  if (world < 1 || world > kMaxWorld) model.fail(fmt::format("got dp_world_size {}", world));
  std::vector<const TorchFile*> ranks;
  for (std::int64_t rank = 0; rank < world; ++rank) {
    const auto name = rank_file(folder, rank);
    if (name.empty()) {
      fail(
          fmt::format("{}: the optimizer states of rank {} of {} are missing. Is the save "
                      "complete?",
                      folder.string(), rank, world));
    }
    ranks.push_back(&content.open(name));
  }
  if (!rank_file(folder, world).empty()) {
    fail(
        fmt::format("{}: holds optimizer states of more than {} ranks: two saves are mixed. "
                    "Remove the older one.",
                    folder.string(), world));
  }
  return ranks;
}

void load(DeepSpeedContent& content) {
  const fs::path folder(content.where.folder);
  refuse_other_parallelism(folder);
  const bool sharded = !fs::exists(folder / "mp_rank_00_model_states.pt");
  const auto& file = content.open(sharded ? "zero_pp_rank_0_mp_rank_00_model_states.pt"
                                          : "mp_rank_00_model_states.pt");
  const auto model = file.root();
  declare_params(content, model);
  content.run_state.applied_steps = -1;
  const auto ranks =
      content.where.universal ? std::vector<const TorchFile*>{} : open_ranks(content, model);
  if (content.where.universal) {
    load_universal(content);
  } else if (ranks.empty()) {
    load_stage_0(content, file);
  } else if (ranks[0]->root().at("optimizer_state_dict").find("fp32_flat_groups")) {
    load_stage_3(content, model, ranks);
  } else {
    load_stage_1_and_2(content, model, ranks);
  }
  add_module_weights(content, file);
  for (const auto kind :
       {StateKind::weight, StateKind::master, StateKind::exp_avg, StateKind::exp_avg_sq}) {
    content.pieces.check_complete(kind);
  }
  for (const auto& name : content.pieces.names()) {
    if (!content.pieces.has(StateKind::master, name) &&
        !content.pieces.has(StateKind::weight, name)) {
      fail(fmt::format("{}: no values of '{}' are there. Is a file missing?", folder.string(),
                       name));
    }
  }
  if (!ranks.empty()) {
    read_scaler(content, ranks[0]->root().at("optimizer_state_dict"));
  } else if (const auto optimizer = model.find("optimizer")) {
    read_scaler(content, *optimizer);
  }
  read_counters(content, model);
}

}  // namespace

const TorchFile& DeepSpeedContent::open(const std::string& name) {
  files.push_back(std::make_unique<TorchFile>((fs::path(where.folder) / name).string()));
  return *files.back();
}

struct DeepSpeedCheckpoint::Impl {
  DeepSpeedContent content;

  /// The name under which the checkpoint knows a parameter.
  [[nodiscard]] const std::string& name_of(const layout::ParamSpec& param) const {
    if (content.pieces.knows(param.name)) return param.name;
    for (const auto& alias : param.aliases) {
      if (content.pieces.knows(alias)) return alias;
    }
    return param.name;
  }
};

DeepSpeedCheckpoint::DeepSpeedCheckpoint(const std::string& folder, const std::string& tag)
    : impl_(std::make_unique<Impl>()) {
  impl_->content.where = find_deepspeed(folder, tag);
  if (impl_->content.where.folder.empty()) {
    fail(
        fmt::format("{}: holds neither model states of DeepSpeed nor a file `latest`. Give the "
                    "folder that was passed to save_checkpoint.",
                    folder));
  }
  load(impl_->content);
}

DeepSpeedCheckpoint::~DeepSpeedCheckpoint() = default;

bool DeepSpeedCheckpoint::has(StateKind kind) const {
  return kind == StateKind::weight || impl_->content.pieces.has(kind);
}

void DeepSpeedCheckpoint::read(StateKind kind, const layout::ParamSpec& param, std::int64_t begin,
                               std::span<float> values) const {
  const auto& name = impl_->name_of(param);
  const bool from_master =
      kind == StateKind::weight && impl_->content.pieces.has(StateKind::master, name);
  impl_->content.pieces.read(from_master ? StateKind::master : kind, name, begin, values);
}

const RunState& DeepSpeedCheckpoint::run_state() const { return impl_->content.run_state; }

const std::vector<layout::ParamSpec>& DeepSpeedCheckpoint::params() const {
  return impl_->content.params;
}

DType DeepSpeedCheckpoint::weight_dtype() const { return impl_->content.weight_dtype; }

const DeepSpeedFolder& DeepSpeedCheckpoint::where() const { return impl_->content.where; }

const std::optional<AdamSettings>& DeepSpeedCheckpoint::adam() const { return impl_->content.adam; }

void DeepSpeedCheckpoint::check(const std::vector<layout::ParamSpec>& params) const {
  std::string problems;
  std::set<std::string> known;
  for (const auto& param : params) {
    known.insert(param.name);
    known.insert(param.aliases.begin(), param.aliases.end());
    const auto& name = impl_->name_of(param);
    if (!impl_->content.pieces.knows(name)) {
      problems += fmt::format("\n  missing: {} [{}]", param.name, fmt::join(param.shape, ", "));
    } else if (const auto& shape = impl_->content.pieces.shape(name); shape != param.shape) {
      problems += fmt::format("\n  {}: got [{}], expected [{}]", param.name, fmt::join(shape, ", "),
                              fmt::join(param.shape, ", "));
    }
  }
  for (const auto& param : impl_->content.params) {
    if (known.count(param.name) == 0) problems += fmt::format("\n  unexpected: {}", param.name);
  }
  if (!problems.empty()) {
    fail(
        fmt::format("{}: the checkpoint does not fit the model:{}\n  Use the config.json that "
                    "belongs to it.",
                    impl_->content.where.folder, problems));
  }
}

std::vector<std::string> DeepSpeedCheckpoint::verify(int part, int parts) const {
  std::vector<std::string> problems;
  const auto& files = impl_->content.files;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (static_cast<int>(i % static_cast<std::size_t>(parts)) != part) continue;
    try {
      files[i]->verify();
    } catch (const CheckpointError& error) {
      problems.emplace_back(error.what());
    }
  }
  return problems;
}

OpenedCheckpoint open_deepspeed(const std::string& folder, const std::string& tag) {
  auto source = std::make_unique<DeepSpeedCheckpoint>(folder, tag);
  OpenedCheckpoint opened;
  opened.format = source->where().universal ? "universal" : "deepspeed";
  opened.params = source->params();
  opened.dtype = source->weight_dtype();
  for (const auto& place : {fs::path(source->where().folder), fs::path(folder)}) {
    if (fs::exists(place / "config.json")) opened.model_folder = place.string();
  }
  opened.source = std::move(source);
  return opened;
}

}  // namespace zt::checkpoint
