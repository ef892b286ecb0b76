#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/units.h"

namespace zt::memory {

/// Host memory as the kernel and the cgroups of this process tell it.
struct HostMemoryState {
  /// What the kernel calls available; 0: not known. Not a limit: machines whose memory grows as it
  /// is touched report less than they have.
  Bytes available;
  Bytes limit;             ///< of the cgroup that leaves least; 0: none has a limit
  Bytes left;              ///< what that cgroup leaves; its page cache counts as free
  std::string limit_file;  ///< where the limit stands
};

/// `root`: tests give a folder of their own.
HostMemoryState host_memory_state(const std::string& root = "/");

/// Host memory that this process may still take: what is available, within the limits of its
/// cgroups. 0 when it is not known.
Bytes available_host_memory(const std::string& root = "/");

/// A part of what one rank is going to reserve.
struct HostItem {
  std::string name;
  Bytes bytes;
};

/// Looks whether `ranks` ranks of this machine can reserve `items` each, before they do.
/// `allowed`: what the user says they may use together; then nothing else is asked.
/// Returns a warning where only the kernel's figure of available memory speaks against it; else
/// nothing. Errors: ConfigError with every item when the user's figure or a cgroup's limit does.
[[nodiscard]] std::string check_host_memory(const std::vector<HostItem>& items, int ranks,
                                            const HostMemoryState& state,
                                            std::optional<Bytes> allowed);

}  // namespace zt::memory
