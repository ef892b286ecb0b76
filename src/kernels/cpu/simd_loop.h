#pragma once

#include <algorithm>
#include <cstdint>

namespace zt::kernels::cpu {

/// Instruction sets that loops are compiled for.
enum class Isa : std::uint8_t { baseline, avx2, avx512 };

/// The best one this processor has.
inline Isa host_isa() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return Isa::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return Isa::avx2;
  }
#endif
  return Isa::baseline;
}

/// Runs body(begin, end) compiled for `isa`. The call operator of `Body` must be always_inline; the
/// compiler then vectorises its loop once per instruction set. As every fma is explicit and
/// -ffp-contract=off, all of them give the same bits.
template <typename Body>
[[gnu::noinline]] void run_baseline(const Body& body, std::int64_t begin, std::int64_t end) {
  body(begin, end);
}
#if defined(__x86_64__)
template <typename Body>
[[gnu::noinline, gnu::target("avx2,fma")]] void run_avx2(const Body& body, std::int64_t begin,
                                                         std::int64_t end) {
  body(begin, end);
}
template <typename Body>
[[gnu::noinline, gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]] void run_avx512(
    const Body& body, std::int64_t begin, std::int64_t end) {
  body(begin, end);
}
#endif

template <typename Body>
void run_isa(Isa isa, const Body& body, std::int64_t begin, std::int64_t end) {
#if defined(__x86_64__)
  switch (isa) {
    case Isa::avx512:
      return run_avx512(body, begin, end);
    case Isa::avx2:
      return run_avx2(body, begin, end);
    case Isa::baseline:
      break;
  }
#endif
  static_cast<void>(isa);
  run_baseline(body, begin, end);
}

/// Elements that one thread takes at a time.
inline constexpr std::int64_t kLoopChunk = 32768;

/// Runs `body` over [0, count) in chunks of `chunk` on OpenMP's threads. Chunks never depend on the
/// number of threads.
template <typename Body>
void simd_loop(const Body& body, std::int64_t count, std::int64_t chunk = kLoopChunk) {
  const Isa isa = host_isa();
  const std::int64_t chunks = (count + chunk - 1) / chunk;
#pragma omp parallel for schedule(static) if (chunks > 1)
  for (std::int64_t i = 0; i < chunks; ++i) {
    run_isa(isa, body, i * chunk, std::min(count, (i + 1) * chunk));
  }
}

}  // namespace zt::kernels::cpu
