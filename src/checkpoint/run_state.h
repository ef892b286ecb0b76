#pragma once

#include <string>

#include "checkpoint/state_source.h"

namespace zt::checkpoint {

/// Text of zt_run_state.json: the numbers of the run, and `config` (JSON text of the resolved
/// configuration, may be empty). `trainer_state` has a file of its own and is not in it.
[[nodiscard]] std::string run_state_text(const RunState& state, const std::string& config);

struct ParsedRunState {
  RunState state;
  std::string config;  ///< JSON text; empty: none
};
/// Errors: CheckpointError naming `where` and the field.
[[nodiscard]] ParsedRunState parse_run_state(const std::string& text, const std::string& where);

}  // namespace zt::checkpoint
