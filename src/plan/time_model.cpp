// Shape legend: N tokens of a micro-step, h hidden, q = heads x head_dim, F ffn, V vocabulary.
#include "plan/time_model.h"

#include <algorithm>

#include "plan/device_times.h"
#include "plan/kernel_work.h"
#include "plan/step_clock.h"
#include "plan/step_estimate.h"
#include "zero/residency.h"

namespace zt::plan {
namespace {

using schedule::BufferKind;
using schedule::Operation;
using schedule::OpKind;

double as_double(std::int64_t value) { return static_cast<double>(value); }

/// What one operation takes alone.
struct Work {
  double gemm = 0, attention = 0, kernels = 0, link = 0;
  [[nodiscard]] double seconds() const { return gemm + attention + kernels + link; }
};

/// Times of the operations of one model on one device.
class Costs {
 public:
  Costs(const model::Qwen3Config& model, const zero::EngineOptions& options,
        const schedule::Program& program, int world, const DeviceFile& device)
      : model_(model),
        options_(options),
        program_(program),
        device_(device),
        build_(zero::build_options(options, world)),
        world_(world),
        tokens_(options.shape.tokens()) {}

  [[nodiscard]] Work of(const Operation& op) const {
    if (schedule::runs_on(op.stream)) return {.link = offload_seconds(program_, op, device_.host)};
    switch (op.kind) {
      case OpKind::forward:
        return layer_forward(op, true);
      case OpKind::recompute:
        return layer_forward(op, false);
      case OpKind::backward:
        return layer_backward(op);
      case OpKind::gather:
      case OpKind::gather_grad:
      case OpKind::publish:
        return {.link = link(bytes_of(op.writes.front()), device_.gather_rate)};
      case OpKind::reduce:
        return reduce(op);
      case OpKind::norm:
        return {.kernels = flat(kernel::kNorm, flat_bytes::kNorm, numel_of(op.reads.front()))};
      case OpKind::clip:
        return {.link = device_.link_latency};
      case OpKind::step:
        return {.kernels = flat(kernel::kAdamW, flat_bytes::kAdamW, numel_of(op.writes.front()))};
      default:  // releases; copies and disks have streams of their own
        return {};
    }
  }

 private:
  [[nodiscard]] double numel_of(schedule::BufferId id) const {
    return as_double(program_.buffer(id).numel.value);
  }
  [[nodiscard]] double bytes_of(schedule::BufferId id) const {
    return as_double(program_.buffer(id).bytes().value);
  }
  [[nodiscard]] double flat(const char* name, double bytes_each, double numel) const {
    return kernel_seconds(device_, name, 0, bytes_each * numel);
  }
  /// A kernel over every token; `elements` of a row in the compute dtype.
  [[nodiscard]] double rows(const char* name, std::int64_t width, std::int64_t elements) const {
    const double bytes = as_double(size_of(build_.compute).value);
    return kernel_seconds(device_, name, width, bytes * as_double(elements * tokens_));
  }
  /// `whole`: bytes of all ranks together, of which each rank sends all but its own.
  [[nodiscard]] double link(double whole, double rate) const {
    if (world_ == 1 || rate <= 0) return 0;
    return device_.link_latency + whole * (world_ - 1) / world_ / rate;
  }
  [[nodiscard]] bool is_embedding(int layer) const { return layer == 0; }
  [[nodiscard]] bool is_head(int layer) const { return layer == model_.layers + 1; }
  [[nodiscard]] std::int64_t q() const { return model_.heads * model_.head_dim; }
  [[nodiscard]] std::int64_t qkv() const { return q() + 2 * model_.kv_heads * model_.head_dim; }

  [[nodiscard]] Work layer_forward(const Operation& op, bool whole) const {
    const auto h = model_.hidden;
    if (is_embedding(op.layer)) {
      return {.kernels = rows(kernel::kEmbedding, h, row_elements::embedding(h))};
    }
    if (is_head(op.layer)) return head(false);
    Work work;
    const auto F = model_.ffn;
    work.gemm = gemm_time(device_, tokens_, h, qkv()).forward +
                gemm_time(device_, tokens_, q(), h).forward +
                gemm_time(device_, tokens_, h, 2 * F).forward +
                (whole ? gemm_time(device_, tokens_, F, h).forward : 0);
    work.attention =
        attention_time(device_, options_.shape, model_, options_.zero.deterministic).forward;
    work.kernels = rows(kernel::kRmsNorm, h, row_elements::rms_norm(h)) +
                   rows(kernel::kHeads, qkv(), row_elements::heads(qkv())) +
                   rows(kernel::kRmsNormResidual, h, row_elements::rms_norm_residual(h)) +
                   rows(kernel::kSwiglu, F, row_elements::swiglu(F));
    return work;
  }

