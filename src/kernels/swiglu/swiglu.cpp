#include "kernels/swiglu/swiglu.h"

#include "kernels/swiglu/swiglu_impl.h"

namespace zt::kernels {

void swiglu_forward(const View& gate_up, const View& y, std::int64_t rows, std::int64_t ffn,
                    const Launch& launch) {
  ZT_ASSERT(gate_up.numel == rows * 2 * ffn && y.numel == rows * ffn && gate_up.dtype == y.dtype,
            "swiglu views of wrong sizes or dtypes");
  if (y.numel == 0) return;
  switch (launch.device) {
    case Device::cpu:
      return swiglu_forward_cpu(gate_up, y, rows, ffn);
    case Device::cuda:
      return swiglu_forward_cuda(gate_up, y, rows, ffn, launch.stream);
  }
}

void swiglu_backward(const View& gate_up, const View& grad_y, const View& grad_gate_up,
                     std::int64_t rows, std::int64_t ffn, const Launch& launch) {
  ZT_ASSERT(gate_up.numel == rows * 2 * ffn && grad_y.numel == rows * ffn &&
                grad_gate_up.numel == gate_up.numel && gate_up.dtype == grad_y.dtype &&
                grad_gate_up.dtype == gate_up.dtype,
            "swiglu views of wrong sizes or dtypes");
  if (grad_y.numel == 0) return;
  switch (launch.device) {
    case Device::cpu:
      return swiglu_backward_cpu(gate_up, grad_y, grad_gate_up, rows, ffn);
    case Device::cuda:
      return swiglu_backward_cuda(gate_up, grad_y, grad_gate_up, rows, ffn, launch.stream);
  }
}

}  // namespace zt::kernels
