// The CPU's scan of one group of channels, one set of loops per instruction set, compiled by
// Highway's foreach_target. The table of functions is our own (cpu/simd_target.h), so that nothing
// of libhwy is linked: its headers are enough.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/selective_scan/scan_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target:
#include "kernels/selective_scan/scan_simd_inl.h"

HWY_BEFORE_NAMESPACE();
namespace zt::kernels::HWY_NAMESPACE {

/// What the loops over states read and write of each token; all tiles.
struct Tiles {
  float *step, *input, *sum, *grad, *through_b, *through_a, *sigmoid, *open, *decay, *before;
  explicit Tiles(float* scratch) {
    constexpr std::int64_t kTile = kScanChunk * kScanLanes;
    for (float** tile : {&step, &input, &sum, &grad, &through_b, &through_a, &sigmoid, &open}) {
      *tile = scratch;
      scratch += kTile;
    }
    decay = scratch;
    before = scratch + kScanStatesAtOnce * kTile;
  }
};

/// Time steps, inputs of the state and the skip's share of y, from `at` on.
HWY_INLINE void prepare(const ScanGroup& group, std::int64_t at, std::int64_t lane,
                        const Tiles& tiles, bool with_sigmoid) {
  const Floats d;
  const auto x = hn::Add(hn::LoadU(d, group.raw + at), hn::LoadU(d, group.bias + lane));
  const auto u = hn::LoadU(d, group.u + at);
  const auto w = power_of_e(hn::Neg(hn::Abs(x)));
  const auto step = softplus(x, w);
  hn::StoreU(step, d, tiles.step + at);
  hn::StoreU(hn::Mul(step, u), d, tiles.input + at);
  hn::StoreU(hn::Mul(hn::LoadU(d, group.skip + lane), u), d, tiles.sum + at);
  if (with_sigmoid) hn::StoreU(sigmoid(x, w), d, tiles.sigmoid + at);
}

/// kCount states from `first` on, all tokens. With kKeep their decays and the states before each
/// token are kept, [token][state][lane].
template <int kCount, bool kKeep>
HWY_INLINE void scan_states(const ScanGroup& group, std::int64_t first, std::int64_t lane,
                            const Tiles& tiles) {
  const Floats d;
  const auto states = group.states;
  Vec a[kCount], h[kCount];
  for (int s = 0; s < kCount; ++s) {
    a[s] = hn::LoadU(d, group.a + (first + s) * kScanLanes + lane);
    h[s] = hn::LoadU(d, group.h + (first + s) * kScanLanes + lane);
  }
  for (std::int64_t t = 0; t < group.tokens; ++t) {
    const auto at = t * kScanLanes + lane;
    const auto step = hn::LoadU(d, tiles.step + at), input = hn::LoadU(d, tiles.input + at);
    const float* HWY_RESTRICT b = group.b + t * states + first;
    const float* HWY_RESTRICT c = group.c + t * states + first;
    const bool fresh = group.restart[t] != 0;
    auto sum = hn::LoadU(d, tiles.sum + at);
    for (int s = 0; s < kCount; ++s) {
      auto decay = power_of_two(hn::Mul(step, a[s]));
      const auto kept = (t * kScanStatesAtOnce + s) * kScanLanes + lane;
      if constexpr (kKeep) hn::StoreU(h[s], d, tiles.before + kept);
      if (fresh) decay = h[s] = hn::Zero(d);
      if constexpr (kKeep) hn::StoreU(decay, d, tiles.decay + kept);
      h[s] = fused(decay, h[s], hn::Mul(input, hn::Set(d, b[s])));
      sum = fused(hn::Set(d, c[s]), h[s], sum);
    }
    hn::StoreU(sum, d, tiles.sum + at);
  }
  for (int s = 0; s < kCount; ++s) {
    // The backward keeps the chunk's first state, as it needs the last one only here.
    float* to = kKeep ? tiles.before + kScanChunk * kScanStatesAtOnce * kScanLanes : group.h;
    const auto at = kKeep ? s : first + s;
    hn::StoreU(h[s], d, to + at * kScanLanes + lane);
  }
}

/// The adjoint of scan_states, from the last token to the first.
template <int kCount>
HWY_INLINE void adjoin_states(const ScanGroup& group, const ScanGroupGrads& grads,
                              std::int64_t first, std::int64_t lane, const Tiles& tiles) {
  const Floats d;
  const auto states = group.states;
  const float* last = tiles.before + kScanChunk * kScanStatesAtOnce * kScanLanes;
  Vec carry[kCount], after[kCount], sum_a[kCount];
  for (int s = 0; s < kCount; ++s) {
    carry[s] = hn::LoadU(d, grads.carry + (first + s) * kScanLanes + lane);
    sum_a[s] = hn::LoadU(d, grads.a + (first + s) * kScanLanes + lane);
    after[s] = hn::LoadU(d, last + s * kScanLanes + lane);
  }
  for (std::int64_t t = group.tokens; t-- > 0;) {
    const auto at = t * kScanLanes + lane;
    const auto step = hn::LoadU(d, tiles.step + at), input = hn::LoadU(d, tiles.input + at);
    const auto grad = hn::LoadU(d, tiles.grad + at);
    const bool fresh = group.restart[t] != 0;
    auto through_b = hn::LoadU(d, tiles.through_b + at);
    auto through_a = hn::LoadU(d, tiles.through_a + at);
    const float* HWY_RESTRICT b = group.b + t * states + first;
    const float* HWY_RESTRICT c = group.c + t * states + first;
    float* HWY_RESTRICT sum_b = grads.b + (t * states + first) * kScanLanes + lane;
    float* HWY_RESTRICT sum_c = grads.c + (t * states + first) * kScanLanes + lane;
    for (int s = 0; s < kCount; ++s) {
      const auto kept = (t * kScanStatesAtOnce + s) * kScanLanes + lane;
      const auto before = hn::LoadU(d, tiles.before + kept);
      const auto g = fused(hn::Set(d, c[s]), grad, carry[s]);
      hn::StoreU(fused(grad, after[s], hn::LoadU(d, sum_c + s * kScanLanes)), d,
                 sum_c + s * kScanLanes);
      hn::StoreU(fused(g, input, hn::LoadU(d, sum_b + s * kScanLanes)), d, sum_b + s * kScanLanes);
      through_b = fused(g, hn::Set(d, b[s]), through_b);
      carry[s] = hn::Mul(g, hn::LoadU(d, tiles.decay + kept));
      auto of_decay = hn::Mul(carry[s], before);
      if (fresh) of_decay = hn::Zero(d);  // also where the document before is not finite
      const auto a = hn::LoadU(d, group.a + (first + s) * kScanLanes + lane);
      through_a = fused(of_decay, a, through_a);
      sum_a[s] = fused(of_decay, step, sum_a[s]);
      after[s] = before;
    }
    hn::StoreU(through_b, d, tiles.through_b + at);
    hn::StoreU(through_a, d, tiles.through_a + at);
  }
  for (int s = 0; s < kCount; ++s) {
    hn::StoreU(carry[s], d, grads.carry + (first + s) * kScanLanes + lane);
    hn::StoreU(sum_a[s], d, grads.a + (first + s) * kScanLanes + lane);
  }
}

void forward(const ScanGroup& group) {
  const Floats d;
  const Tiles tiles(group.scratch);
  const auto size = group.tokens * kScanLanes;
  for (std::int64_t lane = 0; lane < kScanLanes; lane += kWidth) {
    for (std::int64_t at = lane; at < size; at += kScanLanes) {
      prepare(group, at, lane, tiles, false);
    }
    std::int64_t n = 0;
    for (; n + kScanStatesAtOnce <= group.states; n += kScanStatesAtOnce) {
      scan_states<kScanStatesAtOnce, false>(group, n, lane, tiles);
    }
    for (; n < group.states; ++n) scan_states<1, false>(group, n, lane, tiles);
    for (std::int64_t at = lane; at < size; at += kScanLanes) {
      const auto sum = hn::LoadU(d, tiles.sum + at);
      if (group.z == nullptr) {
        hn::StoreU(sum, d, group.y + at);
      } else {
        const auto z = hn::LoadU(d, group.z + at);
        hn::StoreU(hn::Mul(sum, hn::Mul(z, sigmoid(z))), d, group.y + at);
      }
    }
  }
}

/// The gradient of the ungated y, and what grad_z needs beside that y.
HWY_INLINE void open_gate(const ScanGroup& group, const ScanGroupGrads& grads, std::int64_t at,
                          const Tiles& tiles) {
  const Floats d;
  auto grad = hn::LoadU(d, grads.y + at);
  if (group.z != nullptr) {
    const auto z = hn::LoadU(d, group.z + at);
    const auto s = sigmoid(z);
    const auto open = hn::Mul(z, s);
    hn::StoreU(open, d, tiles.open + at);
    hn::StoreU(hn::Mul(grad, fused(open, hn::Sub(hn::Set(d, 1.0F), s), s)), d, grads.z + at);
    grad = hn::Mul(grad, open);
  }
  hn::StoreU(grad, d, tiles.grad + at);
  hn::StoreU(hn::Zero(d), d, tiles.through_b + at);
  hn::StoreU(hn::Zero(d), d, tiles.through_a + at);
}

/// y and the gradients of each token's u, delta and z, from the sums over states.
HWY_INLINE void finish(const ScanGroup& group, const ScanGroupGrads& grads, std::int64_t lane,
                       const Tiles& tiles) {
  const Floats d;
  const auto skip = hn::LoadU(d, group.skip + lane);
  const auto ln2 = hn::Set(d, kLn2);
  auto sum_skip = hn::LoadU(d, grads.skip + lane), sum_bias = hn::LoadU(d, grads.bias + lane);
  for (std::int64_t at = lane; at < group.tokens * kScanLanes; at += kScanLanes) {
    const auto sum = hn::LoadU(d, tiles.sum + at);
    if (group.z == nullptr) {
      hn::StoreU(sum, d, group.y + at);
    } else {
      hn::StoreU(hn::Mul(sum, hn::LoadU(d, tiles.open + at)), d, group.y + at);
      hn::StoreU(hn::Mul(sum, hn::LoadU(d, grads.z + at)), d, grads.z + at);
    }
    const auto grad = hn::LoadU(d, tiles.grad + at), u = hn::LoadU(d, group.u + at);
    const auto through_b = hn::LoadU(d, tiles.through_b + at);
    const auto through_a = hn::Mul(hn::LoadU(d, tiles.through_a + at), ln2);
    hn::StoreU(fused(hn::LoadU(d, tiles.step + at), through_b, hn::Mul(skip, grad)), d,
               grads.u + at);
    const auto delta = hn::Mul(fused(through_b, u, through_a), hn::LoadU(d, tiles.sigmoid + at));
    hn::StoreU(delta, d, grads.delta + at);
    sum_skip = fused(grad, u, sum_skip);
    sum_bias = hn::Add(sum_bias, delta);
  }
  hn::StoreU(sum_skip, d, grads.skip + lane);
  hn::StoreU(sum_bias, d, grads.bias + lane);
}

void backward(const ScanGroup& group, const ScanGroupGrads& grads) {
  const Tiles tiles(group.scratch);
  for (std::int64_t lane = 0; lane < kScanLanes; lane += kWidth) {
    for (std::int64_t at = lane; at < group.tokens * kScanLanes; at += kScanLanes) {
      prepare(group, at, lane, tiles, true);
      open_gate(group, grads, at, tiles);
    }
    std::int64_t n = 0;
    for (; n + kScanStatesAtOnce <= group.states; n += kScanStatesAtOnce) {
      scan_states<kScanStatesAtOnce, true>(group, n, lane, tiles);
      adjoin_states<kScanStatesAtOnce>(group, grads, n, lane, tiles);
    }
    for (; n < group.states; ++n) {
      scan_states<1, true>(group, n, lane, tiles);
      adjoin_states<1>(group, grads, n, lane, tiles);
    }
    finish(group, grads, lane, tiles);
  }
}

#if HWY_TARGET == HWY_SCALAR
void sum_lanes(const float* from, std::int64_t count, float* to) {
  for (std::int64_t i = 0; i < count; ++i, from += kScanLanes) {
    float lanes[kScanLanes];
    std::copy_n(from, kScanLanes, lanes);
    for (std::int64_t half = kScanLanes / 2; half > 0; half /= 2) {
      for (std::int64_t l = 0; l < half; ++l) lanes[l] = lanes[l] + lanes[l + half];
    }
    to[i] = lanes[0];
  }
}
#else
/// Four results at a time: 16 lanes fold to 4 by quarters, four of those to one vector.
void sum_lanes(const float* from, std::int64_t count, float* to) {
  const hn::FixedTag<float, 4> d;
  const auto folded = [&](std::int64_t i) HWY_ATTR {
    const float* at = from + i * kScanLanes;
    return hn::Add(hn::Add(hn::LoadU(d, at), hn::LoadU(d, at + 8)),
                   hn::Add(hn::LoadU(d, at + 4), hn::LoadU(d, at + 12)));
  };
  const auto halves = [&](auto low, auto high) HWY_ATTR {
    return hn::Add(hn::ConcatLowerLower(d, high, low), hn::ConcatUpperUpper(d, high, low));
  };
  for (std::int64_t i = 0; i < count; i += 4) {
    const auto low = halves(folded(i), folded(i + 1)), high = halves(folded(i + 2), folded(i + 3));
    hn::StoreU(hn::Add(hn::ConcatEven(d, high, low), hn::ConcatOdd(d, high, low)), d, to + i);
  }
}
#endif

ScanLoops loops() { return {&forward, &backward, &sum_lanes}; }

}  // namespace zt::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zt::kernels {

ScanLoops scan_loops(cpu::SimdTarget target) {
  switch (target) {
#if HWY_TARGETS & HWY_AVX3
    case cpu::SimdTarget::avx3:
      return N_AVX3::loops();
#endif
#if HWY_TARGETS & HWY_AVX2
    case cpu::SimdTarget::avx2:
      return N_AVX2::loops();
#endif
#if HWY_TARGETS & HWY_NEON
    case cpu::SimdTarget::neon:
      return N_NEON::loops();
#endif
    default:
      return HWY_STATIC_DISPATCH(loops)();
  }
}

}  // namespace zt::kernels
#endif  // HWY_ONCE
