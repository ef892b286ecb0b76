#pragma once

#include <string>
#include <vector>

#include "memory/view.h"
#include "schedule/arena_peak.h"
#include "schedule/build.h"

namespace zt::plan {

/// Memory of one rank, known before step 1.
struct MemoryReport {
  schedule::ArenaPeak device, host;
  Bytes library;                ///< most that ATen allocates by itself during one call
  std::string library_layer;    ///< whose call that is
  Bytes context, communicator;  ///< see device_costs.h
  Bytes on_disk;                ///< optimizer states and parameters with offload to nvme

  [[nodiscard]] Bytes device_total() const {
    return device.arena + library + context + communicator;
  }
  [[nodiscard]] Bytes host_total() const { return host.arena; }
};

/// Walks every variant with sizes instead of tensors.
MemoryReport measure(const schedule::Program& program, const schedule::ModelInfo& model,
                     Device device, int world);

/// Work of one rank in one step.
struct StepCosts {
  Bytes sent;        ///< to other ranks: gathers, reductions, publications
  Bytes host_link;   ///< between device and host, both ways
  Bytes disk_link;   ///< between host and disk, both ways
  double flops = 0;  ///< forward, recomputation and backward (twice a forward); 2 per multiply-add
};

/// How often a step runs a variant.
std::int64_t runs_per_step(schedule::VariantKind kind, int micro_steps);
/// What one operation moves between device and host, or between host and disk; 0 for all others.
Bytes host_link_bytes(const schedule::Program& program, const schedule::Operation& op);
Bytes disk_link_bytes(const schedule::Program& program, const schedule::Operation& op);
/// What the host's optimizer reads and writes in one operation; 0 for all others.
Bytes optimizer_bytes(const schedule::Program& program, const schedule::Operation& op);
/// FLOPs of a layer's forward, recomputation or backward; the loss layer's forward runs inside of
/// its backward. 0 for all others. `forward_flops`: by layer, the loss layer last.
double operation_flops(const schedule::Operation& op, const std::vector<double>& forward_flops);
std::vector<double> forward_flops_of(const schedule::ModelInfo& model);

StepCosts step_costs(const schedule::Program& program, const schedule::ModelInfo& model, int world,
                     int micro_steps);

/// The report as text: totals, then kinds and the largest items of each arena at its peak.
std::string print(const MemoryReport& report);

}  // namespace zt::plan
