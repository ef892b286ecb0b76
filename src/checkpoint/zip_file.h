#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace zt::checkpoint {

/// One stored (uncompressed) member of a zip file: bytes [begin, begin + size) of the file.
struct ZipEntry {
  std::int64_t begin = 0, size = 0;
  std::uint32_t crc = 0;
};

/// A memory-mapped zip file as PyTorch writes it: members are stored, never compressed. The whole
/// directory is checked when it is opened: zip64 and plain records agree, every member's own header
/// agrees with the directory, members lie inside the file and do not overlap, no name is there
/// twice, is absolute or leaves its folder. Nothing is ever extracted.
/// Errors: CheckpointError naming the file and what is wrong; never reads outside of the file.
/// Source: PKWARE APPNOTE 6.3.
class ZipFile {
 public:
  explicit ZipFile(const std::string& path);
  ~ZipFile();
  ZipFile(const ZipFile&) = delete;
  ZipFile& operator=(const ZipFile&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::map<std::string, ZipEntry>& entries() const { return entries_; }
  [[nodiscard]] std::span<const std::byte> bytes(const ZipEntry& entry) const;
  /// Gives the memory of bytes that were read back to the system; they can be read again.
  void release(std::span<const std::byte> bytes) const;
  /// Reads all of a member. Errors: CheckpointError when its CRC-32 differs from the directory's.
  void check_crc(const std::string& name) const;

 private:
  struct Directory {
    std::int64_t begin = 0, size = 0, count = 0;
  };
  [[nodiscard]] Directory find_directory() const;
  void parse_directory(const Directory& directory);
  void check_header(const std::string& name, ZipEntry& entry, std::int64_t limit) const;

  std::string path_;
  const std::byte* data_ = nullptr;
  std::int64_t size_ = 0;
  std::map<std::string, ZipEntry> entries_;
};

}  // namespace zt::checkpoint
