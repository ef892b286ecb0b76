#include "kernels/cpu/host_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <iterator>

#include "kernels/cpu/host_rates.h"
#include "kernels/cpu/simd_target.h"
#include "memory/arena.h"
#include "memory/host_memory.h"

namespace zt::kernels::cpu {
namespace {

using Clock = std::chrono::steady_clock;

template <typename Work>
double seconds_of(const Work& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// The best of three: other programs only ever make it slower.
template <typename Work>
double best_seconds(const Work& work) {
  double best = seconds_of(work);
  for (int i = 0; i < 2; ++i) best = std::min(best, seconds_of(work));
  return best;
}

bool has_huge_pages() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  return !text.empty() && text.find("[never]") == std::string::npos;
}

}  // namespace

std::vector<std::string> host_verdicts(const memory::HostPool& pool) {
  const auto& share = pool.share();
  std::vector<std::string> verdicts;
  if (simd_target() == SimdTarget::scalar) {
    verdicts.emplace_back(
        "this processor has no fused multiply-add in vectors: AdamW runs in scalar code");
  }
  if (share.quota > 0 && share.quota < 0.9 * share.num_cores()) {
    verdicts.push_back(
        fmt::format("the cgroup grants {:.1f} of {} cores", share.quota, share.num_cores()));
  }
  if (!has_huge_pages()) {
    verdicts.emplace_back("transparent huge pages are off (`never`): every 4 KiB costs a lookup");
  }
  const int wanted = share.threads > 0 ? share.threads : share.num_cores();
  if (pool.num_threads() < wanted / 2) {
    verdicts.push_back(fmt::format("{} threads work on host memory, there is room for {}",
                                   pool.num_threads(), wanted));
  }
  return verdicts;
}

HostProbe probe_host(memory::HostPool& pool) {
  const auto& share = pool.share();
  HostProbe probe{.threads = pool.num_threads(),
                  .nodes = static_cast<int>(share.nodes.size()),
                  .machine_nodes = share.machine_nodes,
                  .simd = to_string(simd_target()),
                  .huge_pages = has_huge_pages(),
                  .available = memory::available_host_memory(),
                  .verdicts = {}};
  // 32 MiB per thread, from 128 MiB to 1 GiB: more than its share of any last-level cache.
  const std::int64_t bytes =
      std::clamp<std::int64_t>(std::int64_t{32 << 20} * pool.num_threads(), 128 << 20, 1 << 30);
  const memory::Arena arena(Place::host, Device::cpu, {bytes});
  pool.touch(arena.at({0}), {bytes / 2});  // two buffers, each spread over the nodes
  pool.touch(arena.at({bytes / 2}), {bytes / 2});
  const View all{arena.at({0}), bytes / 4, DType::f32};
  const View lower = all.slice(0, bytes / 8);
  const View upper = all.slice(bytes / 8, bytes / 8);
  const double size = static_cast<double>(bytes);
  probe.read_modify_write_gb_per_s =
      2 * size / 1e9 / best_seconds([&] { read_modify_write(all, pool); });
  probe.copy_gb_per_s = size / 1e9 / best_seconds([&] { copy_parallel(lower, upper, pool); });
  probe.verdicts = host_verdicts(pool);
  return probe;
}

}  // namespace zt::kernels::cpu
