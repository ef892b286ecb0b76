#include "train/reduced_step.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "comm/inproc/inproc_communicator.h"
#include "model/init.h"

namespace zt::train {
namespace {

constexpr int kMostRanks = 8;
constexpr std::int64_t kTokens = 32;
constexpr double kLearningRate = 1e-2;

/// Tokens that repeat, so that one step is enough to learn from.
layer::Batch batch_of(std::int64_t vocab) {
  layer::Batch batch;
  batch.input_ids = at::empty({1, kTokens}, at::kLong);
  batch.targets = at::empty({1, kTokens}, at::kLong);
  batch.position_ids = at::arange(kTokens, at::kLong).view({1, kTokens});
  for (std::int64_t i = 0; i < kTokens; ++i) {
    batch.input_ids.data_ptr<std::int64_t>()[i] = i % 7 % vocab;
    batch.targets.data_ptr<std::int64_t>()[i] = i == kTokens - 1 ? -100 : (i + 1) % 7 % vocab;
  }
  return batch;
}

struct Losses {
  double first = 0, second = 0, norm = 0;
};

Losses run_rank(const model::Model& small, const zero::EngineOptions& options,
                comm::Communicator& communicator) {
  zero::Engine engine(small.make(), options, {&communicator, Device::cpu, 0});
  const auto params = engine.layout().params;
  engine.load_params([&](layout::ParamId id, std::int64_t begin, std::span<float> values) {
    model::fill_initial(params.at(static_cast<std::size_t>(id.value)), id.value, 1, begin, values);
  });
  const auto batch = batch_of(small.vocab());
  const auto targets = (kTokens - 1) * options.micro_steps * communicator.world();
  Losses losses;
  for (double* loss : {&losses.first, &losses.second}) {
    engine.begin_step(targets);
    for (int m = 0; m < options.micro_steps; ++m) engine.micro_step(batch);
    const auto result = engine.step(kLearningRate);
    *loss = result.loss;
    losses.norm = result.grad_norm;
  }
  return losses;
}

/// The settings of the run with shapes that fit threads. Files are not touched: what would lie in
/// them lies in host memory.
zero::EngineOptions reduced_options(zero::EngineOptions options) {
  options.shape = {1, kTokens, false};
  options.micro_steps = std::min(options.micro_steps, 2);
  for (auto* place : {&options.zero.optimizer_place, &options.zero.param_place}) {
    if (*place == Place::nvme) *place = Place::host;
  }
  options.precision.initial_scale_power = 8;  // a first step that fp16 does not skip
  return options;
}

}  // namespace

std::string run_reduced_step(const model::Model& model, const zero::EngineOptions& given,
                             int world) {
  const auto small = model::reduced(model);
  const auto options = reduced_options(given);
  const int ranks = std::min(world, kMostRanks);
  auto communicators = comm::make_inproc(ranks, std::chrono::minutes(2));
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::exception_ptr failure;
  Losses losses;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      auto& communicator = *communicators[static_cast<std::size_t>(rank)];
      try {
        const auto own = run_rank(small, options, communicator);
        if (rank == 0) losses = own;
      } catch (const std::exception& error) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        communicator.abort(error.what());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
  ZT_ASSERT(std::isfinite(losses.first) && std::isfinite(losses.second), "the loss is a number");
  return fmt::format(
      "one step    of width {}, {} layers, on {} threads: loss {:.4f}, then {:.4f}, gradient norm "
      "{:.3f}\n",
      small.hidden(), small.layers(), ranks, losses.first, losses.second, losses.norm);
}

}  // namespace zt::train
