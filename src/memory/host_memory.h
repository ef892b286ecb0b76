#pragma once

#include <string>

#include "base/units.h"

namespace zt::memory {

/// Host memory that this process may still take: what the kernel calls available, within the limits
/// of its cgroups (their page cache counts as available). `root`: tests give a folder of their own.
/// 0 when it is not known.
Bytes available_host_memory(const std::string& root = "/");

}  // namespace zt::memory
