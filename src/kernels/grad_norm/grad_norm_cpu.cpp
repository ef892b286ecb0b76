#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/half.h"
#include "kernels/cpu/pool_loop.h"
#include "kernels/grad_norm/grad_norm_impl.h"

namespace zt::kernels {
namespace {

template <typename Real>
[[gnu::always_inline]] inline Real tree_sum(Real* lanes) {
  for (std::int64_t stride = kNormLanes / 2; stride >= 1; stride /= 2) {
    for (std::int64_t lane = 0; lane < stride; ++lane) {
      lanes[lane] = lanes[lane] + lanes[lane + stride];
    }
  }
  return lanes[0];
}

/// Lane sums of one chunk: 256 lanes, each adds elements l, l + 256, l + 512, l + 768.
template <typename Grad>
[[gnu::always_inline]] inline void add_lanes(float* __restrict lanes, const Grad* __restrict values,
                                             std::int64_t count) {
  for (std::int64_t lane = 0; lane < count; ++lane) {
    const float value = cpu::to_float(values[lane]);
    lanes[lane] = __builtin_fmaf(value, value, lanes[lane]);
  }
}

/// Loops over chunks: element `c` of [begin, end) is the chunk of elements [1024 c, 1024 c + 1024).
template <typename Grad>
struct ChunkSums {
  const Grad* grad;
  float* sums;
  std::int64_t numel;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t chunk = begin; chunk < end; ++chunk) {
      alignas(64) float lanes[kNormLanes] = {};
      const std::int64_t first = chunk * kNormChunk;
      const std::int64_t last = std::min(numel, first + kNormChunk);
      std::int64_t i = first;
      for (; i + kNormLanes <= last; i += kNormLanes) {
        add_lanes(lanes, grad + i, kNormLanes);
      }
      add_lanes(lanes, grad + i, last - i);
      sums[chunk] = tree_sum(lanes);
    }
  }
};

/// Runs `body` over all chunks and adds their sums.
template <typename MakeBody>
double sum_chunks(std::int64_t numel, memory::HostPool* pool, const MakeBody& make_body) {
  const std::int64_t chunks = (numel + kNormChunk - 1) / kNormChunk;
  std::vector<float> sums(static_cast<std::size_t>(chunks));
  constexpr std::int64_t kChunksPerTask = 64;
  const auto body = make_body(sums.data());
  const auto isa = cpu::host_isa();
  cpu::chunk_loop([&](auto begin, auto end) { cpu::run_isa(isa, body, begin, end); }, chunks,
                  kChunksPerTask, pool);
  double lanes[kNormLanes] = {};
  for (std::size_t chunk = 0; chunk < sums.size(); ++chunk) {
    double& lane = lanes[chunk % kNormLanes];
    lane = lane + static_cast<double>(sums[chunk]);
  }
  return tree_sum(lanes);
}

/// Calls visit with a value of the storage type of a float dtype.
template <typename Visit>
double with_float(DType dtype, const Visit& visit) {
  if (dtype == DType::bf16) return visit(cpu::Bf16{});
  if (dtype == DType::f16) return visit(cpu::F16{});
  return visit(float{});
}

}  // namespace

void sum_of_squares_cpu(const View& grad, const View& out, std::int64_t index,
                        memory::HostPool* pool) {
  out.as<double>()[index] = with_float(grad.dtype, [&](auto kind) {
    using Grad = decltype(kind);
    return sum_chunks(grad.numel, pool, [&](float* sums) {
      return ChunkSums<Grad>{grad.as<Grad>(), sums, grad.numel};
    });
  });
}

void clip_factor_cpu(const View& partials, double max_norm, const View& inverse_scale,
                     const View& result, const View& grad_factor) {
  const double unscale = *inverse_scale.as<double>();
  double sum = 0;
  for (std::int64_t i = 0; i < partials.numel; ++i) {
    sum = sum + partials.as<double>()[i];
  }
  const double norm = std::sqrt(sum) * unscale;
  double factor = unscale;
  if (max_norm > 0) {
    const double limit = max_norm / (norm + 1e-6);
    factor = unscale * (limit < 1.0 ? limit : 1.0);
  }
  if (!std::isfinite(norm)) {
    factor = std::numeric_limits<double>::quiet_NaN();
  }
  result.as<double>()[0] = norm;
  result.as<double>()[1] = factor;
  *grad_factor.as<float>() = static_cast<float>(factor);
}

}  // namespace zt::kernels
