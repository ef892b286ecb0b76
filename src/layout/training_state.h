#pragma once

#include <cstdint>

#include "layout/layout.h"

namespace zt::layout {

/// The per-element values that training needs to go on. Everything else a run keeps (step count,
/// scale, data position) is a few numbers.
enum class StateKind : std::uint8_t {
  weight,     ///< the parameter in the compute dtype
  master,     ///< its fp32 original; with fp32 compute the weight itself, kept once
  exp_avg,    ///< first moment, fp32
  exp_avg_sq  ///< second moment, fp32
};

/// Elements [begin, begin + length) of one parameter's values of one kind.
struct StateSlice {
  StateKind kind = StateKind::weight;
  ParamId param;
  std::int64_t begin = 0;
  Numel length;
};

}  // namespace zt::layout
