#pragma once

#include <optional>
#include <string>
#include <vector>

#include "schedule/schedule.h"

namespace zt::schedule {

/// A unit as the builder sees it.
struct UnitInfo {
  std::string name;
  Numel padded, shard;                ///< elements
  std::vector<Numel> bucket_lengths;  ///< per rank, in shard order
  bool keep_fp32 = false;             ///< parameters and wire are fp32 whatever the run computes in
};

/// What one forward of a layer takes, the stash of Keep::all with it.
struct ForwardSizes {
  Bytes output, stash, scratch;
  Bytes library;  ///< allocations inside ATen during the call
};

/// A layer as the builder sees it: sizes only.
struct LayerInfo {
  std::string name;
  std::vector<int> units;  ///< whose parameters it uses
  Bytes output;            ///< 0: the loss layer
  Bytes stash_all, stash_selective;
  Bytes forward_scratch;  ///< with the stash it is given
  Bytes backward_scratch_all, backward_scratch_selective;
  Bytes library;  ///< allocations inside ATen during one call
  bool gives_loss = false;
  bool backward_reads_params = true;
  double forward_flops = 0;
  std::optional<ForwardSizes> evaluation;  ///< absent: as in training
};

struct ModelInfo {
  std::vector<UnitInfo> units;
  std::vector<LayerInfo> layers;
};

/// One row of the residency table (DESIGN section 1), chosen once from the ZeRO stage and offload.
struct Residency {
  bool params_sharded = false, grads_sharded = false, states_sharded = false;
  Place param_place = Place::device, state_place = Place::device;
  ReduceAt reduce_at = ReduceAt::boundary;
  double host_ratio = 1;  ///< share of each unit's states that lies at `state_place`
  /// Elements of parameters that stay in host memory with `param_place` nvme.
  Numel param_in_host;
  int staged_units = 4;  ///< whose states are in host memory at once with `state_place` nvme
  /// Where reduced gradients wait between the micro-steps of a step, with states on the host and
  /// reduce_at micro_step.
  Place grad_place = Place::host;
};

struct BuildOptions {
  int world = 1;
  Residency residency;
  DType compute = DType::f32;
  DType grad_accum = DType::f32;
  DType wire = DType::f32;
  Reduce reduce = Reduce::ordered;
  Recompute recompute = Recompute::none;
  int micro_steps = 1;               ///< per step
  Numel prefetch{50'000'000};        ///< elements gathered ahead; 0: gather when needed
  Numel persistence_threshold{0};    ///< units not larger stay gathered
  Numel max_live{1'000'000'000};     ///< gathered elements at once (current layer always)
  bool activations_on_host = false;  ///< what waits for a backward pass does so on the host
  bool retain = false;  ///< gathered units stay across the micro-steps, within max_live
  /// What other streams than compute still use (the gradient and wires of a reduction, stages of a
  /// copy) keeps its memory over the next backward, or the next operation of a layer, so that this
  /// one need not wait for it.
  bool beside = false;
};

/// Builds the whole step: variants for the micro-steps, the boundary and evaluation; places every
/// buffer and derives the waits. Pure; the same inputs give the same program on every rank. Source:
/// ZeRO (Rajbhandari et al., 2020), section 5 (stages), section 7.2 (communication).
Program build(const ModelInfo& model, const BuildOptions& options);

}  // namespace zt::schedule
