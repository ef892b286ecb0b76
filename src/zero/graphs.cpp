// How an engine runs a variant: operation by operation, or as a CUDA graph.
#include <chrono>

#include "base/log.h"
#include "zero/engine_impl.h"

namespace zt::zero {
namespace {

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// True when `mine` is true on every rank. Collective.
bool true_on_all(const Machine& machine, const Scalars& scalars, bool mine, const Launch& launch) {
  const auto world = machine.world();
  if (world == 1) return mine;
  double vote = mine ? 1 : 0;
  std::vector<double> votes(static_cast<std::size_t>(world), 0);
  const auto own = double_view(scalars.votes() + machine.rank(), 1);
  const auto all = double_view(scalars.votes(), world);
  memory::copy(double_view(&vote, 1), own, launch);
  machine.communicator->all_gather(own, all, launch);
  memory::copy(all, double_view(votes.data(), world), launch);
  memory::synchronize(launch);
  machine.communicator->check();
  for (const double of_rank : votes) mine = mine && of_rank == 1;
  return mine;
}

}  // namespace

bool Engine::Impl::capture_on_all_ranks(schedule::VariantKind kind) {
  std::string problem;
  try {
    executor->capture(kind);
  } catch (const DeviceError& error) {
    problem = error.what();
  }
  const auto launch = executor->queues().compute();
  if (true_on_all(machine, scalars(), problem.empty(), launch)) return true;
  executor->drop_graphs();
  log::warning("engine",
               "no CUDA graphs from here on: " +
                   (problem.empty() ? std::string("another rank could not capture") : problem));
  return false;
}

void Engine::Impl::run(schedule::VariantKind kind) {
  const double begin = executor->measures() ? now_seconds() : 0;
  if (graphs && steps > 0 && executor->can_capture(kind)) {
    if (!executor->captured(kind)) graphs = capture_on_all_ranks(kind);
  }
  if (executor->captured(kind)) {
    executor->replay(kind);
  } else {
    executor->run(kind);
  }
  if (executor->measures()) note_times(kind, begin);
}

void Engine::Impl::note_times(schedule::VariantKind kind, double begin) {
  MeasuredList list{kind, executor->captured(kind), begin, {}};
  const auto& operations = program.variant(kind).operations;
  for (const auto& time : executor->times()) {
    const auto& op = operations.at(static_cast<std::size_t>(time.index));
    if (op.kind == schedule::OpKind::release) continue;
    list.operations.push_back({op.kind, op.stream, to_string(op), time.begin, time.end});
  }
  measured.push_back(std::move(list));
}

bool Engine::uses_graphs() const {
  const auto& self = *impl_;
  return self.graphs && self.executor->can_capture(schedule::VariantKind::boundary);
}

void Engine::measure_operations(bool on) {
  impl_->executor->measure(on);
  impl_->measured.clear();
}

std::vector<MeasuredList> Engine::take_measured() { return std::exchange(impl_->measured, {}); }

}  // namespace zt::zero
