#include <algorithm>
#include <cstring>

#include "zero/engine_impl.h"

namespace zt::zero {
namespace {

/// Where evaluation gathers a unit; between steps nothing else lives there.
struct GatherBuffers {
  schedule::BufferId full, stage, host_stage;
};

GatherBuffers evaluation_buffers(const schedule::Program& program, int unit) {
  GatherBuffers result;
  for (const auto& op : program.variant(schedule::VariantKind::evaluation).operations) {
    if (op.unit != unit) continue;
    if (op.kind == schedule::OpKind::load_param) result.host_stage = op.writes.front();
    if (op.kind != schedule::OpKind::fetch && op.kind != schedule::OpKind::gather) continue;
    const auto id = op.writes.front();
    const bool full = program.buffer(id).kind == schedule::BufferKind::param_full;
    (full ? result.full : result.stage) = id;
  }
  ZT_ASSERT(result.full.valid(), "evaluation gathers every unit that is not always gathered");
  return result;
}

}  // namespace

void Engine::Impl::export_unit(int unit, const ParamSink& sink) {
  const auto& buffers = program.units.at(static_cast<std::size_t>(unit));
  const auto& unit_layout = layout.units.at(static_cast<std::size_t>(unit));
  const auto launch = executor->queues().compute();
  View full;
  if (buffers.always_gathered) {
    full = machine.view(buffers.param_full);
  } else {
    const auto free = evaluation_buffers(program, unit);
    const bool on_disk = free.host_stage.valid();
    auto shard = on_disk ? machine.view(free.host_stage) : machine.view(buffers.param_shard);
    if (on_disk) machine.disk->read(buffers.param_shard.buffer, 0, shard);
    if (free.stage.valid()) {
      memory::copy(shard, machine.view(free.stage), launch);
      shard = machine.view(free.stage);
    }
    full = machine.view(free.full);
    machine.communicator->all_gather(shard, full, launch);
  }
  std::vector<std::byte> host;
  if (machine.rank() == 0 && machine.device == Device::cuda) {
    host.resize(static_cast<std::size_t>(full.bytes().value));
    memory::copy(full, {host.data(), full.numel, full.dtype}, launch);
    full.data = host.data();
  }
  memory::synchronize(launch);
  machine.communicator->check();
  if (machine.rank() != 0) return;
  for (std::size_t i = 0; i < unit_layout.unit().params.size(); ++i) {
    sink(unit_layout.unit().params[i],
         full.slice(unit_layout.offset(i).value, unit_layout.numel(i).value));
  }
}

void Engine::export_params(const ParamSink& sink) {
  auto& self = *impl_;
  self.require(self.micro == 0 && !self.in_forward, "export_params inside a step");
  self.settle();
  self.executor->synchronize();
  for (std::size_t u = 0; u < self.layout.units.size(); ++u) {
    self.export_unit(static_cast<int>(u), sink);
  }
  // A rank that was aborted meanwhile, and may have sent anything, does not come here.
  if (self.machine.world() > 1) self.machine.communicator->barrier();
}

std::uint64_t hash_params(Engine& engine) {
  std::uint64_t hash = 1469598103934665603ULL;  // FNV-1a over 8-byte words
  engine.export_params([&hash](layout::ParamId /*id*/, const View& values) {
    const auto* bytes = static_cast<const std::byte*>(values.data);
    const auto count = values.bytes().value;
    for (std::int64_t i = 0; i < count; i += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes + i, static_cast<std::size_t>(std::min<std::int64_t>(8, count - i)));
      hash = (hash ^ word) * 1099511628211ULL;
      hash ^= hash >> 29;
    }
  });
  return hash;
}

}  // namespace zt::zero
