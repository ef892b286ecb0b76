#pragma once

#include "layer/layer.h"
#include "model/qwen3.h"
#include "plan/device_file.h"
#include "plan/step_clock.h"

namespace zt::plan {

/// The three products of a linear layer: those of the nearest one measured, scaled by the work.
[[nodiscard]] GemmTime gemm_time(const DeviceFile& device, std::int64_t rows, std::int64_t in,
                                 std::int64_t out);

/// Attention of the nearest shape measured, scaled by the work.
[[nodiscard]] AttentionTime attention_time(const DeviceFile& device, const layer::BatchShape& shape,
                                           const model::Qwen3Config& model, bool deterministic);

/// A kernel that reads and writes `bytes`, in rows of `width` elements (0: flat): between its
/// measured sizes of the nearest width; beyond the largest at its rate. 0 when it was not measured.
[[nodiscard]] double kernel_seconds(const DeviceFile& device, const char* name, std::int64_t width,
                                    double bytes);

/// Compute of about `rows` rows beside communication.
[[nodiscard]] Contention contention_of(const DeviceFile& device, std::int64_t rows);

}  // namespace zt::plan
