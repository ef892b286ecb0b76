#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/unpickle.h"

namespace zt::checkpoint {

/// Writes a `.pt` file that torch.load reads: the pickle first, then the storages, each streamed in
/// pieces. The file has a temporary name until `finish`, which syncs and renames it.
/// Errors: CheckpointError (no space, not writable); an unfinished file is removed.
class TorchWriter {
 public:
  /// `pickle` refers to `storages` by key; they are written in this order.
  TorchWriter(std::string path, std::string_view pickle, std::vector<StorageRef> storages);
  ~TorchWriter();
  TorchWriter(const TorchWriter&) = delete;
  TorchWriter& operator=(const TorchWriter&) = delete;

  /// Further bytes of the storages, which follow one another without gaps.
  void write(std::span<const std::byte> bytes);
  void finish();

 private:
  struct Member {
    std::string name;
    std::int64_t header = 0, size = 0;
    std::uint32_t crc = 0;
  };
  void put(std::span<const std::byte> bytes);
  void put_text(std::string_view text);
  void put_at(std::int64_t at, std::string_view text) const;
  void add_member(const std::string& name, std::string_view content);
  void begin_member(const std::string& name, std::int64_t size);
  void end_member();
  void start_next_storages();
  void put_directory();
  [[noreturn]] void fail() const;

  std::string path_, temporary_, folder_;
  std::vector<StorageRef> storages_;
  int file_ = -1;
  std::int64_t at_ = 0;    ///< bytes of the file so far
  std::int64_t left_ = 0;  ///< bytes that the open storage still takes
  std::size_t next_ = 0;   ///< the storage to open next
  std::vector<Member> members_;
};

}  // namespace zt::checkpoint
