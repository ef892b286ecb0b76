#pragma once

#include <exception>

namespace zt::cli {

/// Exit code of an error, from the table in base/error.h; 1 for any other.
[[nodiscard]] int exit_code(const std::exception& error);

}  // namespace zt::cli
