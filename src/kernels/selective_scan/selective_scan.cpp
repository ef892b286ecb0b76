#include "kernels/selective_scan/selective_scan.h"

#include "kernels/selective_scan/selective_scan_impl.h"

namespace zt::kernels {
namespace {

bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

void check(const TokenMatrix& operand, std::int64_t tokens, std::int64_t columns, DType dtype) {
  ZT_ASSERT(operand.holds(tokens, columns) && operand.view.dtype == dtype,
            "selective_scan operand of a wrong size or dtype");
}
void check_optional(const TokenMatrix& operand, std::int64_t tokens, std::int64_t columns,
                    DType dtype) {
  if (!operand.empty()) check(operand, tokens, columns, dtype);
}
void check_parameter(const View& view, std::int64_t numel) {
  ZT_ASSERT(view.numel == numel && is_float(view.dtype),
            "selective_scan parameter of a wrong size or dtype");
}
void check_optional_parameter(const View& view, std::int64_t numel) {
  if (view.numel > 0) check_parameter(view, numel);
}
void check_fp32(const View& view, std::int64_t numel) {
  if (view.numel > 0) {
    ZT_ASSERT(view.numel >= numel && view.dtype == DType::f32,
              "selective_scan state or workspace is too small or not fp32");
  }
}

void check_inputs(const ScanInputs& in, const ScanShape& shape) {
  ZT_ASSERT(shape.states >= 1 && shape.states <= kScanMaxStates,
            "selective_scan takes 1 to 64 states");
  const auto tokens = shape.batch * shape.sequence;
  const DType dtype = in.u.view.dtype;
  check(in.u, tokens, shape.channels, dtype);
  check(in.delta, tokens, shape.channels, dtype);
  check(in.b, tokens, shape.states, dtype);
  check(in.c, tokens, shape.states, dtype);
  check_optional(in.z, tokens, shape.channels, dtype);
  check_parameter(in.a_log, shape.channels * shape.states);
  check_parameter(in.skip, shape.channels);
  check_optional_parameter(in.delta_bias, shape.channels);
  if (in.positions.numel > 0) {
    ZT_ASSERT(in.positions.numel == tokens && in.positions.dtype == DType::i64,
              "selective_scan positions are int64, one per token");
  }
}

bool is_empty(const ScanShape& shape) {
  return shape.batch == 0 || shape.sequence == 0 || shape.channels == 0;
}

/// Units of time that blocks take per token, by the number of them on each multiprocessor of a GPU
/// with 132: of the forward (4 at a time) and of the backward (2 at a time), with what the segments
/// add. Measured on an H200.
std::int64_t time_per_token(std::int64_t blocks) {
  constexpr std::int64_t kProcessors = 132;
  constexpr std::int64_t kForward[] = {0, 40, 45, 53, 60}, kBackward[] = {0, 57, 75};
  const auto each = (blocks + kProcessors - 1) / kProcessors;
  return each / 4 * kForward[4] + kForward[each % 4] + each / 2 * kBackward[2] +
         kBackward[each % 2];
}

/// Chunks of a segment: all of them where rows and channels alone fill a GPU or the sequence is
/// short, else the number that takes the least time.
std::int64_t segment_chunks(std::int64_t blocks, std::int64_t chunks) {
  constexpr std::int64_t kFull = 198, kShortest = 4, kMost = 128, kMostBlocks = 2112;
  if (blocks == 0 || blocks >= kFull || chunks < kShortest) return chunks;
  std::int64_t best = chunks, least = 0;
  for (std::int64_t parts = std::min({chunks, kMost, kMostBlocks / blocks}); parts > 1; --parts) {
    const auto length = (chunks + parts - 1) / parts;
    const auto segments = (chunks + length - 1) / length;
    // A quarter of a chunk to begin; each segment's states are written and read a few times.
    const auto time = (4 * length + 1) * time_per_token(blocks * segments) + segments * blocks / 16;
    if (least == 0 || time <= least) {
      least = time;
      best = length;
    }
  }
  return best;
}

}  // namespace

ScanPlan scan_plan(const ScanShape& shape) {
  constexpr std::int64_t kBlockLanes = 256;
  ScanPlan plan;
  plan.lanes = shape.states <= 16 ? 4 : 8;
  plan.block_channels = kBlockLanes / plan.lanes;
  plan.blocks = (shape.channels + plan.block_channels - 1) / plan.block_channels;
  plan.chunks = (shape.sequence + kScanChunk - 1) / kScanChunk;
  plan.segment_chunks = segment_chunks(shape.batch * plan.blocks, plan.chunks);
  if (plan.chunks > 0) {
    plan.segments = (plan.chunks + plan.segment_chunks - 1) / plan.segment_chunks;
  }
  return plan;
}

ScanScratch scan_scratch(const ScanShape& shape) {
  const ScanPlan plan = scan_plan(shape);
  const auto rows = shape.batch * plan.segments;
  ScanScratch at;
  at.channel_sums = plan.blocks * shape.batch * shape.sequence * 2 * shape.states;
  at.carries = at.channel_sums + rows * shape.channels * (shape.states + 2);
  const bool carried = plan.segments > 1;
  at.steps = at.carries + (carried ? rows * shape.channels * shape.states : 0);
  at.total = at.steps + (carried ? rows * shape.channels : 0);
  return at;
}

std::int64_t scan_states(const ScanShape& shape) {
  return shape.batch * scan_plan(shape).chunks * shape.channels * shape.states;
}

std::int64_t scan_forward_workspace(const ScanShape& shape) {
  const ScanPlan plan = scan_plan(shape);
  const auto rows = plan.segments > 1 ? shape.batch * plan.segments : 0;
  return rows * shape.channels * (shape.states + 1);
}

std::int64_t scan_backward_workspace(const ScanShape& shape) { return scan_scratch(shape).total; }

void selective_scan_forward(const ScanForward& io, const ScanShape& shape, const Launch& launch) {
  check_inputs(io.in, shape);
  check(io.y, shape.batch * shape.sequence, shape.channels, io.in.u.view.dtype);
  check_fp32(io.states, scan_states(shape));
  const auto row_states = shape.batch * shape.channels * shape.states;
  check_fp32(io.initial_state, row_states);
  check_fp32(io.final_state, row_states);
  const auto workspace = scan_forward_workspace(shape);
  ZT_ASSERT(io.workspace.numel >= workspace, "selective_scan workspace is too small");
  check_fp32(io.workspace, workspace);
  if (is_empty(shape)) return;
  switch (launch.device) {
    case Device::cpu:
      return selective_scan_forward_cpu(io, shape);
    case Device::cuda:
      return selective_scan_forward_cuda(io, shape, launch.stream);
  }
}

void selective_scan_backward(const ScanBackward& io, const ScanShape& shape, const Launch& launch) {
  check_inputs(io.in, shape);
  const auto tokens = shape.batch * shape.sequence;
  const DType dtype = io.in.u.view.dtype;
  check(io.grad_y, tokens, shape.channels, dtype);
  check_optional(io.y, tokens, shape.channels, dtype);
  check(io.grads.u, tokens, shape.channels, dtype);
  check(io.grads.delta, tokens, shape.channels, dtype);
  check(io.grads.b, tokens, shape.states, dtype);
  check(io.grads.c, tokens, shape.states, dtype);
  if (!io.in.z.empty()) check(io.grads.z, tokens, shape.channels, dtype);
  check_parameter(io.grads.a_log, shape.channels * shape.states);
  check_parameter(io.grads.skip, shape.channels);
  check_optional_parameter(io.grads.delta_bias, shape.channels);
  const auto workspace = scan_backward_workspace(shape);
  ZT_ASSERT(io.states.numel >= scan_states(shape) && io.workspace.numel >= workspace,
            "selective_scan states or workspace are too small");
  check_fp32(io.states, scan_states(shape));
  check_fp32(io.workspace, workspace);
  if (is_empty(shape)) return;
  switch (launch.device) {
    case Device::cpu:
      return selective_scan_backward_cpu(io, shape);
    case Device::cuda:
      return selective_scan_backward_cuda(io, shape, launch.stream);
  }
}

void selective_scan_step(const ScanInputs& in, const TokenMatrix& y, const View& state,
                         const ScanShape& shape, const Launch& launch) {
  ZT_ASSERT(in.positions.numel == 0, "a step has no positions");
  ScanShape one = shape;
  one.sequence = 1;
  selective_scan_forward({.in = in,
                          .y = y,
                          .states = {},
                          .initial_state = state,
                          .final_state = state,
                          .workspace = {}},
                         one, launch);
}

}  // namespace zt::kernels
