#pragma once

#include <memory>
#include <string>

#include "train/observer.h"
#include "zero/engine.h"

namespace zt::train {

/// What a profile covers.
struct ProfileOptions {
  std::int64_t steps = 1;  ///< with every operation timed, after three that warm up
  std::string path;        ///< of the Chrome trace; empty: this rank writes none
  int rank = 0;
};

/// Times the operations of some steps and writes them as a Chrome trace. On every rank, as measured
/// steps capture their graphs anew together. Errors: FileError when the file cannot be written.
[[nodiscard]] std::unique_ptr<TrainObserver> make_profiler(zero::Engine& engine,
                                                           ProfileOptions options);

}  // namespace zt::train
