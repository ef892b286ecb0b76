#include "zero/state_io.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cast/cast.h"
#include "zero/engine_impl.h"

namespace zt::zero {
namespace {

using layout::StateKind;

/// Elements read and stored at once: 16 MiB of fp32.
constexpr std::int64_t kPiece = 4 << 20;

const layout::UnitLayout& unit_layout(const Machine& machine, int unit) {
  return machine.layout->units.at(static_cast<std::size_t>(unit));
}

Place place_of(const Machine& machine, const schedule::Ref& ref) {
  return machine.program->buffer(ref.buffer).where;
}

/// Elements [begin, end) of a unit, of something that begins at `first` of it.
View cut(const View& view, std::int64_t first, std::int64_t begin, std::int64_t end) {
  return view.slice(begin - first, end - begin);
}

/// Fills `values` with elements from `begin` of a unit's flat buffer; padding becomes 0.
void read_range(const Machine& machine, int unit, std::int64_t begin, StateKind kind,
                const StateReader& reader, std::span<float> values) {
  const auto& layout = unit_layout(machine, unit);
  const auto end = begin + static_cast<std::int64_t>(values.size());
  std::fill(values.begin(), values.end(), 0.0F);
  for (std::size_t i = 0; i < layout.unit().params.size(); ++i) {
    const auto first = layout.offset(i).value;
    const auto from = std::max(begin, first);
    const auto to = std::min(end, first + layout.numel(i).value);
    if (from >= to) continue;
    reader.read(kind, layout.unit().params[i], from - first,
                values.subspan(static_cast<std::size_t>(from - begin),
                               static_cast<std::size_t>(to - from)));
  }
}

View host_view(std::span<float> values) {
  return {values.data(), static_cast<std::int64_t>(values.size()), DType::f32};
}

/// fp32 host values into planned memory of any dtype and place. `staging`: of a piece, for GPUs.
void store(std::span<float> values, const View& to, Place place, const Machine& machine,
           const memory::Arena& staging, const Launch& launch) {
  if (machine.device == Device::cpu || place == Place::host) {
    kernels::cast(host_view(values), to, Launch{});
    return;
  }
  const View stage{staging.at({0}), to.numel, to.dtype};
  kernels::cast(host_view(values), stage, Launch{});
  memory::copy(stage, to, launch);
  memory::synchronize(launch);
}

/// Counts values of `weights` that round to other bits than `masters`.
void compare_rounded(const Machine& machine, int unit, std::optional<DType> rounded_to,
                     std::span<float> masters, std::span<float> weights, LoadedState& loaded) {
  const auto dtype = unit_layout(machine, unit).keep_fp32()
                         ? DType::f32
                         : rounded_to.value_or(machine.options->precision.compute);
  const auto size = static_cast<std::size_t>(size_of(dtype).value);
  std::vector<std::byte> expected(masters.size() * size), got(masters.size() * size);
  const auto count = static_cast<std::int64_t>(masters.size());
  kernels::cast(host_view(masters), {expected.data(), count, dtype}, Launch{});
  kernels::cast(host_view(weights), {got.data(), count, dtype}, Launch{});
  if (expected == got) return;
  if (loaded.first_differing.empty()) {
    loaded.first_differing = unit_layout(machine, unit).unit().name;
  }
  for (std::size_t i = 0; i < expected.size(); i += size) {
    if (std::memcmp(&expected[i], &got[i], size) != 0) ++loaded.differing_weights;
  }
}

std::int64_t elements_at_once(const Machine& machine) {
  return machine.disk ? round_up(kPiece, machine.disk->grain()) : kPiece;
}

/// One unit being filled: `first` is where in its flat order that begins which the rank updates.
struct UnitLoad {
  const Machine& machine;
  int unit;
  const StateReader& reader;
  const memory::Arena& staging;
  const Launch& launch;
  std::int64_t first;

