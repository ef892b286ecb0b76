#pragma once

#include <optional>
#include <string>

#include "config/env.h"
#include "launch/parent_watch.h"

namespace zt::cli {

/// Ends this rank at once, for one whose driving thread never returns: no destructor runs.
[[noreturn]] void end_stuck(const std::string& failure);

/// Lets a rank that Slurm, MPI or torchrun started end with the process that started it. Ranks of
/// our own launcher die by the kernel's hand, those started by hand outlive their shell.
class EndWithRunner {
 public:
  explicit EndWithRunner(const config::RankEnvironment& rank);

 private:
  std::optional<launch::ParentWatch> watch_;
};

}  // namespace zt::cli
