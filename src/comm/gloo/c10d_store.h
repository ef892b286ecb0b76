#pragma once

#include <torch/csrc/distributed/c10d/Store.hpp>

#include "comm/store.h"

namespace zt::comm {

/// A new c10d connection to the store behind `store`, with its key prefix plus `prefix`.
/// Errors: InternalError when `store` is not a TCP store.
c10::intrusive_ptr<c10d::Store> new_c10d_connection(Store& store, const std::string& prefix);

}  // namespace zt::comm
