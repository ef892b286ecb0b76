#pragma once

#include <sys/types.h>

namespace zt::launch {

/// A process that outlives this one by a moment: when this process ends without a word (SIGKILL),
/// it kills every process group that it was told of. The ranks themselves die by the kernel's hand;
/// what they started does not.
class Keeper {
 public:
  /// Errors: DeviceError.
  Keeper();
  /// Ends the keeper without harm to any group.
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  void watch(pid_t group);
  /// The group has ended; its number may be given to another process.
  void forget(pid_t group);

 private:
  void tell(pid_t message) const;

  int socket_ = -1;
  pid_t pid_ = -1;
};

}  // namespace zt::launch
