#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace zt::checkpoint {

/// An open file, closed with the object. Reads and writes whole ranges at offsets, any number of
/// threads at once. Errors of all functions: CheckpointError naming the file and the reason.
class File {
 public:
  enum class Mode { read, write, create };
  /// Of offset, length and memory of `write_direct`.
  static constexpr std::int64_t kDirectAlignment = 4096;

  File() = default;
  File(std::string path, Mode mode);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;

  [[nodiscard]] bool is_open() const { return file_ >= 0; }
  [[nodiscard]] const std::string& path() const { return path_; }
  /// Size of a regular file.
  [[nodiscard]] std::int64_t size() const;
  void read(std::int64_t offset, std::span<std::byte> bytes) const;
  void write(std::int64_t offset, std::span<const std::byte> bytes) const;
  /// Reserves the blocks of the first `size` bytes and makes the file that long. A file system that
  /// cannot reserve only gets the length.
  void reserve(std::int64_t size) const;
  /// The file once more, for writing past the page cache; not open where that is not possible.
  [[nodiscard]] File reopen_direct() const;
  /// Of a file of reopen_direct. False: this file system does not take it so; write the
  /// range with `write`.
  [[nodiscard]] bool write_direct(std::int64_t offset, std::span<const std::byte> bytes) const;
  void sync() const;
  /// Errors also when the file system reports a write that failed earlier.
  void close();

 private:
  [[noreturn]] void fail(const char* what) const;

  std::string path_;
  int file_ = -1;
};

/// Whole content of a small file. Errors: CheckpointError, also above `limit` bytes.
[[nodiscard]] std::string read_text(const std::string& path, std::int64_t limit);
/// Creates the file with this content, on the disk when it returns.
void write_text(const std::string& path, const std::string& text);
/// Makes the names in a folder durable.
void sync_folder(const std::string& path);
/// Gives a folder its final name. A folder that has it already is swapped with it and removed.
void publish_folder(const std::string& from, const std::string& to);
/// Bytes that a user may still write to the file system of `path`.
[[nodiscard]] std::int64_t free_bytes(const std::string& path);
/// `No space left on device` of an errno value.
[[nodiscard]] std::string error_text(int number);

/// XXH3, 64 bits.
[[nodiscard]] std::uint64_t hash_bytes(std::span<const std::byte> bytes);
[[nodiscard]] std::uint64_t hash_text(const std::string& text);

}  // namespace zt::checkpoint
