#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace zt::testing {

/// What happens at the n-th operation of a rank.
struct Fault {
  enum class Kind { delay, fail, drop, cut_short };
  Kind kind = Kind::fail;
  int at_call = 0;                          ///< counted from 0 over all operations of this rank
  std::chrono::milliseconds duration{100};  ///< of a delay
};

/// Passes every call on to `inner`, except one: `delay` sleeps first, `fail` throws CommError
/// instead, `drop` returns without taking part, `cut_short` is an aborted all_gather: the others
/// get bytes that this rank never gave, and this rank throws CommError.
std::unique_ptr<comm::Communicator> inject(comm::Communicator& inner, const Fault& fault);

}  // namespace zt::testing
