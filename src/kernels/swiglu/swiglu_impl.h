#pragma once

#include "kernels/swiglu/swiglu.h"

namespace zt::kernels {

void swiglu_forward_cpu(const View& gate_up, const View& y, std::int64_t rows, std::int64_t ffn);
void swiglu_backward_cpu(const View& gate_up, const View& grad_y, const View& grad_gate_up,
                         std::int64_t rows, std::int64_t ffn);
void swiglu_forward_cuda(const View& gate_up, const View& y, std::int64_t rows, std::int64_t ffn,
                         void* stream);
void swiglu_backward_cuda(const View& gate_up, const View& grad_y, const View& grad_gate_up,
                          std::int64_t rows, std::int64_t ffn, void* stream);

}  // namespace zt::kernels
