#include "memory/nvme/disk_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>

#include "memory/nvme/nvme_store.h"

namespace zt::memory {
namespace {

using Clock = std::chrono::steady_clock;

/// Below this a disk is slower than any NVMe disk of its own.
constexpr double kSlowGbPerS = 1.0;
constexpr std::int64_t kMost = 256 << 20;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct Moved {
  std::int64_t bytes = 0;
  double rate = 0;  ///< GB/s
};

/// Pieces of `piece` bytes, two under way, until `most` bytes or the budget are used up.
template <typename Start>
Moved move_pieces(NvmeStore& store, std::int64_t piece, std::int64_t most, double budget,
                  const Start& start) {
  const auto begin = Clock::now();
  std::int64_t started = 0;
  NvmeTicket before{};
  while (started < most && (started == 0 || seconds_since(begin) < budget)) {
    const NvmeTicket ticket = start(started);
    started += piece;
    if (before.id != 0) store.wait(before);
    before = ticket;
  }
  store.wait_all();
  return {started, static_cast<double>(started) / seconds_since(begin) / 1e9};
}

std::string judge(const DiskProbe& probe) {
  if (!probe.direct) {
    return "the file system under nvme_path has no direct I/O: every byte also takes page cache";
  }
  const double slower = std::min(probe.read_gb_per_s, probe.write_gb_per_s);
  if (slower < kSlowGbPerS) {
    return fmt::format("the disk under nvme_path moves {:.2f} GB/s, less than one NVMe disk",
                       slower);
  }
  if (probe.engine != "io_uring") return "requests go through " + probe.engine;
  return {};
}

}  // namespace

DiskProbe probe_disk(const std::string& path, const AioOptions& aio, double budget_seconds) {
  NvmeStore store({.path = path, .rank = 0, .aio = aio});
  const std::int64_t block = store.block_size().value;
  const std::int64_t piece = std::max(block, (8 << 20) / block * block);
  const std::int64_t size = std::max<std::int64_t>(1, kMost / piece) * piece;
  const auto range = store.add("probe", {size});
  const std::unique_ptr<std::byte, decltype(&std::free)> buffer(
      static_cast<std::byte*>(std::aligned_alloc(static_cast<std::size_t>(store.alignment().value),
                                                 static_cast<std::size_t>(2 * piece))),
      &std::free);
  if (!buffer) throw std::bad_alloc();
  std::fill_n(buffer.get(), 2 * piece, std::byte{0x5a});
  // Two pieces under way: each has a half of the buffer.
  const auto half = [&](std::int64_t at) {
    return std::span(buffer.get() + at / piece % 2 * piece, static_cast<std::size_t>(piece));
  };
  const auto written = move_pieces(store, piece, size, budget_seconds, [&](std::int64_t at) {
    return store.write(range, half(at), {at});
  });
  const auto read = move_pieces(store, piece, written.bytes, budget_seconds,
                                [&](std::int64_t at) { return store.read(range, half(at), {at}); });
  const auto stats = store.stats();
  DiskProbe result{.write_gb_per_s = written.rate,
                   .read_gb_per_s = read.rate,
                   .direct = stats.direct,
                   .engine = stats.engine,
                   .verdict = {}};
  result.verdict = judge(result);
  return result;
}

}  // namespace zt::memory
