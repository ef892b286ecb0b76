#include "base/error.h"

namespace zt {

void throw_assertion(const char* file, int line, const char* condition,
                     const std::string& message) {
  throw InternalError(std::string("[base.assert] ") + file + ":" + std::to_string(line) + ": " +
                      condition + " does not hold: " + message + ". This is a bug in zerotrain.");
}

}  // namespace zt
