#pragma once

#include <cstdint>

namespace zt::model {

/// How long a sequence of a model may be, and who says so.
struct LengthLimit {
  std::int64_t tokens = 0;  ///< 0: any
  const char* name = "";    ///< for messages: `max_position_embeddings`
  /// It holds for what a user asks for, also where the data's sequences come out shorter.
  bool holds_for_request = false;
};

}  // namespace zt::model
