#pragma once

#include <vector>

#include "schedule/build.h"

namespace zt::schedule {

/// Emits the operations of a program; an implementation detail of `build`.
class Builder {
 public:
  Builder(const ModelInfo& model, const BuildOptions& options);
  Program run() &&;

 private:
  // builder_buffers.cpp: what lives for the run or for a step
  void add_unit_buffers(int unit);
  void add_grad_buffers(int unit, UnitBuffers& buffers);
  void add_state_buffers(int unit, UnitBuffers& buffers);
  [[nodiscard]] Place param_place(int unit) const;
  void add_part(int unit, UnitBuffers& buffers, Place where, Numel begin, Numel numel);
  BufferId add_buffer(BufferKind kind, int index, Numel numel, DType dtype, Lifetime lifetime,
                      Place where = Place::device);

  // builder_micro.cpp, builder_params.cpp: one micro-step, or evaluation
  struct Use {  ///< one compute operation of a variant, in order
    OpKind kind;
    int layer;
    std::vector<int> units;  ///< whose parameters it reads
  };
  struct MicroState;
  void build_micro(VariantKind kind);
  std::vector<Use> uses(bool training) const;
  void gather(MicroState& state, int unit);
  void load(MicroState& state, int unit);
  void fetch(MicroState& state, int unit);
  void emit_fetch(MicroState& state, int unit, BufferId target);
  BufferId param_stage(int unit, Place place);
  void fetch_grads_ahead(MicroState& state, std::size_t position);
  void gather_ahead(MicroState& state, std::size_t position);
  /// `beyond`: the first unit that is left out; unchanged when there is none.
  std::vector<int> units_ahead(const MicroState& state, std::size_t position, int& beyond) const;
  [[nodiscard]] bool is_offloaded(int unit) const;
  /// True while the host may still be updating the unit's parameters.
  [[nodiscard]] bool is_updated_now(const MicroState& state, int unit) const;
  void release_after(MicroState& state, std::size_t position);
  /// A new micro buffer of the operation's layer that it writes and starts, and ends when `ends`.
  BufferId start_bytes(Operation& op, BufferKind kind, Bytes bytes, bool ends);
  /// What the last emitted operation ends stays until `position`, an index of uses, is issued.
  void hold(MicroState& state, std::size_t position) const;
  /// The same until the next backward, or the end of the list.
  void hold_over_backward(MicroState& state) const;
  static void let_go(MicroState& state);         ///< ends what was held until here
  void send_away(MicroState& state, int layer);  // builder_activations.cpp
  void bring_back(MicroState& state, std::size_t position);
  void emit_forward(MicroState& state, const Use& use);
  void emit_recompute(MicroState& state, int layer);
  void emit_backward(MicroState& state, int layer);
  void add_param_reads(MicroState& state, const std::vector<int>& units, Operation& op) const;
  BufferId grad_buffer(MicroState& state, int unit, Operation& op);
  void emit_reduce(MicroState& state, int unit);
  void emit_buckets(MicroState& state, int unit, BufferId target);
  void emit_download(MicroState& state, int unit, BufferId source);

  // builder_boundary.cpp
  void build_boundary();
  void build_settle();
  void emit_norms(MicroState& state);
  void emit_norm(std::vector<Operation>& out, int unit, Stream stream, BufferId grad);
  void emit_clip(std::vector<Operation>& out);
  void emit_step(std::vector<Operation>& out, int unit);
  void emit_part(std::vector<Operation>& out, int unit, StatePart& part);
  void emit_move(std::vector<Operation>& out, int unit, const StatePart& part);
  void emit_states(std::vector<Operation>& out, int unit, OpKind kind);
  BufferId emit_gather_grad(std::vector<Operation>& out, int unit);
  void emit_publish(std::vector<Operation>& out, int unit);
  [[nodiscard]] std::vector<int> units_by_first_use() const;

  [[nodiscard]] const UnitInfo& unit_info(int unit) const;
  [[nodiscard]] DType compute_of(int unit) const {
    return unit_info(unit).keep_fp32 ? DType::f32 : options_.compute;
  }
  [[nodiscard]] DType wire_of(int unit) const {
    return unit_info(unit).keep_fp32 ? DType::f32 : options_.wire;
  }
  [[nodiscard]] const LayerInfo& layer_info(int layer) const;
  [[nodiscard]] int num_units() const { return static_cast<int>(model_.units.size()); }
  [[nodiscard]] int num_layers() const { return static_cast<int>(model_.layers.size()); }
  [[nodiscard]] UnitBuffers& unit(int index) {
    return program_.units.at(static_cast<std::size_t>(index));
  }
  [[nodiscard]] bool host_optimizer() const {
    return options_.residency.state_place != Place::device;
  }
  /// Elements of what a rank updates of a unit whose states are on the device.
  [[nodiscard]] Numel device_states(int unit) const;
  /// True when the unit's parameters are gathered for good and other ranks update parts of them.
  [[nodiscard]] bool needs_publish(int unit) const;
  /// Those of the first two layers, which nothing would hide: at the boundary, beside the rest of
  /// the device's optimizer.
  [[nodiscard]] bool publishes_early(int unit) const;
  /// True when reduced gradients go to the host after each micro-step and come back.
  [[nodiscard]] bool grads_wait_on_host() const {
    return host_optimizer() && reduce_each_micro_step() &&
           options_.residency.grad_place == Place::host;
  }
  [[nodiscard]] bool reduce_each_micro_step() const {
    return options_.residency.reduce_at == ReduceAt::micro_step;
  }

  const ModelInfo& model_;
  const BuildOptions& options_;
  Program program_;
};

}  // namespace zt::schedule
