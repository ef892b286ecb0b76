#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "memory/nvme/nvme_store.h"

/// nvme_bench [--path FOLDER] [--gb N] [--rounds N] [--block BYTES] [--depth N] [--no_verify]
/// [--pread]
///
/// Write and read rate of NvmeStore against plain direct I/O (depth threads with pread and pwrite
/// of the same block size on one file) on the same disk; rounds of both alternate, medians count.
namespace {

using Clock = std::chrono::steady_clock;
using zt::memory::NvmeStore;

struct Options {
  std::string path = "nvme_bench";
  std::int64_t bytes = 1'000'000'000;
  int rounds = 5;
  zt::memory::AioOptions aio;
  bool verify = true;
};

Options parse(int count, char** words) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const auto next = [&] { return std::string(i + 1 < count ? words[++i] : ""); };
    if (word == "--path") options.path = next();
    if (word == "--gb") options.bytes = static_cast<std::int64_t>(std::atof(next().c_str()) * 1e9);
    if (word == "--rounds") options.rounds = std::atoi(next().c_str());
    if (word == "--block") options.aio.block_size = std::atoll(next().c_str());
    if (word == "--depth") options.aio.queue_depth = std::atoi(next().c_str());
    if (word == "--no_verify") options.verify = false;
    if (word == "--pread") options.aio.use_io_uring = false;
  }
  options.bytes = zt::round_up(options.bytes, options.aio.block_size);
  return options;
}

template <typename Work>
double rate(std::int64_t bytes, const Work& work) {
  const auto begin = Clock::now();
  work();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return static_cast<double>(bytes) / seconds / 1e9;
}

/// `depth` threads, each with every depth-th block; ends the program when the disk refuses.
void plain(int file, bool write, std::byte* data, const Options& options) {
  std::vector<std::thread> threads;
  for (int t = 0; t < options.aio.queue_depth; ++t) {
    threads.emplace_back([=, &options] {
      const auto size = static_cast<std::size_t>(options.aio.block_size);
      for (std::int64_t at = t * options.aio.block_size; at < options.bytes;
           at += options.aio.queue_depth * options.aio.block_size) {
        const ssize_t moved =
            write ? pwrite(file, data + at, size, at) : pread(file, data + at, size, at);
        if (moved != static_cast<ssize_t>(size)) {
          std::perror("plain direct I/O");
          std::exit(1);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

double median(std::vector<double> rates) {
  std::sort(rates.begin(), rates.end());
  return rates[rates.size() / 2];
}

}  // namespace

int main(int count, char** words) {
  const Options options = parse(count, words);
  const auto size = static_cast<std::size_t>(options.bytes);
  auto* data = static_cast<std::byte*>(std::aligned_alloc(4096, size));
  for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::byte>(i * 131 >> 7);
  NvmeStore store({.path = options.path, .rank = 0, .aio = options.aio, .verify = options.verify});
  const auto range = store.add("states", {options.bytes});
  const std::string name = store.folder() + "/plain";
  const int file = open(name.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
  if (file < 0 || fallocate(file, 0, 0, options.bytes) != 0) {
    std::perror(name.c_str());
    return 1;
  }
  std::vector<double> rates[4];
  for (int round = 0; round <= options.rounds; ++round) {
    const double now[4] = {rate(options.bytes, [&] { plain(file, true, data, options); }),
                           rate(options.bytes,
                                [&] {
                                  store.wait(store.write(range, {data, size}));
                                }),
                           rate(options.bytes, [&] { plain(file, false, data, options); }),
                           rate(options.bytes, [&] {
                             store.wait(store.read(range, {data, size}));
                           })};
    for (int i = 0; i < 4 && round > 0; ++i) rates[i].push_back(now[i]);  // round 0 warms up
  }
  const auto stats = store.stats();
  fmt::print("{} direct {} verify {} block {} depth {}\n", stats.engine, stats.direct,
             options.verify, options.aio.block_size, options.aio.queue_depth);
  for (const int i : {0, 2}) {
    const double base = median(rates[i]);
    const double ours = median(rates[i + 1]);
    fmt::print("{:5}: plain direct I/O {:.3f} GB/s, store {:.3f} GB/s, share {:.2f}\n",
               i == 0 ? "write" : "read", base, ours, ours / base);
  }
  close(file);
  std::free(data);
  return 0;
}
