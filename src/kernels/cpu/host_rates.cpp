#include "kernels/cpu/host_rates.h"

#include <cstring>

#include "kernels/cpu/pool_loop.h"

namespace zt::kernels::cpu {
namespace {

struct InPlace {
  float* values;
  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    float* __restrict x = values;
    for (std::int64_t i = begin; i < end; ++i) x[i] = x[i] * 0.999F + 0.001F;
  }
};

}  // namespace

void read_modify_write(const View& values, memory::HostPool& pool) {
  const InPlace body{values.as<float>()};
  const auto isa = host_isa();
  chunk_loop([&](auto begin, auto end) { run_isa(isa, body, begin, end); }, values.numel,
             kLoopChunk, &pool);
}

void copy_parallel(const View& from, const View& to, memory::HostPool& pool) {
  ZT_ASSERT(from.bytes() == to.bytes(), "copied views differ in size");
  constexpr std::int64_t kChunk = 4 << 20;  // memcpy streams blocks of this size past the caches
  const auto* source = from.as<std::byte>();
  auto* target = to.as<std::byte>();
  chunk_loop(
      [&](auto begin, auto end) {
        std::memcpy(target + begin, source + begin, static_cast<std::size_t>(end - begin));
      },
      from.bytes().value, kChunk, &pool);
}

}  // namespace zt::kernels::cpu
