#pragma once

#include <memory>
#include <string>

#include "comm/position.h"

namespace zt::comm {

/// Text that identifies this process among all of a run: host, boot, pid namespace, pid, start
/// time.
std::string process_identity();

/// True when `identity` names a process of this machine that has ended (a zombie counts as ended).
/// False when it runs or lives on another machine.
bool has_ended(const std::string& identity);

/// The position page of the process that `identity`, followed by a space and the page's descriptor,
/// names. Null when it has none or lives on another machine.
std::unique_ptr<PositionReader> open_position(const std::string& identity);

}  // namespace zt::comm
