#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/adamw/adamw.h"
#include "kernels/cpu/host_rates.h"
#include "kernels/cpu/simd_target.h"
#include "memory/arena.h"
#include "memory/host_pool.h"

/// adamw_bench [--json] [--threads N] [--numel N] [--rounds N]
///
/// ns per parameter of the host's AdamW on a pool of threads, and the share of the in-place
/// read-modify-write rate (x = x * a + b over fp32) that the same threads reach on the same buffers
/// in the same run. Rounds of both alternate; medians count, best rounds stand beside them (on a
/// machine that others use).
namespace {

using zt::DType;
using zt::View;
using Clock = std::chrono::steady_clock;

struct Options {
  bool json = false;
  int threads = 0;
  std::int64_t numel = 128'000'000;
  int rounds = 11;
};

double median(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

double best(const std::vector<double>& seconds) {
  return *std::min_element(seconds.begin(), seconds.end());
}

template <typename Work>
double seconds_of(const Work& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The buffers of one range of `numel` parameters, touched by the threads that work on them.
class Buffers {
 public:
  Buffers(std::int64_t numel, zt::memory::HostPool& pool)
      : numel_(numel), arena_(zt::Place::host, zt::Device::cpu, zt::Bytes{kCount * stride(numel)}) {
    for (int i = 0; i < kCount; ++i) {
      pool.touch(arena_.at({i * stride(numel)}), {stride(numel)});
      zt::kernels::cpu::read_modify_write(fp32(i), pool);
    }
    // 0.01 as fp32 and, in both halves, as bf16.
    for (const int i : {3, 5, 6}) std::fill_n(fp32(i).as<std::uint32_t>(), numel, 0x3c243c24U);
  }

  [[nodiscard]] View fp32(int i) const { return typed(i, DType::f32); }
  [[nodiscard]] View typed(int i, DType dtype) const {
    return {arena_.at({i * stride(numel_)}), numel_, dtype};
  }
  [[nodiscard]] zt::kernels::AdamWSpans spans(DType moments, DType grad, DType param) const {
    const int first = moments == DType::f32 ? 1 : 5;
    return {fp32(0), typed(first, moments), typed(first + 1, moments), typed(3, grad),
            typed(4, param)};
  }

 private:
  static constexpr int kCount = 7;  ///< master, moments, gradient, copy, moments in bf16
  static std::int64_t stride(std::int64_t numel) { return zt::round_up(numel * 4, 2 << 20); }
  std::int64_t numel_;
  zt::memory::Arena arena_;
};

struct Row {
  const char* name;
  DType moments, grad, param;
  double bytes;  ///< read and written per parameter
  std::vector<double> seconds{};
};

Options parse(int count, char** words) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const auto number = [&] { return i + 1 < count ? std::atoll(words[++i]) : 0; };
    if (word == "--json") options.json = true;
    if (word == "--threads") options.threads = static_cast<int>(number());
    if (word == "--numel") options.numel = number();
    if (word == "--rounds") options.rounds = static_cast<int>(number());
  }
  return options;
}

void print(const Options& options, const zt::memory::HostPool& pool, const Row& row,
           const std::vector<double>& in_place) {
  const double numel = static_cast<double>(options.numel);
  const double seconds = median(row.seconds);
  const double gb = row.bytes * numel / seconds / 1e9;
  const double rate = 3 * 8.0 * numel / median(in_place) / 1e9;
  const double best_share = row.bytes * best(in_place) / (24.0 * best(row.seconds));
  const char* target = zt::kernels::cpu::to_string(zt::kernels::cpu::simd_target());
  const char* format =
      options.json
          ? "{\"row\": \"%s\", \"threads\": %d, \"nodes\": %zu, \"simd\": \"%s\", "
            "\"ns_per_parameter\": %.4f, \"bytes_per_parameter\": %.0f, \"gb_per_s\": %.1f, "
            "\"read_modify_write_gb_per_s\": %.1f, \"share\": %.3f, \"share_of_best\": %.3f}\n"
          : "%-28s %3d threads %zu nodes %-8s %.4f ns/parameter (%.0f bytes) %6.1f GB/s, in place "
            "%6.1f GB/s: share %.3f (best rounds %.3f)\n";
  std::printf(format, row.name, pool.num_threads(), pool.share().nodes.size(), target,
              seconds / numel * 1e9, row.bytes, gb, rate, gb / rate, best_share);
}

}  // namespace

int main(int count, char** words) {
  const Options options = parse(count, words);
  zt::memory::HostPool pool(zt::memory::host_topology(), options.threads);
  const Buffers buffers(options.numel, pool);
  std::vector<Row> rows = {
      {"fp32 gradient, bf16 copy", DType::f32, DType::f32, DType::bf16, 30},
      {"bf16 gradient, bf16 copy", DType::f32, DType::bf16, DType::bf16, 28},
      {"fp32 gradient, fp32 copy", DType::f32, DType::f32, DType::f32, 32},
      {"bf16 moments and gradient", DType::bf16, DType::bf16, DType::bf16, 20}};
  std::vector<double> in_place;
  float factor = 1.0F;
  for (int round = 0; round <= options.rounds; ++round) {
    const double reference = seconds_of([&] {
      for (int i = 0; i < 3; ++i) zt::kernels::cpu::read_modify_write(buffers.fp32(i), pool);
    });
    if (round > 0) in_place.push_back(reference);
    for (auto& row : rows) {
      const double seconds = seconds_of([&] {
        zt::kernels::adamw(buffers.spans(row.moments, row.grad, row.param),
                           {.learning_rate = 1e-3, .weight_decay = 0.1, .step = round + 1},
                           {&factor, 1, DType::f32}, zt::Launch{.pool = &pool});
      });
      if (round > 0) row.seconds.push_back(seconds);  // round 0 warms up
    }
  }
  for (const auto& row : rows) print(options, pool, row, in_place);
  return 0;
}
