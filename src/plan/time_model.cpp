// Shape legend: N tokens of a micro-step, h hidden, q = heads x head_dim, F ffn, V vocabulary.
#include "plan/time_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "zero/residency.h"

namespace zt::plan {
namespace {

double as_double(std::int64_t value) { return static_cast<double>(value); }

double distance(std::int64_t a, std::int64_t b) {
  return std::abs(std::log2(as_double(a)) - std::log2(as_double(b)));
}

/// The three products of a linear layer: the time of the nearest one measured, scaled by the work.
GemmTime gemm_time(const DeviceFile& device, std::int64_t rows, std::int64_t in, std::int64_t out) {
  const GemmTime* best = nullptr;
  double least = std::numeric_limits<double>::infinity();
  for (const auto& time : device.gemms) {
    const double far = distance(time.rows, rows) + distance(time.in, in) + distance(time.out, out);
    if (far < least) least = far, best = &time;
  }
  const double scale = as_double(rows) * as_double(in) * as_double(out) /
                       (as_double(best->rows) * as_double(best->in) * as_double(best->out));
  return {
      rows, in, out, best->forward * scale, best->grad_input * scale, best->grad_weight * scale};
}

AttentionTime attention_time(const DeviceFile& device, const layer::BatchShape& shape,
                             const model::Qwen3Config& model) {
  const AttentionTime* best = nullptr;
  double least = std::numeric_limits<double>::infinity();
  for (const auto& time : device.attention) {
    const double far = 2 * distance(time.sequence, shape.sequence) +
                       distance(time.batch * time.q_heads, shape.batch * model.heads) +
                       distance(time.head_dim, model.head_dim);
    if (far < least) least = far, best = &time;
  }
  const auto work = [](std::int64_t batch, std::int64_t heads, std::int64_t sequence,
                       std::int64_t dim) {
    return as_double(batch * heads) * as_double(sequence) * as_double(sequence) * as_double(dim);
  };
  const double scale = work(shape.batch, model.heads, shape.sequence, model.head_dim) /
                       work(best->batch, best->q_heads, best->sequence, best->head_dim);
  return {.forward = best->forward * scale, .backward = best->backward * scale};
}

/// Adds up one micro-step.
class MicroStep {
 public:
  MicroStep(const model::Qwen3Config& model, const zero::EngineOptions& options,
            const DeviceFile& device, double grad_bytes)
      : model_(model), shape_(options.shape), device_(device), grad_bytes_(grad_bytes) {
    const auto recompute = options.zero.recompute.value_or(Recompute::none);
    const auto layers = as_double(model.layers);
    const auto N = shape_.tokens(), h = model.hidden, F = model.ffn;
    const auto q = model.heads * model.head_dim, kv = model.kv_heads * model.head_dim;
    const auto qkv = gemm_time(device, N, h, q + 2 * kv), o = gemm_time(device, N, q, h);
    const auto gate_up = gemm_time(device, N, h, 2 * F), down = gemm_time(device, N, F, h);
    const auto attention = attention_time(device, shape_, model);
    const double inner = qkv.forward + o.forward + gate_up.forward;
    const double forwards = recompute == Recompute::full ? 2 : 1;
    time_.gemm += layers * (inner * forwards + down.forward);
    if (recompute == Recompute::selective) time_.gemm += layers * gate_up.forward;
    for (const auto& matrix : {qkv, o, gate_up, down}) {
      time_.gemm += layers * (matrix.grad_input + matrix.grad_weight);
    }
    time_.attention += layers * (attention.forward * forwards + attention.backward);
    // Elements that each kernel reads and writes, per token.
    const auto forward = {2 * h, 2 * (q + 2 * kv), 2 * q, 4 * h, 3 * F, 2 * h};
    const auto backward = {5 * F, 4 * h, 4 * h, 3 * (q + 2 * kv)};
    for (const auto elements : forward) rows(elements, layers * forwards);
    for (const auto elements : backward) rows(elements, layers);
    constexpr double kColumnSums = 3, kLogSumExp = 1;
    time_.kernels += layers * device.kernel_gap * (kColumnSums + kLogSumExp * forwards);
    if (recompute == Recompute::selective) {
      for (const auto elements : {2 * h, 2 * (q + 2 * kv), 2 * h, 3 * F}) rows(elements, layers);
    }
    ends();
  }

