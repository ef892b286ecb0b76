#pragma once

#include <string>

namespace zt::comm {

/// Text that identifies this process among all of a run: host, boot, pid namespace, pid, start
/// time.
std::string process_identity();

/// True when `identity` names a process of this machine that has ended (a zombie counts as ended).
/// False when it runs or lives on another machine.
bool has_ended(const std::string& identity);

}  // namespace zt::comm
