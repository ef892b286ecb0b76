#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace zt::fuzz {

/// A file in memory that holds the input, under a path that readers can open.
class MemoryFile {
 public:
  MemoryFile(const std::uint8_t* data, std::size_t size);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  [[nodiscard]] std::string path() const;

 private:
  int file_;
};

}  // namespace zt::fuzz