  void put(const schedule::Ref& ref, const schedule::StatePart& part, std::int64_t at,
           std::span<float> values) const {
    if (place_of(machine, ref) == Place::nvme) return put_on_disk(ref, at, values);
    const auto to = machine.view(ref, part).slice(at, static_cast<std::int64_t>(values.size()));
    store(values, to, place_of(machine, ref), machine, staging, launch);
  }
  /// Zeros, which need no way through the host. `values`: so many, overwritten.
  void put_zeros(const schedule::Ref& ref, const schedule::StatePart& part, std::int64_t at,
                 std::span<float> values) const {
    const auto place = place_of(machine, ref);
    if (place == Place::nvme) {
      std::fill(values.begin(), values.end(), 0.0F);
      return put_on_disk(ref, at, values);
    }
    const auto to = machine.view(ref, part).slice(at, static_cast<std::int64_t>(values.size()));
    kernels::fill_zero(to, place == Place::host ? Launch{} : launch);
  }
  void put_on_disk(const schedule::Ref& ref, std::int64_t at, std::span<float> values) const {
    const auto dtype = machine.program->buffer(ref.buffer).dtype;
    const auto count = static_cast<std::int64_t>(values.size());
    std::vector<std::byte> staged(static_cast<std::size_t>(storage({count}, dtype).value));
    const View stage{staged.data(), count, dtype};
    kernels::cast(host_view(values), stage, Launch{});
    machine.disk->write(ref.buffer, at, stage);
  }
  void read(StateKind kind, const schedule::StatePart& part, std::int64_t at,
            std::span<float> values) const {
    read_range(machine, unit, first + part.begin.value + at, kind, reader, values);
  }
  /// Where something stays: on disk, if the optimizer's place for it is only for the while.
  [[nodiscard]] schedule::Ref kept(const schedule::Ref& ref, const schedule::Ref& disk) const {
    const auto lifetime = machine.program->buffer(ref.buffer).lifetime;
    return lifetime == schedule::Lifetime::micro ? disk : ref;
  }
  /// Everything that holds the part's weights: a step that is left out moves them as they are.
  [[nodiscard]] std::vector<schedule::Ref> weights(const schedule::StatePart& part) const {
    const auto& buffers = machine.program->units.at(static_cast<std::size_t>(unit));
    const bool full = machine.updates_all(unit) && buffers.always_gathered;
    std::vector<schedule::Ref> result;
    for (const auto& ref : {kept(part.master, part.disk_master), kept(part.param, part.disk_master),
                            full ? buffers.param_full : buffers.param_shard}) {
      const bool known = std::any_of(result.begin(), result.end(),
                                     [&](const auto& other) { return other.buffer == ref.buffer; });
      if (!known) result.push_back(ref);
    }
    return result;
  }
};

/// Elements of one part of the states, from `at` of the part.
void load_piece(const UnitLoad& load, const schedule::StatePart& part, std::int64_t at,
                std::span<float> values, LoadedState& loaded) {
  const bool masters = load.reader.has(StateKind::master);
  load.read(masters ? StateKind::master : StateKind::weight, part, at, values);
  for (const auto& ref : load.weights(part)) load.put(ref, part, at, values);
  if (masters && load.reader.has(StateKind::weight)) {
    std::vector<float> weights(values.size());
    load.read(StateKind::weight, part, at, weights);
    compare_rounded(load.machine, load.unit, load.reader.weight_dtype, values, weights, loaded);
  }
  const std::pair<StateKind, schedule::Ref> moments[] = {
      {StateKind::exp_avg, load.kept(part.exp_avg, part.disk_exp_avg)},
      {StateKind::exp_avg_sq, load.kept(part.exp_avg_sq, part.disk_exp_avg_sq)}};
  for (const auto& [kind, ref] : moments) {
    if (!load.reader.has(kind)) {
      load.put_zeros(ref, part, at, values);
      continue;
    }
    load.read(kind, part, at, values);
    load.put(ref, part, at, values);
  }
}

/// Streams `view` of device memory through `stage`, piece by piece.
void stream_slice(const layout::StateSlice& slice, const View& view, const View& stage,
                  const Launch& launch, const StateSink& sink) {
  const auto piece = stage.bytes().value / size_of(view.dtype).value;
  for (std::int64_t at = 0; at < view.numel; at += piece) {
    const auto count = std::min(piece, view.numel - at);
    const View host{stage.data, count, view.dtype};
    memory::copy(view.slice(at, count), host, launch);
    memory::synchronize(launch);
    sink({slice.kind, slice.param, slice.begin + at, {count}}, host);
  }
}

}  // namespace

std::vector<ShardState> owned_state(const Machine& machine) {
  std::vector<ShardState> result;
  const bool masters = machine.options->precision.compute != DType::f32;
  for (std::size_t u = 0; u < machine.program->units.size(); ++u) {
    const auto& buffers = machine.program->units[u];
    const auto unit = static_cast<int>(u);
    const auto shard = unit_layout(machine, unit).shard().value;
    const auto own = machine.rank() * shard;  // the rank's shard begins here
    const auto first = machine.first_updated(unit);
    for (const auto& part : buffers.parts) {
      const auto from = first + part.begin.value;  // what the rank updates may be the whole unit
      const auto begin = std::max(from, own);
      const auto end = std::min(from + part.numel.value, own + shard);
      const auto add = [&](StateKind kind, const schedule::Ref& ref, const schedule::Ref& disk) {
        const auto& in = disk.buffer.valid() ? disk : ref;
        const auto& buffer = machine.program->buffer(in.buffer);
        if (buffer.where == Place::nvme) {
          const View values{nullptr, end - begin, buffer.dtype};
          result.push_back({unit, kind, values, Place::nvme, begin - own, in.buffer});
        } else {
          const bool weight = kind == StateKind::weight && masters;
          const auto view = weight ? cut(machine.view(ref), own, begin, end)
                                   : cut(machine.view(ref, part), from, begin, end);
          result.push_back({unit, kind, view, buffer.where, begin - own, {}});
        }
      };
      if (masters) {
        add(StateKind::weight, buffers.param_shard, {});
        add(StateKind::master, part.master, part.disk_master);
      } else {  // the optimizer's copy, which offload keeps elsewhere, equals the weight
        add(StateKind::weight, part.master, part.disk_master);
      }
      add(StateKind::exp_avg, part.exp_avg, part.disk_exp_avg);
      add(StateKind::exp_avg_sq, part.exp_avg_sq, part.disk_exp_avg_sq);
    }
  }
  return result;
}

void visit_slices(const Machine& machine, const ShardState& state, const View& values,
                  const StateSink& sink) {
  for (const auto& part : unit_layout(machine, state.unit).slices(machine.rank())) {
    const auto first = part.shard_begin.value;
    const auto begin = std::max(first, state.begin);
    const auto end = std::min(first + part.length.value, state.begin + values.numel);
    if (begin >= end) continue;
    sink({state.kind, part.param, part.param_begin + (begin - first), {end - begin}},
         cut(values, state.begin, begin, end));
  }
}

void stream_disk(const Machine& machine, const ShardState& state, const StateSink& sink,
                 void (Disk::*read)(schedule::BufferId, std::int64_t, const View&)) {
  const auto piece = round_up(kPiece, machine.disk->grain());
  std::vector<std::byte> staged(static_cast<std::size_t>(
      storage({std::min(piece, state.shard.numel)}, state.shard.dtype).value));
  for (std::int64_t at = 0; at < state.shard.numel; at += piece) {
    const View values{staged.data(), std::min(piece, state.shard.numel - at), state.shard.dtype};
    (machine.disk.get()->*read)(state.disk, at, values);
    auto window = state;
    window.shard = values;
    window.begin += at;
    visit_slices(machine, window, values, sink);
  }
}

void stream_state(const Machine& machine, const Launch& launch, const StateSink& sink) {
  constexpr Bytes kStage{64 << 20};
  std::unique_ptr<memory::Arena> stage;
  for (const auto& state : owned_state(machine)) {
    if (state.where == Place::nvme) {
      stream_disk(machine, state, sink, &Disk::read);
      continue;
    }
    if (machine.device == Device::cpu || state.where == Place::host) {
      visit_slices(machine, state, state.shard, sink);
      continue;
    }
    if (!stage) stage = std::make_unique<memory::Arena>(Place::host, machine.device, kStage);
    const View buffer{stage->at({0}), kStage.value, DType::u8};
    visit_slices(machine, state, state.shard,
                 [&](const layout::StateSlice& slice, const View& values) {
                   stream_slice(slice, values, buffer, launch, sink);
                 });
  }
}

void load_unit_state(const Machine& machine, int unit, const StateReader& reader,
                     const memory::Arena& staging, const Launch& launch, LoadedState& loaded) {
  const auto& buffers = machine.program->units.at(static_cast<std::size_t>(unit));
  const UnitLoad load{machine, unit, reader, staging, launch, machine.first_updated(unit)};
  std::vector<float> values;
  const auto piece = elements_at_once(machine);
  for (const auto& part : buffers.parts) {
    for (std::int64_t at = 0; at < part.numel.value; at += piece) {
      values.resize(static_cast<std::size_t>(std::min(piece, part.numel.value - at)));
      load_piece(load, part, at, values, loaded);
    }
  }
  if (!machine.updates_all(unit) && buffers.always_gathered) {
    machine.communicator->all_gather(machine.view(buffers.param_shard),
                                     machine.view(buffers.param_full), launch);
  }
  memory::synchronize(launch);
}

LoadedState Engine::load_state(const StateReader& reader, std::int64_t applied_steps) {
  auto& self = *impl_;
  self.require(self.micro == 0 && !self.in_forward, "load_state inside a step");
  self.executor->synchronize();
  self.wait_for_snapshot();
  LoadedState loaded;
  loaded.moments = reader.has(StateKind::exp_avg) && reader.has(StateKind::exp_avg_sq);
  const auto launch = self.executor->queues().compute();
  const bool on_gpu = self.machine.device == Device::cuda;
  const memory::Arena staging(
      Place::host, self.machine.device,
      on_gpu ? storage({elements_at_once(self.machine)}, DType::f32) : Bytes{},
      {.pinned = self.options.zero.pin_memory, .pool = nullptr, .ranges = {}});
  for (std::size_t u = 0; u < self.layout.units.size(); ++u) {
    load_unit_state(self.machine, static_cast<int>(u), reader, staging, launch, loaded);
  }
  self.applied = applied_steps;
  self.loaded = true;
  self.unpublished = false;
  return loaded;
}

void Engine::load_params(const ParamSource& source) {
  StateReader reader;
  reader.has = [](StateKind kind) { return kind == StateKind::weight; };
  reader.read = [&source](StateKind /*kind*/, layout::ParamId id, std::int64_t begin,
                          std::span<float> values) { source(id, begin, values); };
  (void)load_state(reader, 0);
}

void Engine::export_state(const StateSink& sink) {
  auto& self = *impl_;
  self.require(self.micro == 0 && !self.in_forward, "export_state inside a step");
  self.executor->synchronize();
  stream_state(self.machine, self.executor->queues().compute(), sink);
}

}  // namespace zt::zero
