#include "kernels/cpu/half.h"
#include "kernels/cpu/simd_loop.h"
#include "kernels/ordered_sum/ordered_sum_impl.h"

namespace zt::kernels {
namespace {

/// Sums blocks of lanes that stay in registers, one rank after the other.
template <typename Wire, typename Out, bool kAccumulate>
struct OrderedSumLoop {
  const Wire* parts;
  Out* out;
  std::int64_t numel;
  int world;

  static constexpr std::int64_t kLanes = 64;

  [[gnu::always_inline]] void sum_block(std::int64_t begin, std::int64_t count) const {
    float sums[kLanes] = {};
    for (std::int64_t lane = 0; lane < count; ++lane) {
      sums[lane] = cpu::to_float(parts[begin + lane]);
    }
    for (int rank = 1; rank < world; ++rank) {
      const Wire* __restrict part = parts + rank * numel + begin;
      for (std::int64_t lane = 0; lane < count; ++lane) {
        sums[lane] = sums[lane] + cpu::to_float(part[lane]);
      }
    }
    Out* __restrict target = out + begin;
    for (std::int64_t lane = 0; lane < count; ++lane) {
      float value = sums[lane];
      if constexpr (kAccumulate) {
        value = cpu::to_float(target[lane]) + value;
      }
      target[lane] = cpu::from_float<Out>(value);
    }
  }

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      sum_block(i, kLanes);
    }
    if (i < end) {
      sum_block(i, end - i);
    }
  }
};

template <typename Wire, typename Out>
void run(const View& parts, int world, const View& out, bool accumulate) {
  const auto loop = [&]<bool kAccumulate>() {
    cpu::simd_loop(
        OrderedSumLoop<Wire, Out, kAccumulate>{parts.as<Wire>(), out.as<Out>(), out.numel, world},
        out.numel);
  };
  accumulate ? loop.template operator()<true>() : loop.template operator()<false>();
}

template <typename Wire>
void run_wire(const View& parts, int world, const View& out, bool accumulate) {
  switch (out.dtype) {
    case DType::f32:
      return run<Wire, float>(parts, world, out, accumulate);
    case DType::bf16:
      return run<Wire, cpu::Bf16>(parts, world, out, accumulate);
    case DType::f16:
      return run<Wire, cpu::F16>(parts, world, out, accumulate);
    default:
      ZT_ASSERT(false, "checked by ordered_sum");
  }
}

}  // namespace

void ordered_sum_cpu(const View& parts, int world, const View& out, bool accumulate) {
  switch (parts.dtype) {
    case DType::f32:
      return run_wire<float>(parts, world, out, accumulate);
    case DType::bf16:
      return run_wire<cpu::Bf16>(parts, world, out, accumulate);
    case DType::f16:
      return run_wire<cpu::F16>(parts, world, out, accumulate);
    default:
      ZT_ASSERT(false, "checked by ordered_sum");
  }
}

}  // namespace zt::kernels
