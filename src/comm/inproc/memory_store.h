#pragma once

#include <memory>

#include "comm/store.h"

namespace zt::comm {

/// A store for ranks that are threads of one process; clones share the same keys.
std::unique_ptr<Store> make_memory_store();

}  // namespace zt::comm
