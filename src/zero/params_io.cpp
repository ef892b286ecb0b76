#include <cstring>

#include "kernels/cast/cast.h"
#include "zero/engine_impl.h"

namespace zt::zero {
namespace {

/// Reads elements [begin, begin + values.size()) of a unit's flat buffer; padding stays 0.
void read_range(const layout::ModelLayout& layout, int unit, std::int64_t begin,
                std::vector<float>& values, const ParamSource& source) {
  const auto& unit_layout = layout.units.at(static_cast<std::size_t>(unit));
  const auto end = begin + static_cast<std::int64_t>(values.size());
  for (std::size_t i = 0; i < unit_layout.unit().params.size(); ++i) {
    const auto first = unit_layout.offset(i).value;
    const auto last = first + unit_layout.numel(i).value;
    const auto from = std::max(begin, first);
    const auto to = std::min(end, last);
    if (from >= to) continue;
    source(unit_layout.unit().params[i], from - first,
           std::span(values).subspan(static_cast<std::size_t>(from - begin),
                                     static_cast<std::size_t>(to - from)));
  }
}

/// Where evaluation gathers a unit; between steps nothing else lives there.
struct GatherBuffers {
  schedule::BufferId full, stage;
};

GatherBuffers evaluation_buffers(const schedule::Program& program, int unit) {
  GatherBuffers result;
  for (const auto& op : program.variant(schedule::VariantKind::evaluation).operations) {
    if (op.unit != unit) continue;
    if (op.kind == schedule::OpKind::fetch) result.stage = op.writes.front();
    if (op.kind == schedule::OpKind::gather) result.full = op.writes.front();
  }
  ZT_ASSERT(result.full.valid(), "evaluation gathers every unit that is not always gathered");
  return result;
}

/// fp32 host values into a planned buffer of any dtype and place.
void store(const std::vector<float>& values, const View& to, Place place, Device device,
           const Launch& launch) {
  const View from{const_cast<float*>(values.data()), static_cast<std::int64_t>(values.size()),
                  DType::f32};
  const bool on_gpu = device == Device::cuda && place == Place::device;
  if (!on_gpu) {
    kernels::cast(from, to, Launch{});
    return;
  }
  std::vector<std::byte> staged(static_cast<std::size_t>(to.bytes().value));
  const View stage{staged.data(), to.numel, to.dtype};
  kernels::cast(from, stage, Launch{});
  memory::copy(stage, to, launch);
  memory::synchronize(launch);
}

}  // namespace

void Engine::Impl::load_unit(int unit, const ParamSource& source) {
  const auto& buffers = program.units.at(static_cast<std::size_t>(unit));
  const auto master = machine.view(buffers.master);
  const bool whole = master.numel == layout.units.at(static_cast<std::size_t>(unit)).padded().value;
  const auto begin = whole ? 0 : machine.rank() * master.numel;
  std::vector<float> values(static_cast<std::size_t>(master.numel), 0.0F);
  read_range(layout, unit, begin, values, source);
  const auto launch = executor->queues().compute();
  const auto put = [&](const schedule::Ref& ref) {
    store(values, machine.view(ref), program.buffer(ref.buffer).where, machine.device, launch);
  };
  put(buffers.master);
  const auto param = whole && buffers.always_gathered ? buffers.param_full : buffers.param_shard;
  if (param.buffer != buffers.master.buffer) put(param);
  for (const auto& moment : {buffers.exp_avg, buffers.exp_avg_sq}) {
    const bool host = program.buffer(moment.buffer).where == Place::host;
    kernels::fill_zero(machine.view(moment), host ? Launch{} : launch);
  }
  if (!whole && buffers.always_gathered) {
    machine.communicator->all_gather(machine.view(buffers.param_shard),
                                     machine.view(buffers.param_full), launch);
  }
  memory::synchronize(launch);
}

void Engine::Impl::export_unit(int unit, const ParamSink& sink) {
  const auto& buffers = program.units.at(static_cast<std::size_t>(unit));
  const auto& unit_layout = layout.units.at(static_cast<std::size_t>(unit));
  const auto launch = executor->queues().compute();
  View full;
  if (buffers.always_gathered) {
    full = machine.view(buffers.param_full);
  } else {
    auto shard = machine.view(buffers.param_shard);
    const auto free = evaluation_buffers(program, unit);
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
  if (machine.rank() != 0) return;
  for (std::size_t i = 0; i < unit_layout.unit().params.size(); ++i) {
    sink(unit_layout.unit().params[i],
         full.slice(unit_layout.offset(i).value, unit_layout.numel(i).value));
  }
}

void Engine::load_params(const ParamSource& source) {
  auto& self = *impl_;
  self.require(self.micro == 0 && !self.in_forward, "load_params inside a step");
  self.executor->synchronize();
  for (std::size_t u = 0; u < self.layout.units.size(); ++u) {
    self.load_unit(static_cast<int>(u), source);
  }
  self.applied = 0;
}

void Engine::export_params(const ParamSink& sink) {
  auto& self = *impl_;
  self.require(self.micro == 0 && !self.in_forward, "export_params inside a step");
  self.executor->synchronize();
  for (std::size_t u = 0; u < self.layout.units.size(); ++u) {
    self.export_unit(static_cast<int>(u), sink);
  }
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
