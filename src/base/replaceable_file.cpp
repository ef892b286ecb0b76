#include "base/replaceable_file.h"

#include <filesystem>

#include "base/error.h"

namespace zt {

std::string replaceable_file(const std::string& path, const char* where) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return path;
  if (!std::filesystem::is_regular_file(path, error)) {
    throw FileError("[" + std::string(where) + "] " + path +
                    " is no regular file, and the finished one takes its place. Name a file.");
  }
  return std::filesystem::canonical(path).string();
}

}  // namespace zt
