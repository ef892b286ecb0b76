#pragma once

#include "kernels/cpu/simd_loop.h"
#include "memory/host_pool.h"

namespace zt::kernels::cpu {

/// Calls work(begin, end) for [0, count) in chunks of `chunk`, on the pool or on OpenMP's threads.
/// Chunks depend on neither.
template <typename Work>
void chunk_loop(const Work& work, std::int64_t count, std::int64_t chunk, memory::HostPool* pool) {
  const std::int64_t chunks = (count + chunk - 1) / chunk;
  const auto one = [&](std::int64_t i) { work(i * chunk, std::min(count, (i + 1) * chunk)); };
  if (pool != nullptr) return pool->run(chunks, one);
#pragma omp parallel for schedule(static) if (chunks > 1)
  for (std::int64_t i = 0; i < chunks; ++i) one(i);
}

}  // namespace zt::kernels::cpu
