#include "doctor/loopback.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <vector>

#include "base/error.h"
#include "comm/rendezvous.h"
#include "launch/run_ranks.h"
#include "memory/arena.h"
#include "memory/queues.h"

namespace zt::doctor {
namespace {

constexpr std::int64_t kCpuNumel = 4 << 20, kCudaNumel = 64 << 20;  ///< fp32: 16 and 256 MiB
constexpr int kRounds = 5;

/// The buffers of one rank, and what fills and reads them from the host.
class Buffers {
 public:
  Buffers(Device device, std::int64_t numel, int world)
      : device_(device),
        numel_(numel),
        shard_(numel / world),
        host_(static_cast<std::size_t>(numel), 1.0F),
        arena_(Place::device, device, storage({numel + numel / world}, DType::f32)) {}

  [[nodiscard]] View whole() const { return {arena_.at(Bytes{0}), numel_, DType::f32}; }
  [[nodiscard]] View shard() const {
    return {arena_.at(storage({numel_}, DType::f32)), shard_, DType::f32};
  }
  void fill(const Launch& launch) {
    std::fill(host_.begin(), host_.end(), 1.0F);  // `holds` left the last result there
    memory::copy({host_.data(), numel_, DType::f32}, whole(), launch);
  }
  /// True when every element is `expected`.
  [[nodiscard]] bool holds(float expected, const Launch& launch) {
    memory::copy(whole(), {host_.data(), numel_, DType::f32}, launch);
    memory::synchronize(launch);
    return std::all_of(host_.begin(), host_.end(), [&](float value) { return value == expected; });
  }

 private:
  Device device_;
  std::int64_t numel_, shard_;
  std::vector<float> host_;
  memory::Arena arena_;
};

/// Seconds of one all-reduce, made of the two halves that training uses; the sum stays in `whole`.
double reduce_once(comm::Communicator& communicator, const Buffers& buffers, const Launch& launch) {
  communicator.barrier();
  const auto begun = std::chrono::steady_clock::now();
  communicator.reduce_scatter_sum(buffers.whole(), buffers.shard(), launch);
  communicator.all_gather(buffers.shard(), buffers.whole(), launch);
  memory::synchronize(launch);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

std::string rate_text(double rate, double bytes, int ranks) {
  char text[128];
  std::snprintf(text, sizeof(text), "%d ranks, %.1f GB/s bus bandwidth for %.0f MB, sums are right",
                ranks, rate, bytes / 1e6);
  return text;
}

}  // namespace

void run_probe(const config::RankEnvironment& env, Device device, const std::string& file) {
  memory::set_device(device, env.local_rank);
  const auto group = comm::rendezvous({.rank = env.rank,
                                       .world = env.world_size,
                                       .local_rank = env.local_rank,
                                       .master_addr = env.master_addr,
                                       .master_port = env.master_port,
                                       .listen_fd = env.listen_fd,
                                       .connect_timeout = std::chrono::seconds(60),
                                       .timeout = std::chrono::seconds(60),
                                       .local_world = env.local_world_size},
                                      device);
  const auto queues = device == Device::cuda ? memory::make_cuda_queues(env.local_rank) : nullptr;
  const Launch launch = queues ? queues->compute() : Launch{};
  const std::int64_t numel =
      (device == Device::cuda ? kCudaNumel : kCpuNumel) / env.world_size * env.world_size;
  Buffers buffers(device, numel, env.world_size);
  double best = 1e9;
  bool right = true;
  for (int round = 0; round < kRounds; ++round) {
    buffers.fill(launch);
    memory::synchronize(launch);
    best = std::min(best, reduce_once(group->communicator(), buffers, launch));
    right = right && buffers.holds(static_cast<float>(env.world_size), launch);
  }
  group->communicator().barrier();
  if (!right) {
    group->report_failure("the sums are wrong");
    throw CommError("[doctor.loopback] rank " + std::to_string(env.rank) +
                    ": the sums are wrong. Do not train on this machine.");
  }
  if (env.rank == 0) {
    const double share = 2.0 * (env.world_size - 1) / env.world_size;
    std::ofstream(file) << share * static_cast<double>(numel) * 4 / best / 1e9 << " "
                        << static_cast<double>(numel) * 4;
  }
  group->leave();
}

Verdict check_loopback(Device device, int ranks) {
  Verdict verdict{.check = device == Device::cuda ? "NCCL all-reduce" : "Gloo all-reduce"};
  const int file = memfd_create("zt_doctor", 0);
  // The launcher's own path to the same memory: descriptors of this process, seen from the ranks.
  const std::string path = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(file);
  launch::LaunchOptions options;
  options.nproc = ranks;
  options.arguments = {"doctor", "--rank_probe", path, "--device",
                       device == Device::cuda ? "cuda" : "cpu"};
  const launch::RanksEnd end = launch::supervise_ranks(options, {});
  char text[64] = {};
  const ssize_t got = pread(file, text, sizeof(text) - 1, 0);
  close(file);
  double bytes = 0;
  if (end.status == 0 && got > 0 && std::sscanf(text, "%lf %lf", &verdict.value, &bytes) == 2) {
    verdict.text = rate_text(verdict.value, bytes, ranks);
    verdict.unit = "GB/s";
    return verdict;
  }
  verdict.level = Level::bad;
  verdict.text = end.failure.empty() ? "nothing was measured" : end.failure;
  verdict.remedy = device == Device::cuda
                       ? "NCCL_DEBUG=INFO zt doctor shows where it stops; try NCCL_P2P_DISABLE=1"
                       : "Is the interface lo up, and may programs listen on 127.0.0.1?";
  return verdict;
}

}  // namespace zt::doctor
