/// Times the ordered reduction (all_to_all + ordered_sum) beside Gloo's own reduce-scatter.
/// usage: dist_reduce_bench [ranks] [MB of gradient]

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "kernels/ordered_sum/ordered_sum.h"
#include "testing/rank_launcher.h"

namespace {

template <typename Call>
double median_seconds(zt::comm::Communicator& comm, const Call& call) {
  std::vector<double> seconds;
  for (int i = 0; i < 9; ++i) {
    comm.barrier();
    const auto start = std::chrono::steady_clock::now();
    call();
    comm.barrier();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

void measure(zt::comm::Communicator& comm, std::int64_t numel, zt::DType dtype) {
  const std::int64_t part = numel / comm.world(), whole = part * comm.world();
  std::vector<float> send(static_cast<std::size_t>(whole)), recv(send.size());
  std::vector<float> out(static_cast<std::size_t>(part));
  const zt::View from{send.data(), whole, dtype}, to{recv.data(), whole, dtype};
  const zt::View sum{out.data(), part, zt::DType::f32}, native{out.data(), part, dtype};
  const double exchange = median_seconds(comm, [&] { comm.all_to_all(from, to, {}); });
  const double ordered = median_seconds(comm, [&] {
    comm.all_to_all(from, to, {});
    zt::kernels::ordered_sum(to, comm.world(), sum, false, {});
  });
  const double gloo = median_seconds(comm, [&] { comm.reduce_scatter_sum(from, native, {}); });
  if (comm.rank() == 0) {
    std::printf(
        "%d ranks, %.0f MB %s: all_to_all %.1f ms, with ordered sum %.1f ms, "
        "Gloo reduce_scatter %.1f ms\n",
        comm.world(), static_cast<double>(from.bytes().value) / 1e6, zt::to_string(dtype),
        exchange * 1e3, ordered * 1e3, gloo * 1e3);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int ranks = argc > 1 ? std::stoi(argv[1]) : 4;
  const std::int64_t megabytes = argc > 2 ? std::stoll(argv[2]) : 100;
  const auto results = zt::testing::run_processes(ranks, [&](zt::comm::RankGroup& group) {
    measure(group.communicator(), megabytes * 250'000, zt::DType::f32);
    measure(group.communicator(), megabytes * 500'000, zt::DType::bf16);
  });
  return std::all_of(results.begin(), results.end(), [](const auto& r) { return r.succeeded; }) ? 0
                                                                                                : 1;
}
