#include "kernels/cpu/lanes.h"
#include "kernels/cpu/rows.h"
#include "kernels/swiglu/swiglu_impl.h"

namespace zt::kernels {
namespace {

using cpu::from_float;
using cpu::rounded;
using cpu::to_float;

constexpr std::int64_t kRowChunk = 16;

template <typename T>
struct ForwardRows {
  View gate_up, y;
  std::int64_t ffn;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t row = begin; row < end; ++row) {
      const T* gate = gate_up.as<T>() + row * 2 * ffn;
      const T* up = gate + ffn;
      T* out = y.as<T>() + row * ffn;
      for (std::int64_t i = 0; i < ffn; ++i) {
        const float g = to_float(gate[i]);
        out[i] = from_float<T>(rounded<T>(g * cpu::sigmoid(g)) * to_float(up[i]));
      }
    }
  }
};

template <typename T>
struct BackwardRows {
  View gate_up, grad_y, grad_gate_up;
  std::int64_t ffn;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t row = begin; row < end; ++row) {
      const T* gate = gate_up.as<T>() + row * 2 * ffn;
      const T* up = gate + ffn;
      const T* grad = grad_y.as<T>() + row * ffn;
      T* grad_gate = grad_gate_up.as<T>() + row * 2 * ffn;
      T* grad_up = grad_gate + ffn;
      for (std::int64_t i = 0; i < ffn; ++i) {
        const float g = to_float(gate[i]);
        const float u = to_float(up[i]);
        const float dy = to_float(grad[i]);
        const float s = cpu::sigmoid(g);
        grad_up[i] = from_float<T>(dy * rounded<T>(g * s));
        grad_gate[i] = from_float<T>(rounded<T>(dy * u) * (s * (1.0F + g * (1.0F - s))));
      }
    }
  }
};

}  // namespace

void swiglu_forward_cpu(const View& gate_up, const View& y, std::int64_t rows, std::int64_t ffn) {
  cpu::with_activation(y.dtype, [&]<typename T>() {
    cpu::row_loop(ForwardRows<T>{gate_up, y, ffn}, rows, kRowChunk);
  });
}

void swiglu_backward_cpu(const View& gate_up, const View& grad_y, const View& grad_gate_up,
                         std::int64_t rows, std::int64_t ffn) {
  cpu::with_activation(grad_y.dtype, [&]<typename T>() {
    cpu::row_loop(BackwardRows<T>{gate_up, grad_y, grad_gate_up, ffn}, rows, kRowChunk);
  });
}

}  // namespace zt::kernels
