#include "checkpoint/torch_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/units.h"
#include "checkpoint/crc32.h"

namespace zt::checkpoint {
namespace {

constexpr std::int64_t kAlignment = 64;  ///< of a member's first byte, as torch.save does
constexpr std::int64_t kLocalSize = 30;
constexpr std::int64_t kZip64Size = 20;        ///< extra field with two sizes
constexpr std::int64_t kLimit32 = 0xFFFFFFFF;  ///< from here on a value needs zip64
constexpr std::int64_t kLimit16 = 0xFFFF;

/// Little-endian fields, appended.
class Record {
 public:
  Record& u16(std::int64_t value) { return put(static_cast<std::uint16_t>(value)); }
  Record& u32(std::int64_t value) { return put(static_cast<std::uint32_t>(value)); }
  Record& u64(std::int64_t value) { return put(value); }
  Record& text(std::string_view value) {
    bytes_ += value;
    return *this;
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  template <typename T>
  Record& put(T value) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    bytes_.append(bytes, sizeof(T));
    return *this;
  }
  std::string bytes_;
};

std::int64_t clamp32(std::int64_t value) { return std::min(value, kLimit32); }

}  // namespace

TorchWriter::TorchWriter(std::string path, std::string_view pickle,
                         std::vector<StorageRef> storages)
    : path_(std::move(path)),
      temporary_(path_ + ".writing"),
      folder_(std::filesystem::path(path_).stem().string() + "/"),
      storages_(std::move(storages)) {
  file_ = open(temporary_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file_ < 0) fail();
  try {
    add_member("data.pkl", pickle);
    add_member("byteorder", "little");
    start_next_storages();
  } catch (...) {
    close(file_);
    unlink(temporary_.c_str());
    throw;
  }
}

TorchWriter::~TorchWriter() {
  if (file_ < 0) return;
  close(file_);
  unlink(temporary_.c_str());
}

void TorchWriter::fail() const {
  throw CheckpointError(
      fmt::format("[checkpoint.pt] {}: cannot be written: {}. Free space or choose another folder.",
                  temporary_, std::strerror(errno)));
}

void TorchWriter::put(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto written =
        ::write(file_, bytes.data(), std::min<std::size_t>(bytes.size(), 1U << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail();
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    at_ += written;
  }
}

void TorchWriter::put_text(std::string_view text) {
  put({reinterpret_cast<const std::byte*>(text.data()), text.size()});
}

void TorchWriter::put_at(std::int64_t at, std::string_view text) const {
  while (!text.empty()) {
    const auto written = pwrite(file_, text.data(), text.size(), at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail();
    text.remove_prefix(static_cast<std::size_t>(written));
    at += written;
  }
}

void TorchWriter::add_member(const std::string& name, std::string_view content) {
  begin_member(name, static_cast<std::int64_t>(content.size()));
  const std::span bytes(reinterpret_cast<const std::byte*>(content.data()), content.size());
  members_.back().crc = crc32(0, bytes);
  put(bytes);
  end_member();
}

/// The header, with padding so that the first byte is aligned; the checksum follows later.
void TorchWriter::begin_member(const std::string& name, std::int64_t size) {
  members_.push_back({folder_ + name, at_, size, 0});
  const auto& full = members_.back().name;
  const bool large = size >= kLimit32;
  const auto fixed =
      at_ + kLocalSize + static_cast<std::int64_t>(full.size()) + (large ? kZip64Size : 0) + 4;
  const auto padding = round_up(fixed, kAlignment) - fixed;
  Record header;
  header.u32(0x04034b50).u16(large ? 45 : 20).u16(1 << 11).u16(0).u16(0).u16(0x21).u32(0);
  header.u32(clamp32(size)).u32(clamp32(size));
  header.u16(static_cast<std::int64_t>(full.size()));
  header.u16((large ? kZip64Size : 0) + 4 + padding).text(full);
  if (large) header.u16(1).u16(16).u64(size).u64(size);
  header.text("FB").u16(padding).text(std::string(static_cast<std::size_t>(padding), 'Z'));
  put_text(header.bytes());
}

void TorchWriter::end_member() {
  const auto& member = members_.back();
  put_at(member.header + 14, Record().u32(member.crc).bytes());
}

/// Opens the next storage that has elements; those without are complete at once.
void TorchWriter::start_next_storages() {
  while (left_ == 0 && next_ < storages_.size()) {
    const auto& storage = storages_[next_++];
    left_ = storage.numel * size_of(storage.dtype);
    begin_member("data/" + storage.key, left_);
    if (left_ == 0) end_member();
  }
}

void TorchWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    ZT_ASSERT(left_ > 0, "more bytes than the storages have");
    const auto part = bytes.first(std::min(bytes.size(), static_cast<std::size_t>(left_)));
    members_.back().crc = crc32(members_.back().crc, part);
    put(part);
    bytes = bytes.subspan(part.size());
    left_ -= static_cast<std::int64_t>(part.size());
    if (left_ > 0) continue;
    end_member();
    start_next_storages();
  }
}

void TorchWriter::put_directory() {
  const auto begin = at_;
  for (const auto& member : members_) {
    Record extra;
    if (member.size >= kLimit32) extra.u64(member.size).u64(member.size);
    if (member.header >= kLimit32) extra.u64(member.header);
    const auto extra_size = static_cast<std::int64_t>(extra.bytes().size());
    Record record;
    record.u32(0x02014b50).u16(extra_size > 0 ? 45 : 20).u16(extra_size > 0 ? 45 : 20);
    record.u16(1 << 11).u16(0).u16(0).u16(0x21).u32(member.crc);
    record.u32(clamp32(member.size)).u32(clamp32(member.size));
    record.u16(static_cast<std::int64_t>(member.name.size()));
    record.u16(extra_size > 0 ? extra_size + 4 : 0).u16(0).u16(0).u16(0).u32(0);
    record.u32(clamp32(member.header)).text(member.name);
    if (extra_size > 0) record.u16(1).u16(extra_size).text(extra.bytes());
    put_text(record.bytes());
  }
  const auto size = at_ - begin;
  const auto count = static_cast<std::int64_t>(members_.size());
  Record end;
  if (begin >= kLimit32 || size >= kLimit32 || count >= kLimit16) {
    end.u32(0x06064b50).u64(44).u16(45).u16(45).u32(0).u32(0).u64(count).u64(count);
    end.u64(size).u64(begin);
    end.u32(0x07064b50).u32(0).u64(at_).u32(1);
  }
  const auto short_count = std::min(count, kLimit16);
  end.u32(0x06054b50).u16(0).u16(0).u16(short_count).u16(short_count);
  end.u32(clamp32(size)).u32(clamp32(begin)).u16(0);
  put_text(end.bytes());
}

void TorchWriter::finish() {
  ZT_ASSERT(left_ == 0 && next_ == storages_.size(), "not all storages were written");
  add_member("version", "3\n");
  put_directory();
  if (fsync(file_) != 0) fail();
  const bool closed = close(file_) == 0;
  file_ = -1;
  if (!closed || rename(temporary_.c_str(), path_.c_str()) != 0) {
    const std::string reason = std::strerror(errno);
    unlink(temporary_.c_str());
    throw CheckpointError(
        fmt::format("[checkpoint.pt] {}: cannot be completed: {}.", path_, reason));
  }
}

}  // namespace zt::checkpoint
