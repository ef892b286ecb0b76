#pragma once

#include <cstdint>

namespace zt::optim {

/// What a dynamic loss scaler remembers between steps; part of every fp16 checkpoint.
/// The fields are those of DeepSpeed's DynamicLossScaler, so that its checkpoints carry over.
struct LossScalerState {
  double scale = 65536;                  ///< `cur_scale`
  std::int64_t iteration = 0;            ///< `cur_iter`: steps seen, skipped ones included
  std::int64_t last_overflow_iter = -1;  ///< `last_overflow_iter`
  int hysteresis = 2;  ///< `cur_hysteresis`: overflows left before the scale falls
};

}  // namespace zt::optim
