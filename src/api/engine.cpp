#include "zerotrain/engine.h"

#include <fmt/format.h>

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

}  // namespace

Engine::Impl::Impl(Model model, const Config& config_in, Ranks& ranks_in)
    : config(config_in),
      ranks(ranks_in),
      engine(std::move(model.parts), zero::engine_options(config_in), context_of(ranks_in)) {
  engine.load_params(model.values);
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
    : impl_(std::make_unique<Impl>(std::move(model), config, ranks)) {}
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
  impl_->prepare(batch);
  impl_->forward_sum = impl_->engine.forward(batch);
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
  impl_->told = false;
  impl_->first_targets.reset();
  ++impl_->steps;
  return impl_->engine.step(learning_rate);
}

double Engine::evaluate(const Batch& batch) {
  const auto targets = count_targets(batch);
  const double sum = impl_->engine.evaluate(batch);
  return targets > 0 ? sum / static_cast<double>(targets) : 0.0;
}

std::int64_t Engine::global_steps() const { return impl_->steps; }

zero::Engine& Engine::core() { return impl_->engine; }

Engine initialize(Model model, const Config& config, Ranks& ranks) {
  return Engine(std::move(model), config, ranks);
}

}  // namespace zt
