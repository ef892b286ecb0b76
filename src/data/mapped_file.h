#pragma once

#include <filesystem>
#include <string_view>
#include <utility>

namespace zt::data {

/// A whole file mapped read-only; move-only. Processes that map the same file share its pages.
class MappedFile {
 public:
  MappedFile() = default;
  /// Errors: FileError when the file cannot be opened or mapped.
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept
      : begin_(std::exchange(other.begin_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(begin_, other.begin_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~MappedFile();

  std::string_view bytes() const { return {begin_, size_}; }

 private:
  const char* begin_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace zt::data
