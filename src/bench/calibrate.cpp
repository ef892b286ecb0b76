#include "bench/calibrate.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/normal.h>
#include <ATen/ops/zeros.h>

#include <chrono>
#include <set>

#include "bench/stopwatch.h"
#include "kernels/adamw/adamw.h"
#include "kernels/attention/attention.h"
#include "kernels/gemm/gemm.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/swiglu/swiglu.h"
#include "layer/tensor_view.h"
#include "memory/arena.h"
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
    kernels();
    if (device_.world > 1) link();
    return device_;
  }

 private:
  [[nodiscard]] at::Tensor random(std::vector<std::int64_t> shape) const {
    return at::empty(shape, options_).normal_(0, 0.02);
  }
  double seconds(const std::function<void(const Launch&)>& call, int repeats = 8) {
    return graph_seconds(*queues_, call, repeats);
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
    constexpr int kSets = 4;  // more bytes than the L2 holds
    const auto x = random({rows, in}), y = random({rows, out});
    std::vector<at::Tensor> weights, grads;
    for (int s = 0; s < (in * out > (1LL << 27) ? 1 : kSets); ++s) {
      weights.push_back(random({out, in}));
      grads.push_back(at::zeros({out, in}, options_.dtype(at::kFloat)));
    }
    const auto each = [&](auto call) {
      const auto all = [&](const Launch&) {
        for (std::size_t s = 0; s < weights.size(); ++s) call(weights[s], grads[s]);
      };
      return seconds(all) / static_cast<double>(weights.size());
    };
    plan::GemmTime time{rows, in, out};
    time.forward = each([&](const auto& w, const auto&) { kernels::linear_forward(x, w, y); });
    time.grad_input =
        each([&](const auto& w, const auto&) { kernels::linear_backward_input(y, w, x, false); });
    time.grad_weight =
        each([&](const auto&, const auto& g) { kernels::linear_backward_weight(y, x, g); });
    device_.gemms.push_back(time);
  }

  void attention() {
    const kernels::AttentionShape shapes[] = {{1, 512, 16, 8, 128},  {4, 512, 16, 8, 128},
                                              {16, 512, 16, 8, 128}, {16, 1024, 16, 8, 128},
                                              {4, 2048, 32, 8, 128}, {2, 4096, 32, 8, 128}};
    for (const auto& shape : shapes) {
      const auto heads = [&](std::int64_t count) {
        return random({shape.batch, shape.sequence, count, shape.head_dim});
      };
      const auto q = heads(shape.q_heads), k = heads(shape.kv_heads), v = heads(shape.kv_heads);
      const auto out = heads(shape.q_heads), grad = heads(shape.q_heads);
      const auto lse =
          at::zeros({shape.batch, shape.q_heads, shape.sequence}, options_.dtype(at::kFloat));
      plan::AttentionTime time{shape.batch, shape.sequence, shape.q_heads, shape.kv_heads,
                               shape.head_dim};
      time.forward = seconds([&](const Launch& launch) {
        kernels::attention_forward(q, k, v, {}, out, lse, shape, false, launch);
      });
      time.backward = seconds([&](const Launch& launch) {
        (void)kernels::attention_backward({q, k, v, {}, out, lse, grad}, shape, false, launch);
      });
      device_.attention.push_back(time);
    }
  }

  void kernels() {
    const std::int64_t rows = 16384, ffn = 3072;
    const auto gate_up = random({rows, 2 * ffn}), y = random({rows, ffn});
    // SwiGLU, the norms and RoPE together, weighted by their bytes, reach this much of SwiGLU's
    // rate.
    constexpr double kOfRowKernels = 0.72, kBytes = 2;
    const double swiglu = seconds([&](const Launch& launch) {
      kernels::swiglu_forward(view_of(gate_up), view_of(y), rows, ffn, launch);
    });
    device_.row_rate = kOfRowKernels * kBytes * static_cast<double>(rows * 3 * ffn) / swiglu;
    const std::int64_t numel = 1 << 26;
    const auto flat = [&] { return at::zeros({numel}, options_.dtype(at::kFloat)); };
    const auto master = flat(), exp_avg = flat(), exp_avg_sq = flat(), grad = flat();
    const auto param = random({numel});
    const auto factor = at::zeros({1}, options_.dtype(at::kFloat)).add_(1);
    const double adamw = seconds([&](const Launch& launch) {
      kernels::adamw(
          {view_of(master), view_of(exp_avg), view_of(exp_avg_sq), view_of(grad), view_of(param)},
          kernels::AdamWParams{.learning_rate = 1e-5}, view_of(factor), launch);
    });
    constexpr double kAdamWBytes = 30;
    device_.flat_rate = kAdamWBytes * static_cast<double>(numel) / adamw;
    // Kernels over few rows wait for memory once or twice, whatever their size.
    constexpr int kMany = 50;
    const auto x = random({512, 1024}), normed = random({512, 1024}), weight = random({1024});
    const auto rstd = at::zeros({512}, options_.dtype(at::kFloat));
    const double norms = seconds([&](const Launch& launch) {
      for (int i = 0; i < kMany; ++i) {
        kernels::rms_norm_forward({.x = view_of(x),
                                   .weight = view_of(weight),
                                   .y = view_of(normed),
                                   .rstd = view_of(rstd)},
                                  {512, 1024, 1e-6F}, launch);
      }
    });
    device_.kernel_gap = norms / kMany;
  }

  void link() {
    auto& communicator = *rank_.communicator;
    const auto world = communicator.world();
    const std::int64_t part = 32 << 20;
    const auto whole = random({part * world});
    const View all = view_of(whole);
    const auto gather = [&](std::int64_t count) {
      const View recv = all.slice(0, count * world);
      return stream_seconds(*queues_, [&](const Launch& launch) {
        communicator.all_gather(recv.slice(communicator.rank() * count, count), recv, launch);
      });
    };
    constexpr double kBytes = 2;
    device_.link_latency = gather(64);
    device_.link_rate = kBytes * static_cast<double>(part * (world - 1)) / gather(part);
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
