#pragma once

#include "base/policy.h"

namespace zt {

// Names as configuration files, flags and reports write them.

/// `device`, `host`, `nvme`.
constexpr const char* to_string(Place place) {
  switch (place) {
    case Place::device:
      return "device";
    case Place::host:
      return "host";
    case Place::nvme:
      return "nvme";
  }
  return "?";
}

/// `none`, `selective`, `full`.
constexpr const char* to_string(Recompute recompute) {
  switch (recompute) {
    case Recompute::none:
      return "none";
    case Recompute::selective:
      return "selective";
    case Recompute::full:
      return "full";
  }
  return "?";
}

/// `boundary`, `micro_step`.
constexpr const char* to_string(ReduceAt reduce_at) {
  return reduce_at == ReduceAt::boundary ? "boundary" : "micro_step";
}

/// `ordered`, `native`.
constexpr const char* to_string(Reduce reduce) {
  return reduce == Reduce::ordered ? "ordered" : "native";
}

}  // namespace zt
