#pragma once

#include <string>

namespace zt {

/// The file that a rename onto `path` should replace: what a link leads to, else `path`. `where` is
/// the caller's tag in the error, as in `plan.output`.
/// Errors: FileError where `path` is a device, a pipe or a folder: root could replace /dev/null.
[[nodiscard]] std::string replaceable_file(const std::string& path, const char* where);

}  // namespace zt
