#include "cli/exit_code.h"

#include "base/error.h"

namespace zt::cli {

int exit_code(const std::exception& error) {
  if (dynamic_cast<const ConfigError*>(&error) != nullptr) return 2;
  if (dynamic_cast<const FileError*>(&error) != nullptr) return 3;
  if (dynamic_cast<const CommError*>(&error) != nullptr) return 4;
  if (dynamic_cast<const DeviceError*>(&error) != nullptr) return 5;
  if (dynamic_cast<const InternalError*>(&error) != nullptr) return 70;
  return 1;
}

}  // namespace zt::cli
