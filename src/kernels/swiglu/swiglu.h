#pragma once

#include "memory/view.h"

namespace zt::kernels {

/// y = round(silu(gate)) * up. Shapes: gate_up [rows x 2F] (gate first, then up, per row); y [rows
/// x F].
void swiglu_forward(const View& gate_up, const View& y, std::int64_t rows, std::int64_t ffn,
                    const Launch& launch);

/// grad_gate_up [rows x 2F] from grad_y [rows x F] and the forward's gate_up. grad_gate_up may be
/// gate_up.
void swiglu_backward(const View& gate_up, const View& grad_y, const View& grad_gate_up,
                     std::int64_t rows, std::int64_t ffn, const Launch& launch);

}  // namespace zt::kernels
