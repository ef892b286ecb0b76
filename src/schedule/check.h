#pragma once

#include <string>
#include <vector>

#include "schedule/schedule.h"

namespace zt::schedule {

/// Proves properties of a program by walking the variants as steps run them (two behind each other,
/// then one after an evaluation) with vector clocks, independently of how waits were derived: no
/// buffer is read before it is written, used outside its life, used by two streams without an
/// order, or placed over a live one, also where consecutive variants overlap; updated parameters
/// are published before they are used; collectives run on one stream; waits point backwards; every
/// micro buffer ends. Returns what is wrong, one line each with the operation's index; empty:
/// proven.
std::vector<std::string> check(const Program& program, int micro_steps);

}  // namespace zt::schedule
