#include "bench/calibrate.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/normal.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <set>

#include "bench/calibrate_kernels.h"
#include "bench/stopwatch.h"
#include "kernels/attention/attention.h"
#include "kernels/cpu/host_probe.h"
#include "kernels/gemm/gemm.h"
#include "layer/tensor_view.h"
#include "memory/arena.h"
#include "memory/host_pool.h"
#include "memory/link_probe.h"
#include "model/qwen3.h"

namespace zt::bench {
namespace {

using layer::view_of;

class Calibration {
 public:
  explicit Calibration(const zero::RankContext& rank)
      : rank_(rank),
        queues_(memory::make_cuda_queues(rank.device_index)),
        options_(at::TensorOptions(
                     at::Device(at::kCUDA, static_cast<at::DeviceIndex>(rank.device_index)))
                     .dtype(at::kBFloat16)) {}

  plan::DeviceFile run() {
    device_.device = "cuda";
    device_.world = rank_.communicator->world();
    gemms();
    attention();
    device_.kernels = measure_kernels(*queues_, rank_.device_index);
    if (device_.world > 1) link();
    host();
    return device_;
  }

 private:
  [[nodiscard]] at::Tensor random(std::vector<std::int64_t> shape) const {
    return at::empty(shape, options_).normal_(0, 0.02);
  }
  /// Long enough for the clock that the chip keeps under such load.
  double seconds(const std::function<void(const Launch&)>& call) {
    return steady_graph_seconds(*queues_, call);
  }

  void gemms() {
    std::set<std::pair<std::int64_t, std::int64_t>> matrices;
    std::set<std::pair<std::int64_t, std::int64_t>> heads;
    for (const auto& name : {"Qwen3-0.6B", "Qwen3-4B", "Qwen3-8B"}) {
      const auto model = model::named_shape(name).value();
      const auto q = model.heads * model.head_dim, kv = model.kv_heads * model.head_dim;
      matrices.insert({model.hidden, q + 2 * kv});
      matrices.insert({q, model.hidden});
      matrices.insert({model.hidden, 2 * model.ffn});
      matrices.insert({model.ffn, model.hidden});
      heads.insert({model.hidden, model.vocab});
    }
    for (const auto& [in, out] : matrices) {
      for (const std::int64_t rows : {512, 2048, 8192, 16384}) gemm(rows, in, out);
    }
    for (const auto& [in, out] : heads) {
      for (const std::int64_t rows : {512, 2048}) gemm(rows, in, out);
    }
  }

  void gemm(std::int64_t rows, std::int64_t in, std::int64_t out) {
    // In a step the operands of a product are seldom in the cache: other sets pass between.
    constexpr int kSets = 4;
    struct Set {
      at::Tensor x, y, weight, grad, half_grad;
    };
    std::vector<Set> sets;
    for (int s = 0; s < (in * out > (1LL << 27) ? 1 : kSets); ++s) {
      sets.push_back({random({rows, in}), random({rows, out}), random({out, in}),
                      at::zeros({out, in}, options_.dtype(at::kFloat)),
                      at::zeros({out, in}, options_)});
    }
    const auto each = [&](auto call) {
      const auto all = [&](const Launch&) {
        for (const auto& set : sets) call(set);
      };
      return seconds(all) / static_cast<double>(sets.size());
    };
    plan::GemmTime time{rows, in, out};
    time.forward = each([](const Set& s) { kernels::linear_forward(s.x, s.weight, s.y); });
    time.grad_input =
        each([](const Set& s) { kernels::linear_backward_input(s.y, s.weight, s.x, false); });
    time.grad_weight =
        each([](const Set& s) { kernels::linear_backward_weight(s.y, s.x, s.grad); });
    time.grad_weight_half =
        each([](const Set& s) { kernels::linear_backward_weight(s.y, s.x, s.half_grad); });
    device_.gemms.push_back(time);
  }

  void attention() {
    const kernels::AttentionShape shapes[] = {{1, 512, 16, 8, 128},  {4, 512, 16, 8, 128},
                                              {16, 512, 16, 8, 128}, {16, 1024, 16, 8, 128},
                                              {4, 2048, 32, 8, 128}, {2, 4096, 32, 8, 128}};
    for (const auto& shape : shapes) {
      for (const bool deterministic : {false, true}) attention(shape, deterministic);
    }
  }

  void attention(const kernels::AttentionShape& shape, bool deterministic) {
    const auto heads = [&](std::int64_t count) {
      return random({shape.batch, shape.sequence, count, shape.head_dim});
    };
    const auto q = heads(shape.q_heads), k = heads(shape.kv_heads), v = heads(shape.kv_heads);
    const auto out = heads(shape.q_heads), grad = heads(shape.q_heads);
    const auto lse =
        at::zeros({shape.batch, shape.q_heads, shape.sequence}, options_.dtype(at::kFloat));
    plan::AttentionTime time{shape.batch,    shape.sequence, shape.q_heads,
                             shape.kv_heads, shape.head_dim, deterministic};
    time.forward = seconds([&](const Launch& launch) {
      kernels::attention_forward(q, k, v, {}, out, lse, shape, deterministic, launch);
    });
    time.backward = seconds([&](const Launch& launch) {
      (void)kernels::attention_backward({q, k, v, {}, out, lse, grad}, shape, deterministic,
                                        launch);
    });
    device_.attention.push_back(time);
  }