  [[nodiscard]] const StepTime& time() const { return time_; }

 private:
  void rows(std::int64_t elements, double times) {
    constexpr double kBytes = 2;
    const double bytes = kBytes * as_double(elements) * as_double(shape_.tokens());
    time_.kernels += times * (device_.kernel_gap + bytes / device_.row_rate);
  }

  void ends() {
    const auto h = model_.hidden, V = model_.vocab;
    const auto head = gemm_time(device_, std::min<std::int64_t>(shape_.tokens(), 2048), h, V);
    const double chunks = as_double(shape_.tokens()) / as_double(head.rows);
    time_.gemm += chunks * (head.forward + head.grad_input + head.grad_weight);
    rows(2 * h, 1);
    rows(2 * V, 1);
    rows(4 * h, 1);
    rows(2 * h, 1);  // embedding forward
    // Embedding backward: sort, then rows of the table's gradient read and written.
    constexpr double kSortLaunches = 6;
    time_.kernels += kSortLaunches * device_.kernel_gap +
                     (2 + 2 * grad_bytes_) * as_double(h * shape_.tokens()) / device_.row_rate;
  }

  const model::Qwen3Config& model_;
  layer::BatchShape shape_;
  const DeviceFile& device_;
  double grad_bytes_;
  StepTime time_;
};

void add(StepTime& to, const StepTime& from, double times) {
  to.gemm += from.gemm * times;
  to.attention += from.attention * times;
  to.kernels += from.kernels * times;
}

}  // namespace

StepTime predict_step(const model::Qwen3Config& model, const Candidate& candidate, int world,
                      const DeviceFile& device) {
  const auto& options = candidate.options;
  const auto build = zero::build_options(options, world);
  const bool boundary = build.residency.reduce_at == ReduceAt::boundary;
  const double params = as_double(model::num_params(model));
  const double grad_bytes = as_double(size_of(boundary ? build.grad_accum : build.compute).value);
  const double compute_bytes = as_double(size_of(build.compute).value);
  const double wire_bytes = as_double(size_of(build.wire).value);
  StepTime step;
  const auto micro_steps = static_cast<double>(options.micro_steps);
  add(step, MicroStep(model, options, device, grad_bytes).time(), micro_steps);
  // Zeroing of gradients, and per reduction: packing, the sum of what arrived.
  const double reductions = boundary ? 1 : micro_steps;
  const double shard = params / world;
  double flat = params * grad_bytes * (boundary ? 1 : micro_steps);
  if (world > 1) {
    flat += reductions * (shard * wire_bytes * world + shard * 4 * 2);
    if (boundary) flat += params * (grad_bytes + wire_bytes);
  }
  // Norm; AdamW reads master, two moments and the gradient, writes three and the parameter.
  const double owned = build.residency.states_sharded ? shard : params;
  flat += shard * 4 + owned * (4 * 4 + 3 * 4 + compute_bytes);
  step.kernels += flat / device.flat_rate;
  if (world > 1 && device.link_rate > 0) {
    const double sent = static_cast<double>(candidate.costs.sent.value) / device.link_rate;
    // The first unit's gather, the last unit's reduction and publication have nothing beside them.
    const double table = as_double(model.vocab * model.hidden) * (world - 1) / world;
    const double ends = table * (wire_bytes + compute_bytes) / device.link_rate;
    const double beside = step.gemm + step.attention + step.kernels;
    step.exposed = std::max(sent - beside, std::min(sent, ends)) + 4 * device.link_latency;
  }
  return step;
}

}  // namespace zt::plan
