#include "plan/device_times.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace zt::plan {
namespace {

double as_double(std::int64_t value) { return static_cast<double>(value); }

/// In powers of two; the same when one of them is 0.
double distance(std::int64_t a, std::int64_t b) {
  return a <= 0 || b <= 0 ? 0 : std::abs(std::log2(as_double(a)) - std::log2(as_double(b)));
}

/// The element with the least distance; null for an empty list.
template <typename T, typename Distance>
const T* nearest(const std::vector<T>& list, Distance far) {
  const T* best = nullptr;
  double least = std::numeric_limits<double>::infinity();
  for (const auto& item : list) {
    const double here = far(item);
    if (here < least) least = here, best = &item;
  }
  return best;
}

}  // namespace

GemmTime gemm_time(const DeviceFile& device, std::int64_t rows, std::int64_t in, std::int64_t out) {
  const auto* best = nearest(device.gemms, [&](const GemmTime& time) {
    return distance(time.rows, rows) + distance(time.in, in) + distance(time.out, out);
  });
  const double scale = as_double(rows) * as_double(in) * as_double(out) /
                       (as_double(best->rows) * as_double(best->in) * as_double(best->out));
  return {rows,
          in,
          out,
          best->forward * scale,
          best->grad_input * scale,
          best->grad_weight * scale,
          best->grad_weight_half * scale};
}

AttentionTime attention_time(const DeviceFile& device, const layer::BatchShape& shape,
                             const model::Qwen3Config& model, bool deterministic) {
  constexpr double kOtherAlgorithm = 100;  // only when there is no other
  const auto* best = nearest(device.attention, [&](const AttentionTime& time) {
    return 2 * distance(time.sequence, shape.sequence) +
           distance(time.batch * time.q_heads, shape.batch * model.heads) +
           distance(time.head_dim, model.head_dim) +
           (time.deterministic == deterministic ? 0 : kOtherAlgorithm);
  });
  const auto work = [](std::int64_t batch, std::int64_t heads, std::int64_t sequence,
                       std::int64_t dim) {
    return as_double(batch * heads) * as_double(sequence) * as_double(sequence) * as_double(dim);
  };
  const double scale = work(shape.batch, model.heads, shape.sequence, model.head_dim) /
                       work(best->batch, best->q_heads, best->sequence, best->head_dim);
  return {.forward = best->forward * scale, .backward = best->backward * scale};
}

double kernel_seconds(const DeviceFile& device, const char* name, std::int64_t width,
                      double bytes) {
  const auto* like = nearest(device.kernels, [&](const KernelTime& time) {
    return time.name == name ? distance(time.width, width)
                             : std::numeric_limits<double>::infinity();
  });
  if (like == nullptr || bytes <= 0) return 0;
  const KernelTime* below = nullptr;
  const KernelTime* above = nullptr;
  for (const auto& time : device.kernels) {
    if (time.name != name || time.width != like->width) continue;
    if (time.bytes <= bytes && (below == nullptr || time.bytes > below->bytes)) below = &time;
    if (time.bytes >= bytes && (above == nullptr || time.bytes < above->bytes)) above = &time;
  }
  if (below == nullptr) return above->seconds;  // few bytes: it waits for memory once or twice
  if (above == nullptr || above == below) return below->seconds * bytes / below->bytes;
  const double part = (bytes - below->bytes) / (above->bytes - below->bytes);
  return below->seconds + part * (above->seconds - below->seconds);
}

Contention contention_of(const DeviceFile& device, std::int64_t rows) {
  const auto* like =
      nearest(device.overlaps, [&](const OverlapTime& time) { return distance(time.rows, rows); });
  if (like == nullptr) return {};
  return {like->compute_lost, std::max(1.0, like->link_factor)};
}

}  // namespace zt::plan