  [[nodiscard]] Work layer_backward(const Operation& op) const {
    const auto h = model_.hidden, F = model_.ffn;
    Work work;
    if (is_head(op.layer)) {
      work = head(true);
    } else if (is_embedding(op.layer)) {
      work.kernels = rows(kernel::kEmbeddingBackward, h, row_elements::embedding(h));
    } else {
      for (const auto& time :
           {gemm_time(device_, tokens_, h, qkv()), gemm_time(device_, tokens_, q(), h),
            gemm_time(device_, tokens_, h, 2 * F), gemm_time(device_, tokens_, F, h)}) {
        work.gemm += time.grad_input + grad_weight(time);
      }
      work.attention =
          attention_time(device_, options_.shape, model_, options_.zero.deterministic).backward;
      work.kernels = 2 * rows(kernel::kRmsNormBackward, h, row_elements::rms_norm_backward(h)) +
                     rows(kernel::kHeadsBackward, qkv(), row_elements::heads_backward(qkv())) +
                     rows(kernel::kSwigluBackward, F, row_elements::swiglu_backward(F));
      if (build_.recompute == Recompute::selective) {
        work.gemm += gemm_time(device_, tokens_, h, 2 * F).forward;
        work.kernels += 2 * rows(kernel::kRmsNorm, h, row_elements::rms_norm(h)) +
                        rows(kernel::kHeads, qkv(), row_elements::heads(qkv())) +
                        rows(kernel::kSwiglu, F, row_elements::swiglu(F));
      }
    }
    for (const auto id : op.starts) {  // gradients that begin here are zeroed
      if (program_.buffer(id).kind == BufferKind::grad_full) {
        work.kernels += kernel_seconds(device_, kernel::kFillZero, 0, bytes_of(id));
      }
    }
    return work;
  }

  [[nodiscard]] double grad_weight(const GemmTime& time) const {
    const bool half = build_.residency.reduce_at != ReduceAt::boundary;
    return half && time.grad_weight_half > 0 ? time.grad_weight_half : time.grad_weight;
  }

  /// Chunks of logits of at most 2048 rows: product, loss, and with `backward` both gradients.
  [[nodiscard]] Work head(bool backward) const {
    constexpr std::int64_t kChunk = 2048;
    const auto h = model_.hidden, V = model_.vocab;
    const auto chunk = std::min(tokens_, kChunk);
    const double chunks = as_double(tokens_) / as_double(chunk);
    const auto time = gemm_time(device_, chunk, h, V);
    const double bytes = as_double(size_of(build_.compute).value);
    Work work;
    work.gemm = chunks * (time.forward + (backward ? time.grad_input + grad_weight(time) : 0));
    work.kernels =
        rows(kernel::kRmsNorm, h, row_elements::rms_norm(h)) +
        chunks * kernel_seconds(device_, kernel::kCrossEntropy, V,
                                bytes * as_double(row_elements::cross_entropy(V) * chunk));
    if (backward) {
      work.kernels += rows(kernel::kRmsNormBackward, h, row_elements::rms_norm_backward(h));
    }
    return work;
  }

  /// Packs where the gradient itself does not travel, exchanges and adds up.
  [[nodiscard]] Work reduce(const Operation& op) const {
    const double out = as_double(size_of(program_.buffer(op.writes.front()).dtype).value);
    const double numel = as_double(op.numel.value);
    if (world_ == 1) {
      return {.kernels = flat(kernel::kOrderedSum,
                              flat_bytes::ordered_sum(1, as_double(size_of(build_.compute).value),
                                                      out, !op.overwrite),
                              numel)};
    }
    const double wire = as_double(size_of(build_.wire).value);
    Work work;
    work.link = link(numel * wire, device_.exchange_rate);
    if (op.writes.size() > 2) {
      const double from = as_double(size_of(program_.buffer(op.reads.front()).dtype).value);
      work.kernels += kernel_seconds(device_, kernel::kPack, 0, numel * (from + wire));
    }
    work.kernels += flat(kernel::kOrderedSum,
                         flat_bytes::ordered_sum(world_, wire, out, !op.overwrite), numel / world_);
    return work;
  }

  const model::Qwen3Config& model_;
  const zero::EngineOptions& options_;
  const schedule::Program& program_;
  const DeviceFile& device_;
  schedule::BuildOptions build_;
  int world_;
  std::int64_t tokens_;
};

}  // namespace

std::string group_of(const std::string& operation, std::int64_t last) {
  const auto space = operation.find(' ');
  const auto kind = operation.substr(0, space);
  if (space == std::string::npos) return kind;
  const auto object = operation.substr(space + 1);
  if (object == "L0") return kind + " embedding";
  return object == "L" + std::to_string(last) ? kind + " head" : kind;
}

StepTime predict_step(const model::Qwen3Config& model, const zero::EngineOptions& options,
                      const schedule::Program& program, int world, const DeviceFile& device) {
  const Costs costs(model, options, program, world, device);
  const auto contention = contention_of(device, options.shape.tokens());
  StepTime step;
  const auto walked = walk_step(
      program, options.micro_steps, [&](const Operation& op) { return costs.of(op).seconds(); },
      contention);
  step.exposed = walked.exposed();
  step.slowed = walked.slowed;
  for (const auto& variant : program.variants) {
    const auto times = as_double(runs_per_step(variant.kind, options.micro_steps));
    if (times == 0) continue;
    for (const auto& op : variant.operations) {
      const auto work = costs.of(op);
      if (work.seconds() > 0) {
        step.groups[group_of(schedule::to_string(op), model.layers + 1)] += times * work.seconds();
      }
      if (op.stream != schedule::Stream::compute) continue;
      step.gemm += times * work.gemm;
      step.attention += times * work.attention;
      step.kernels += times * work.kernels;
    }
  }
  return step;
}

}  // namespace zt::plan
