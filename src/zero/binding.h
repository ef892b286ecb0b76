#pragma once

#include <memory>
#include <vector>

#include "comm/communicator.h"
#include "kernels/adamw/adamw.h"
#include "memory/arena.h"
#include "memory/host_pool.h"
#include "memory/queues.h"
#include "schedule/schedule.h"
#include "zero/disk.h"
#include "zero/engine.h"

namespace zt::zero {

/// What changes from step to step; bound operations read it when they run. What a captured launch
/// needs is in device memory beside it (Scalars).
struct StepState {
  layer::Context context;
  /// On CUDA the three tensors of ids stay, their values change.
  layer::Batch batch, eval_batch;
};

/// Everything an operation may touch. The pieces outlive the bound operations.
struct Machine {
  const ModelParts* model = nullptr;
  const layout::ModelLayout* layout = nullptr;
  const EngineOptions* options = nullptr;
  const schedule::Program* program = nullptr;
  comm::Communicator* communicator = nullptr;
  Device device = Device::cpu;
  int device_index = 0;
  int local_world = 1;                       ///< ranks that share the host
  comm::PositionWriter* position = nullptr;  ///< may be null
  std::unique_ptr<memory::HostPool> pool;    ///< of the host's optimizer beside a GPU; else null
  std::unique_ptr<memory::Arena> device_arena, host_arena;
  std::unique_ptr<Disk> disk;  ///< null: nothing lies there

  [[nodiscard]] int rank() const { return communicator->rank(); }
  [[nodiscard]] int world() const { return communicator->world(); }
  /// The memory of a whole buffer, or of the rank's own slice of it.
  [[nodiscard]] View view(schedule::BufferId id) const;
  [[nodiscard]] View view(const schedule::Ref& ref) const;
  /// The part's elements of something that holds the part, or all of which it is a part.
  [[nodiscard]] View view(const schedule::Ref& ref, const schedule::StatePart& part) const;
  /// True when every rank updates the whole unit.
  [[nodiscard]] bool updates_all(int unit) const;
  /// Where in the unit that begins which this rank updates.
  [[nodiscard]] std::int64_t first_updated(int unit) const;
  /// A tensor over planned memory.
  [[nodiscard]] at::Tensor tensor(void* data, const std::vector<std::int64_t>& shape,
                                  DType dtype) const;
};

/// Views of the scalars buffer (fp64).
struct Scalars {
  double* base = nullptr;
  int world = 1;
  int units = 1;
  [[nodiscard]] double* partials(int rank) const {
    return base + static_cast<std::ptrdiff_t>(rank) * units;
  }
  [[nodiscard]] double* losses() const { return partials(world); }
  [[nodiscard]] double* result() const { return losses() + world; }  ///< norm, factor
  [[nodiscard]] float* grad_factor() const { return reinterpret_cast<float*>(result() + 2); }
  [[nodiscard]] double* evaluation_loss() const { return result() + 3; }
  /// 1 / the loss scale that the gradients of the step carry.
  [[nodiscard]] double* inverse_scale() const { return result() + 4; }
  /// What launches of a step read when they run: AdamW's scalars without and with weight decay
  /// (kAdamWScalarBytes each), then the loss scale.
  [[nodiscard]] View adamw(bool decay) const {
    return {constants() + (decay ? 5 : 0), kernels::kAdamWScalarBytes, DType::u8};
  }
  [[nodiscard]] View loss_scale() const { return {constants() + 10, 1, DType::f32}; }
  [[nodiscard]] double* votes() const { return constants() + 12; }  ///< [world]
  [[nodiscard]] double* constants() const { return result() + 5; }
};
Scalars scalars_of(const Machine& machine, schedule::BufferId id);

/// A view of fp64 values; View has no fp64, kernels that take such views say so.
View double_view(double* data, std::int64_t count);

/// Turns each operation of a variant into a call with all its views resolved.
std::vector<memory::Queues::Work> bind(const Machine& machine, const schedule::Variant& variant,
                                       StepState& state);

}  // namespace zt::zero
