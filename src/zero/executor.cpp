#include "zero/executor.h"

#include <fmt/format.h>

namespace zt::zero {
namespace {

constexpr int kPositionShift = 20;

}  // namespace

Executor::Executor(const Machine& machine, StepState& state)
    : program_(*machine.program),
      queues_(machine.device == Device::cpu ? memory::make_cpu_queues()
                                            : memory::make_cuda_queues(machine.device_index)) {
  for (const auto& variant : program_.variants) {
    auto& bound = bound_.at(static_cast<std::size_t>(variant.kind));
    bound.work = bind(machine, variant, state);
    bound.waited_on.assign(variant.operations.size(), 0);
    for (std::size_t i = 0; i < variant.operations.size(); ++i) {
      const auto& op = variant.operations[i];
      for (const int wait : op.waits) bound.waited_on[static_cast<std::size_t>(wait)] = 1;
      const bool loss = op.kind == schedule::OpKind::backward &&
                        machine.model->layers.at(static_cast<std::size_t>(op.layer))->gives_loss();
      if (loss) bound.loss_end = i + 1;
    }
  }
}

const Executor::Bound& Executor::bound(schedule::VariantKind kind) const {
  return bound_.at(static_cast<std::size_t>(kind));
}

void Executor::issue(schedule::VariantKind kind, std::size_t begin, std::size_t end) {
  const auto& operations = program_.variant(kind).operations;
  const auto& work = bound(kind);
  for (std::size_t i = begin; i < end; ++i) {
    const auto& op = operations[i];
    position_.store((static_cast<int>(kind) << kPositionShift) + static_cast<int>(i),
                    std::memory_order_relaxed);
    queues_->submit(static_cast<int>(op.stream), static_cast<int>(i), op.waits,
                    work.waited_on[i] != 0, work.work[i]);
  }
}

void Executor::run(schedule::VariantKind kind) {
  const auto count = bound(kind).work.size();
  queues_->begin(static_cast<int>(count));
  issue(kind, 0, count);
}

void Executor::run_until_loss(schedule::VariantKind kind) {
  queues_->begin(static_cast<int>(bound(kind).work.size()));
  issue(kind, 0, bound(kind).loss_end);
}

void Executor::run_after_loss(schedule::VariantKind kind) {
  issue(kind, bound(kind).loss_end, bound(kind).work.size());
}

std::string Executor::position() const {
  const int position = position_.load(std::memory_order_relaxed);
  if (position < 0) return "before the first operation";
  const auto kind = static_cast<schedule::VariantKind>(position >> kPositionShift);
  const auto index = static_cast<std::size_t>(position & ((1 << kPositionShift) - 1));
  const auto& operations = program_.variant(kind).operations;
  return fmt::format("{} ({}, {} of {})", schedule::to_string(operations.at(index)),
                     schedule::to_string(kind), index, operations.size());
}

}  // namespace zt::zero