  /// Copies and the host's optimizer of one rank, while the others are at theirs.
  void host() {
    constexpr double kAdamWShare = 0.9;  // of the in-place rate; benchmarks/results/offload_host_*
    constexpr double kGiga = 1e9;
    const auto copies = memory::probe_link(Device::cuda, rank_.device_index, true);
    memory::HostPool pool(
        memory::share_of_rank(memory::host_topology(), rank_.local_rank, rank_.local_world));
    const auto probe = kernels::cpu::probe_host(pool);
    device_.host.download = copies.download;
    device_.host.upload = copies.upload;
    device_.host.optimizer = kAdamWShare * kGiga * probe.read_modify_write_gb_per_s;
  }

  void link() {
    auto& communicator = *rank_.communicator;
    const auto world = communicator.world();
    const std::int64_t part = 32 << 20;
    const auto whole = random({part * world}), received = random({part * world});
    const View all = view_of(whole), other = view_of(received);
    const auto gather = [&](std::int64_t count) {
      const View recv = all.slice(0, count * world);
      return stream_seconds(*queues_, [&](const Launch& launch) {
        communicator.all_gather(recv.slice(communicator.rank() * count, count), recv, launch);
      });
    };
    constexpr double kBytes = 2;
    const double sent = kBytes * static_cast<double>(part * (world - 1));
    device_.link_latency = gather(64);
    device_.gather_rate = sent / gather(part);
    device_.exchange_rate = sent / stream_seconds(*queues_, [&](const Launch& launch) {
                              communicator.all_to_all(all, other, launch);
                            });
    const auto gather_all = [&](const Launch& launch) {
      communicator.all_gather(all.slice(communicator.rank() * part, part), all, launch);
    };
    for (const std::int64_t rows : {512, 8192}) overlap(rows, gather_all);
  }

  /// Products beside gathers, which end first: what each loses by the other.
  void overlap(std::int64_t rows, const memory::Queues::Work& gather) {
    constexpr std::int64_t kWidth = 4096, kOps = 2;
    constexpr int kGathers = 20;
    const auto x = random({rows, kWidth}), weight = random({kWidth, kWidth}),
               y = random({rows, kWidth});
    const auto product = [&](const Launch&) { kernels::linear_forward(x, weight, y); };
    const double one = seconds([&](const Launch& launch) {
                         for (int i = 0; i < kGathers; ++i) product(launch);
                       }) /
                       kGathers;
    const double link = kGathers * stream_seconds(*queues_, gather);
    // Twice the time of the gathers, which may take longer beside products.
    const int products = static_cast<int>(2.5 * link / one) + 1;
    const memory::Queues::Work work[] = {[&](const Launch& launch) {
                                           for (int i = 0; i < kGathers; ++i) gather(launch);
                                         },
                                         [&](const Launch& launch) {
                                           for (int i = 0; i < products; ++i) product(launch);
                                         }};
    const auto issue = [&](bool beside) {
      queues_->begin(kOps);
      if (beside) queues_->submit(1, 0, {}, false, work[0]);
      queues_->submit(0, 1, {}, false, work[1]);
    };
    const auto run = [&](bool beside) {  // seconds of both queues
      const auto graph = queues_->capture(kOps, [&] { issue(beside); });
      queues_->replay(*graph);
      queues_->replay(*graph);
      double queue_seconds[kOps] = {};
      for (const auto& time : queues_->times()) queue_seconds[time.queue] += time.end - time.begin;
      return std::pair(queue_seconds[0], queue_seconds[1]);
    };
    queues_->measure(true);
    issue(true);  // warms up
    const auto alone = run(false), both = run(true);
    queues_->measure(false);
    device_.overlaps.push_back(
        {rows, std::max(0.0, (both.first - alone.first) / both.second), both.second / link});
  }

  const zero::RankContext& rank_;
  std::unique_ptr<memory::Queues> queues_;
  at::TensorOptions options_;
  plan::DeviceFile device_;
};

}  // namespace

plan::DeviceFile calibrate(const zero::RankContext& rank) {
  if (rank.device != Device::cuda) {
    throw DeviceError("[bench.calibrate] device files describe GPUs. Run without --use_cpu.");
  }
  const at::AutoDispatchBelowAutograd below_autograd;
  memory::set_device(rank.device, rank.device_index);
  return Calibration(rank).run();
}

}  // namespace zt::bench
