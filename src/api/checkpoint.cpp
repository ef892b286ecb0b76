#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "api/engine_impl.h"
#include "base/error.h"
#include "base/log.h"
#include "checkpoint/deepspeed.h"
#include "checkpoint/native_checkpoint.h"
#include "checkpoint/native_save.h"
#include "checkpoint/store.h"
#include "memory/arena.h"
#include "zero/state_io.h"

namespace zt {
namespace {

using checkpoint::RankExchange;

View view_of(const at::Tensor& bytes) { return {bytes.data_ptr(), bytes.numel(), DType::u8}; }

/// Every rank's bytes, `size` each, over the run's communicator.
std::vector<std::string> gather_bytes(comm::Communicator& communicator, const std::string& mine) {
  const auto size = static_cast<std::int64_t>(mine.size());
  const bool cuda = communicator.device() == Device::cuda;
  auto send = at::empty({size}, at::TensorOptions().dtype(at::kByte));
  std::memcpy(send.data_ptr(), mine.data(), mine.size());
  if (cuda) send = send.to(at::kCUDA);
  auto all = at::empty({communicator.world() * size}, send.options());
  const Launch launch{communicator.device(), nullptr};
  communicator.all_gather(view_of(send), view_of(all), launch);
  memory::synchronize(launch);
  all = all.to(at::kCPU);
  std::vector<std::string> texts;
  for (int rank = 0; rank < communicator.world(); ++rank) {
    texts.emplace_back(static_cast<const char*>(all.data_ptr()) + rank * size, mine.size());
  }
  return texts;
}

/// Texts of different lengths: first the lengths, then all padded to the longest.
std::vector<std::string> gather_text(comm::Communicator& communicator, const std::string& mine) {
  constexpr std::size_t kDigits = 20;
  std::vector<std::size_t> sizes;
  std::size_t longest = 1;
  for (const auto& text : gather_bytes(communicator, fmt::format("{:>20}", mine.size()))) {
    sizes.push_back(std::stoull(text.substr(0, kDigits)));
    longest = std::max(longest, sizes.back());
  }
  std::string padded = mine;
  padded.resize(longest);
  auto texts = gather_bytes(communicator, padded);
  for (std::size_t r = 0; r < texts.size(); ++r) texts[r].resize(sizes[r]);
  return texts;
}

RankExchange exchange_of(Ranks& ranks) {
  auto* communicator = &ranks.communicator();
  return {communicator->rank(), communicator->world(),
          [communicator](const std::string& text) { return gather_text(*communicator, text); }};
}

struct Found {
  std::string folder;
  std::unique_ptr<checkpoint::StateSource> source;
};

Found open_native(const std::string& folder, const std::vector<layout::ParamSpec>& params) {
  auto source = std::make_unique<checkpoint::NativeCheckpoint>(folder);
  source->check(params);
  return {folder, std::move(source)};
}

Found find(const std::string& dir, const std::vector<layout::ParamSpec>& params,
           const RankExchange& exchange) {
  if (checkpoint::is_native(dir)) {
    checkpoint::require_whole(dir, exchange);
    return open_native(dir, params);
  }
  const auto found = checkpoint::find_resumable(dir, exchange);
  if (exchange.rank == 0) {
    for (const auto& line : found.skipped) log::info("api", "skipped " + line);
  }
  if (!found.folder.empty()) return open_native(found.folder, params);
  if (checkpoint::find_deepspeed(dir).folder.empty()) return {};
  auto source = std::make_unique<checkpoint::DeepSpeedCheckpoint>(dir);
  source->check(params);
  auto folder = source->where().folder;
  return {std::move(folder), std::move(source)};
}

}  // namespace

std::string Engine::save_checkpoint(const std::string& dir) {
  auto& self = *impl_;
  const auto exchange = exchange_of(self.ranks);
  const checkpoint::CheckpointStore store(dir, exchange);
  const auto& run = self.config.run;
  checkpoint::NativeSaveOptions options;
  options.output_dir = dir;
  options.source = self.config.model.model_name_or_path;
  options.tokenizer_source = self.config.model.tokenizer_name_or_path;
  options.tensors.dtype = self.config.precision.compute;
  auto& state = options.run_state;
  state.global_step = self.steps;
  state.applied_steps = self.engine.applied_steps();
  state.global_batch =
      run.per_device_train_batch_size * run.gradient_accumulation_steps * exchange.world;
  state.seed = run.seed;
  state.data_seed = self.config.data.data_seed;
  state.loss_scaler = self.engine.loss_scaler_state();
  checkpoint::NativeSave save(std::move(options), self.engine.layout().params, exchange);
  self.engine.export_state(
      [&save](const layout::StateSlice& slice, const View& values) { save.write(slice, values); });
  return save.publish();
}

std::string Engine::load_checkpoint(const std::string& dir) {
  auto& self = *impl_;
  const auto& params = self.engine.layout().params;
  const auto found = find(dir, params, exchange_of(self.ranks));
  if (!found.source) return {};
  zero::StateReader reader;
  reader.has = [&](layout::StateKind kind) { return found.source->has(kind); };
  reader.read = [&](layout::StateKind kind, layout::ParamId id, std::int64_t begin,
                    std::span<float> values) {
    found.source->read(kind, params.at(static_cast<std::size_t>(id.value)), begin, values);
  };
  const auto& state = found.source->run_state();
  if (!self.engine.load_state(reader, state.applied_steps).moments) {
    throw CheckpointError("[api.checkpoint] " + found.folder +
                          " holds no optimizer state. Take its weights as the model's values.");
  }
  if (state.loss_scaler) self.engine.set_loss_scaler_state(*state.loss_scaler);
  self.steps = state.global_step;
  return found.folder;
}

}  // namespace zt
