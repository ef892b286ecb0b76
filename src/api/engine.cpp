#include "zerotrain/engine.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "api/engine_impl.h"
#include "base/error.h"
#include "optim/lr_schedule.h"
#include "zero/engine_options.h"
#include "zero/rank_values.h"

namespace zt {
namespace {

std::int64_t count_targets(const Batch& batch) {
  const auto targets = batch.targets.to(at::kCPU);
  const auto* begin = targets.const_data_ptr<std::int64_t>();
  return targets.numel() - std::count(begin, begin + targets.numel(), -100);
}

zero::RankContext context_of(Ranks& ranks) {
  const auto& place = ranks.place();
  return {.communicator = &ranks.communicator(),
          .device = ranks.communicator().device(),
          .device_index = place.device_index,
          .local_rank = place.local_rank,
          .local_world = place.local_world};
}

std::string shape_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return "nothing";
  return fmt::format("[{}] {} on {}", fmt::join(tensor.sizes(), ", "),
                     c10::toString(tensor.scalar_type()), tensor.device().str());
}

/// The batch with its tensors contiguous, as layers read them. The engine's memory is planned for
/// one shape: another one would be read and written beyond it.
Batch checked(const Batch& batch, const BatchShape& shape, Device device, int rank) {
  const auto take = [&](const at::Tensor& tensor, const char* name) {
    const bool fits = tensor.defined() && tensor.dim() == 2 && tensor.size(0) == shape.batch &&
                      tensor.size(1) == shape.sequence && tensor.scalar_type() == at::kLong &&
                      (device == Device::cuda || tensor.device().is_cpu());
    if (fits) return tensor.contiguous();
    throw ConfigError(
        fmt::format("[api.engine] {} of the batch: got {}, expected [{}, {}] Long{} (rank {}). Set "
                    "config.run.per_device_train_batch_size (or per_device_eval_batch_size) and "
                    "config.data.block_size to what batches are.",
                    name, shape_of(tensor), shape.batch, shape.sequence,
                    device == Device::cuda ? "" : " on cpu", rank));
  };
  Batch whole{take(batch.input_ids, "input_ids"), take(batch.targets, "targets"), {}, {}};
  if (batch.position_ids.defined()) whole.position_ids = take(batch.position_ids, "position_ids");
  whole.cu_seqlens = batch.cu_seqlens;
  if (shape.document_mask && !batch.cu_seqlens.defined()) {
    throw ConfigError(
        "[api.engine] cu_seqlens of the batch: got nothing, expected the starts of "
        "its documents, as config.data.document_mask is on.");
  }
  return whole;
}

}  // namespace

Engine::Impl::Impl(Model model, const Config& config_in, const zero::EngineOptions& options,
                   Ranks& ranks_in)
    : config(config_in),
      ranks(ranks_in),
      shapes{options.shape, options.eval_shape()},
      engine(std::move(model.parts), options, context_of(ranks_in)) {
  engine.load_params(model.values);
}

Batch Engine::Impl::checked_batch(const Batch& batch, const BatchShape& shape) const {
  return checked(batch, shape, ranks.communicator().device(), ranks.rank());
}

void Engine::Impl::prepare(const Batch& batch) {
  batch_targets = count_targets(batch);
  if (told) return;
  if (!first_targets) {
    first_targets = batch_targets;
    engine.begin_step(zero::sum_over_ranks(ranks.communicator(), batch_targets) *
                      config.run.gradient_accumulation_steps);
  } else if (*first_targets != batch_targets) {
    throw ConfigError(fmt::format(
        "[api.engine] micro-batches of a step differ in targets: got {}, expected {} as in the "
        "first one (rank {}). Call begin_step with the sum over the step and all ranks.",
        batch_targets, *first_targets, ranks.rank()));
  }
}

Engine::Engine(Model model, const Config& config, Ranks& ranks)
    : impl_(std::make_unique<Impl>(std::move(model), config, zero::engine_options(config), ranks)) {
}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

void Engine::begin_step(std::int64_t target_tokens) {
  impl_->engine.begin_step(target_tokens);
  impl_->told = true;
}

double Engine::micro_step(const Batch& batch) {
  const double loss = forward(batch);
  backward(loss);
  return loss;
}

double Engine::forward(const Batch& batch) {
  const auto whole = impl_->checked_batch(batch, impl_->shapes.train);
  impl_->prepare(whole);
  impl_->forward_sum = impl_->engine.forward(whole);
  impl_->forward_mean = impl_->mean(impl_->forward_sum);
  return impl_->forward_mean;
}

void Engine::backward(double loss) {
  // Bits, not values: a NaN that forward returned is accepted.
  if (std::memcmp(&loss, &impl_->forward_mean, sizeof(loss)) != 0) {
    throw InternalError(
        fmt::format("[api.engine] backward takes only the loss that the last forward returned: got "
                    "{}, expected "
                    "{} (rank {}).",
                    loss, impl_->forward_mean, impl_->ranks.rank()));
  }
  impl_->engine.backward(impl_->forward_sum);
}

StepResult Engine::step() {
  return step(optim::learning_rate(impl_->config.lr_schedule, impl_->config.optimizer.learning_rate,
                                   impl_->config.run.max_steps, impl_->engine.applied_steps()));
}

StepResult Engine::step(double learning_rate) {
  const auto result = impl_->engine.step(learning_rate);
  impl_->told = false;
  impl_->first_targets.reset();
  ++impl_->steps;
  return result;
}

double Engine::evaluate(const Batch& batch) {
  const auto whole = impl_->checked_batch(batch, impl_->shapes.evaluation);
  const auto targets = count_targets(whole);
  const double sum = impl_->engine.evaluate(whole);
  return targets > 0 ? sum / static_cast<double>(targets) : 0.0;
}

std::int64_t Engine::global_steps() const { return impl_->steps; }

zero::Engine& Engine::core() { return impl_->engine; }

Engine initialize(Model model, const Config& config, Ranks& ranks) {
  return Engine(std::move(model), config, ranks);
}

}  // namespace zt
