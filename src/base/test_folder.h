#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace zt {

/// A folder of a test's own, empty at first; it is gone with this object.
class TestFolder {
 public:
  TestFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "zt_test_XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
  }
  ~TestFolder() { std::filesystem::remove_all(root_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  [[nodiscard]] std::string path(const std::string& name) const { return (root_ / name).string(); }
  /// Writes a file, with the folders it lies in, and returns its path.
  std::string write(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name, std::ios::binary) << bytes;
    return path(name);
  }

 private:
  std::filesystem::path root_;
};

}  // namespace zt
