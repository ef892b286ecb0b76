// checkpoint_save_bench FOLDER [ranks] [millions of parameters] [rounds]
//
// How fast `ranks` threads save one native checkpoint (bf16 weights, fp32 master and moments, of
// layers as large as a 0.6B model's) beside as many plain direct writers of the same bytes, once
// from ordinary memory and once from huge pages (the disk's limit), in turns in the same folder.
// All of them sync before the clock stops. One
// JSON line per measurement.
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "checkpoint/file_io.h"
#include "checkpoint/native_save.h"
#include "checkpoint/piece_writer.h"
#include "comm/inproc/memory_store.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;
using layout::StateKind;

constexpr std::int64_t kBlock = 8 << 20;     ///< bytes of one plain write
constexpr std::int64_t kLayer = 15'728'640;  ///< parameters of one tensor

/// Bytes that no disk can shorten.
StagingMemory random_bytes(std::int64_t size) {
  auto memory = allocate_staging(size);
  std::mt19937_64 random(7);
  for (std::int64_t i = 0; i < size; i += 8) {
    const auto value = random();
    std::copy_n(reinterpret_cast<const std::byte*>(&value), 8, memory.get() + i);
  }
  return memory;
}

void on_threads(int count, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
  for (auto& thread : threads) thread.join();
}

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Small pages, as a program gets them that does not ask for others.
StagingMemory ordinary_memory() {
  auto memory = allocate_staging(kBlock);
  static_cast<void>(madvise(memory.get(), kBlock, MADV_NOHUGEPAGE));
  return memory;
}

void write_plain(const std::string& folder, int ranks, std::int64_t bytes, const std::byte* data,
                 bool huge) {
  fs::create_directories(folder);
  on_threads(ranks, [&](int rank) {
    const auto mine = huge ? allocate_staging(kBlock) : ordinary_memory();
    std::copy_n(data, kBlock, mine.get());
    const File file(folder + "/plain-" + std::to_string(rank), File::Mode::create);
    const auto direct = file.reopen_direct();
    for (std::int64_t at = 0; at < bytes / ranks / kBlock * kBlock; at += kBlock) {
      const std::span<const std::byte> block{mine.get(), kBlock};
      if (!direct.is_open() || !direct.write_direct(at, block)) file.write(at, block);
    }
    file.sync();
  });
}

/// Slices of a unit's shard, in pieces as a rank drains them from its device.
void write_rank(NativeSave& save, const std::vector<layout::ParamSpec>& params, int rank, int ranks,
                std::byte* data) {
  for (int p = 0; p < static_cast<int>(params.size()); ++p) {
    const auto numel = params[static_cast<std::size_t>(p)].numel().value;
    const auto begin = numel * rank / ranks, end = numel * (rank + 1) / ranks;
    for (const auto kind :
         {StateKind::weight, StateKind::master, StateKind::exp_avg, StateKind::exp_avg_sq}) {
      const auto dtype = save.layout().dtype(kind, {p});
      const auto step = kBlock / size_of(dtype).value;
      for (auto at = begin; at < end; at += step) {
        const auto count = std::min(step, end - at);
        save.write({kind, {p}, at, {count}}, {data, count, dtype});
      }
    }
  }
}

std::int64_t save_native(const NativeSaveOptions& options,
                         const std::vector<layout::ParamSpec>& params, int ranks, std::byte* data) {
  const auto store = comm::make_memory_store();
  std::int64_t bytes = 0;
  on_threads(ranks, [&](int rank) {
    NativeSave save(options, params,
                    exchange_over_store(*store, rank, ranks, "bench", std::chrono::minutes(5)));
    write_rank(save, params, rank, ranks, data);
    save.publish();
    if (rank == 0) bytes = save.layout().total().value;
  });
  return bytes;
}

int run(const std::string& folder, int ranks, int millions, int rounds) {
  std::vector<layout::ParamSpec> params;
  for (std::int64_t left = millions * 1'000'000LL; left > 0; left -= kLayer) {
    params.push_back({.name = fmt::format("model.layers.{}.w", params.size()),
                      .shape = {std::min(left, kLayer)}});
  }
  fs::create_directories(folder + "/source");
  std::ofstream(folder + "/source/config.json") << "{}";
  NativeSaveOptions options;
  options.output_dir = folder + "/out";
  options.source = folder + "/source";
  options.tensors.dtype = DType::bf16;
  const auto data = random_bytes(kBlock);
  std::vector<double> ratios;
  for (int round = 0; round < rounds; ++round) {
    std::int64_t bytes = 0;
    const auto save = seconds_of([&] { bytes = save_native(options, params, ranks, data.get()); });
    fs::remove_all(options.output_dir);
    const auto plain = [&](bool huge) {
      const auto seconds =
          seconds_of([&] { write_plain(folder + "/plain", ranks, bytes, data.get(), huge); });
      fs::remove_all(folder + "/plain");
      return seconds;
    };
    const auto ordinary = plain(false), limit = plain(true);
    ratios.push_back(ordinary / save);
    const auto rate = [&](double seconds) { return static_cast<double>(bytes) / seconds / 1e6; };
    std::printf("%s\n", fmt::format(R"({{"ranks": {}, "bytes": {}, "save_mb_s": {:.0f}, )"
                                    R"("plain_mb_s": {:.0f}, "plain_huge_mb_s": {:.0f}, )"
                                    R"("ratio": {:.3f}, "ratio_huge": {:.3f}}})",
                                    ranks, bytes, rate(save), rate(ordinary), rate(limit),
                                    ratios.back(), limit / save)
                            .c_str());
    std::fflush(stdout);
  }
  std::sort(ratios.begin(), ratios.end());
  std::printf("%s\n",
              fmt::format(R"({{"median_ratio": {:.3f}, "lowest": {:.3f}, "highest": {:.3f}}})",
                          ratios[ratios.size() / 2], ratios.front(), ratios.back())
                  .c_str());
  return 0;
}

}  // namespace
}  // namespace zt::checkpoint

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s FOLDER [ranks] [millions of parameters] [rounds]\n", argv[0]);
    return 2;
  }
  const auto number = [&](int index, int fallback) {
    return argc > index ? std::atoi(argv[index]) : fallback;
  };
  return zt::checkpoint::run(argv[1], number(2, 4), number(3, 100), number(4, 5));
}
