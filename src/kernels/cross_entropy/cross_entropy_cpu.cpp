#include <cmath>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/rows.h"
#include "kernels/cross_entropy/cross_entropy_impl.h"

namespace zt::kernels {
namespace {

using cpu::from_float;
using cpu::to_float;

constexpr std::int64_t kRowChunk = 2;

template <typename T, typename G>
struct Rows {
  CrossEntropy io;
  std::int64_t vocab;
  float scale;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t row = begin; row < end; ++row) {
      const T* logits = io.logits.as<T>() + row * vocab;
      const auto target = io.targets.as<std::int64_t>()[row];
      G* grad = io.grad.numel > 0 ? io.grad.as<G>() + row * vocab : nullptr;
      if (target < 0) {
        io.row_loss.as<float>()[row] = 0.0F;
        if (grad != nullptr) {
          for (std::int64_t v = 0; v < vocab; ++v) grad[v] = from_float<G>(0.0F);
        }
        continue;
      }
      const float largest = cpu::lane_max(
          vocab, [logits](std::int64_t v) [[gnu::always_inline]] { return to_float(logits[v]); });
      const float sum = cpu::lane_sum(vocab, [=](std::int64_t v) [[gnu::always_inline]] {
        return cpu::exponential(to_float(logits[v]) - largest);
      });
      const float at_target = to_float(logits[target]);
      io.row_loss.as<float>()[row] = std::log(sum) + largest - at_target;
      if (grad == nullptr) continue;
      const float factor = scale / sum;
      for (std::int64_t v = 0; v < vocab; ++v) {
        grad[v] = from_float<G>(cpu::exponential(to_float(logits[v]) - largest) * factor);
      }
      // The target's element again, as grad may lie over the logits.
      const float probability = cpu::exponential(at_target - largest) / sum;
      grad[target] = from_float<G>((probability - 1.0F) * scale);
    }
  }
};

}  // namespace

void cross_entropy_cpu(const CrossEntropy& io, std::int64_t rows, std::int64_t vocab,
                       double scale) {
  const float factor = io.scale.numel > 0 ? *io.scale.as<float>() : static_cast<float>(scale);
  const auto grad_dtype = io.grad.numel > 0 ? io.grad.dtype : io.logits.dtype;
  cpu::with_activation(io.logits.dtype, [&]<typename T>() {
    cpu::with_activation(grad_dtype, [&]<typename G>() {
      cpu::row_loop(Rows<T, G>{io, vocab, factor}, rows, kRowChunk);
    });
  });
  double sum = 0;
  for (std::int64_t row = 0; row < rows; ++row) sum += io.row_loss.as<float>()[row];
  *io.loss_sum.as<double>() += sum;
}

}  // namespace zt::kernels
