#include "checkpoint/zip_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "checkpoint/crc32.h"

namespace zt::checkpoint {
namespace {

constexpr std::int64_t kEndSize = 22, kLocatorSize = 20, kEnd64Size = 56;
constexpr std::int64_t kCentralSize = 46, kLocalSize = 30;
constexpr std::uint32_t kEnd = 0x06054b50, kLocator = 0x07064b50, kEnd64 = 0x06064b50;
constexpr std::uint32_t kCentral = 0x02014b50, kLocal = 0x04034b50;
constexpr std::uint32_t kNotHere32 = 0xFFFFFFFF;  ///< the value is in the zip64 record
constexpr std::uint16_t kNotHere16 = 0xFFFF;
constexpr std::uint16_t kEncrypted = 0x0041;  ///< flag bits 0 and 6
constexpr std::uint16_t kZip64 = 0x0001;      ///< id of the zip64 extra field
constexpr std::size_t kPiece = 8U << 20;      ///< read before the memory is given back
constexpr std::int64_t kMaxEntries = 4'000'000;

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw CheckpointError(
      fmt::format("[checkpoint.zip] {}: {}. Restore the file from its source.", path, what));
}

/// Little-endian fields of a record, in order.
class Fields {
 public:
  explicit Fields(const std::byte* at) : at_(at) {}
  template <typename T>
  T take() {
    T value{};
    std::memcpy(&value, at_, sizeof(value));
    at_ += sizeof(value);
    return value;
  }
  void skip(int bytes) { at_ += bytes; }

 private:
  const std::byte* at_;
};

/// A zip64 size that no file can have becomes -1.
std::int64_t to_signed(std::uint64_t value) {
  return value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())
             ? -1
             : static_cast<std::int64_t>(value);
}

bool is_plain_name(const std::string& name) {
  if (name.empty() || name.front() == '/') return false;
  if (name.find_first_of(std::string("\\\0", 2)) != std::string::npos) return false;
  for (std::size_t begin = 0; begin <= name.size();) {
    const auto end = std::min(name.find('/', begin), name.size());
    const auto part = name.substr(begin, end - begin);
    if (part == ".." || part == ".") return false;
    begin = end + 1;
  }
  return true;
}

/// A directory record: sizes and place, with the zip64 values where the short fields refer to them.
struct Central {
  std::uint16_t flags = 0, method = 0;
  std::uint32_t crc = 0;
  std::int64_t stored = 0, size = 0, header = 0;
  std::uint16_t disk = 0;
};

void take_zip64(const std::string& path, const std::byte* extra, std::int64_t length,
                Central& central) {
  const bool missing =
      central.size == kNotHere32 || central.stored == kNotHere32 || central.header == kNotHere32;
  if (!missing) return;
  while (length >= 4) {
    Fields fields(extra);
    const auto id = fields.take<std::uint16_t>();
    const std::int64_t size = fields.take<std::uint16_t>();
    if (size > length - 4) break;
    if (id == kZip64) {
      std::int64_t left = size;
      for (auto* value : {&central.size, &central.stored, &central.header}) {
        if (*value != kNotHere32) continue;
        if (left < 8) fail(path, "a zip64 field is cut short");
        *value = to_signed(fields.take<std::uint64_t>());
        left -= 8;
      }
      return;
    }
    extra += 4 + size;
    length -= 4 + size;
  }
  fail(path, "a member's zip64 sizes are missing");
}

}  // namespace

ZipFile::ZipFile(const std::string& path) : path_(path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status {};
  if (file < 0 || fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    const std::string reason = file < 0 ? std::strerror(errno) : "not a regular file";
    if (file >= 0) close(file);
    throw CheckpointError(fmt::format("[checkpoint.zip] {}: cannot be opened: {}.", path, reason));
  }
  size_ = status.st_size;
  void* mapped = size_ < kEndSize ? MAP_FAILED
                                  : mmap(nullptr, static_cast<std::size_t>(size_), PROT_READ,
                                         MAP_PRIVATE, file, 0);
  const int reason = errno;
  close(file);
  if (size_ < kEndSize) fail(path_, fmt::format("got {} bytes, which is no zip file", size_));
  if (mapped == MAP_FAILED) fail(path_, fmt::format("cannot be mapped: {}", std::strerror(reason)));
  data_ = static_cast<const std::byte*>(mapped);
  try {
    parse_directory(find_directory());
  } catch (...) {
    munmap(const_cast<std::byte*>(data_), static_cast<std::size_t>(size_));
    throw;
  }
}

ZipFile::~ZipFile() { munmap(const_cast<std::byte*>(data_), static_cast<std::size_t>(size_)); }

std::span<const std::byte> ZipFile::bytes(const ZipEntry& entry) const {
  return {data_ + entry.begin, static_cast<std::size_t>(entry.size)};
}

void ZipFile::release(std::span<const std::byte> bytes) const {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<std::uintptr_t>(bytes.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(bytes.data() + bytes.size()) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

void ZipFile::check_crc(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) fail(path_, fmt::format("has no member '{}'", name));
  std::uint32_t crc = 0;
  for (auto rest = bytes(found->second); !rest.empty();) {
    const auto piece = rest.first(std::min(rest.size(), kPiece));
    crc = crc32(crc, piece);
    release(piece);
    rest = rest.subspan(piece.size());
  }
  if (crc != found->second.crc) {
    fail(path_, fmt::format("member '{}' is damaged: its checksum is wrong", name));
  }
}

ZipFile::Directory ZipFile::find_directory() const {
  const auto end = size_ - kEndSize;
  Fields fields(data_ + end);
  if (fields.take<std::uint32_t>() != kEnd) {
    fail(path_, "does not end as a zip file: it is cut short, or of PyTorch's old format");
  }
  const auto disk = fields.take<std::uint16_t>();
  const auto first_disk = fields.take<std::uint16_t>();
  const auto count_here = fields.take<std::uint16_t>();
  const auto count = fields.take<std::uint16_t>();
  const auto size = fields.take<std::uint32_t>();
  const auto begin = fields.take<std::uint32_t>();
  const auto comment = fields.take<std::uint16_t>();
  if (disk != 0 || first_disk != 0 || count_here != count || comment != 0) {
    fail(path_, "is a zip file of several parts or with a comment");
  }
  Directory result{begin, size, count};
  auto limit = end;
  Fields locator(data_ + std::max<std::int64_t>(end - kLocatorSize, 0));
  if (end >= kLocatorSize + kEnd64Size && locator.take<std::uint32_t>() == kLocator) {
    locator.skip(4);
    limit = to_signed(locator.take<std::uint64_t>());
    if (limit != end - kLocatorSize - kEnd64Size) fail(path_, "its zip64 record is misplaced");
    Fields record(data_ + limit);
    if (record.take<std::uint32_t>() != kEnd64) fail(path_, "its zip64 record is damaged");
    record.skip(8 + 2 + 2 + 4 + 4 + 8);
    result.count = to_signed(record.take<std::uint64_t>());
    result.size = to_signed(record.take<std::uint64_t>());
    result.begin = to_signed(record.take<std::uint64_t>());
    if ((count != kNotHere16 && count != result.count) ||
        (size != kNotHere32 && size != result.size) ||
        (begin != kNotHere32 && begin != result.begin)) {
      fail(path_, "its two directory records disagree");
    }
  }
  if (result.begin < 0 || result.size < 0 || result.begin > limit ||
      result.size != limit - result.begin || result.count < 0 || result.count > kMaxEntries ||
      result.count * kCentralSize > result.size) {
    fail(path_, "its directory does not lie where the file says");
  }
  return result;
}

void ZipFile::parse_directory(const Directory& directory) {
  auto at = directory.begin;
  const auto end = directory.begin + directory.size;
  std::vector<std::pair<std::int64_t, std::int64_t>> ranges;  // header, end of the data
  for (std::int64_t i = 0; i < directory.count; ++i) {
    if (end - at < kCentralSize) fail(path_, "its directory is cut short");
    Fields fields(data_ + at);
    if (fields.take<std::uint32_t>() != kCentral) fail(path_, "its directory is damaged");
    Central central;
    fields.skip(4);
    central.flags = fields.take<std::uint16_t>();
    central.method = fields.take<std::uint16_t>();
    fields.skip(4);
    central.crc = fields.take<std::uint32_t>();
    central.stored = fields.take<std::uint32_t>();
    central.size = fields.take<std::uint32_t>();
    const std::int64_t name_size = fields.take<std::uint16_t>();
    const std::int64_t extra_size = fields.take<std::uint16_t>();
    const std::int64_t comment_size = fields.take<std::uint16_t>();
    central.disk = fields.take<std::uint16_t>();
    fields.skip(6);
    central.header = fields.take<std::uint32_t>();
    at += kCentralSize;
    if (end - at < name_size + extra_size + comment_size) fail(path_, "its directory is cut short");
    const std::string name(reinterpret_cast<const char*>(data_ + at),
                           static_cast<std::size_t>(name_size));
    if (!is_plain_name(name))
      fail(path_, "a member's name is empty, absolute or leaves its folder");
    take_zip64(path_, data_ + at + name_size, extra_size, central);
    at += name_size + extra_size + comment_size;
    if (central.method != 0 || central.stored != central.size) {
      fail(path_, fmt::format("member '{}' is compressed, which PyTorch never writes", name));
    }
    if ((central.flags & kEncrypted) != 0 || central.disk != 0) {
      fail(path_, fmt::format("member '{}' is encrypted or on another disk", name));
    }
    if (central.size < 0 || central.header < 0) {
      fail(path_, fmt::format("member '{}' has an impossible size", name));
    }
    ZipEntry entry{central.header, central.size, central.crc};
    check_header(name, entry, directory.begin);
    ranges.emplace_back(central.header, entry.begin + entry.size);
    if (!entries_.emplace(name, entry).second) {
      fail(path_, fmt::format("member '{}' is there twice", name));
    }
  }
  if (at != end) fail(path_, "its directory has a tail");
  std::sort(ranges.begin(), ranges.end());
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].first < ranges[i - 1].second) fail(path_, "members overlap");
  }
}

/// Moves `entry.begin` from the member's own header to its first byte.
void ZipFile::check_header(const std::string& name, ZipEntry& entry, std::int64_t limit) const {
  const auto bad = [&](const char* what) {
    fail(path_, fmt::format("member '{}': {}", name, what));
  };
  if (entry.begin > limit - kLocalSize) bad("its header is outside of the file");
  Fields fields(data_ + entry.begin);
  if (fields.take<std::uint32_t>() != kLocal) bad("its header is damaged");
  fields.skip(2);
  const auto flags = fields.take<std::uint16_t>();
  const auto method = fields.take<std::uint16_t>();
  fields.skip(4 + 12);
  const std::int64_t name_size = fields.take<std::uint16_t>();
  const std::int64_t extra_size = fields.take<std::uint16_t>();
  if (method != 0 || (flags & kEncrypted) != 0) bad("it is compressed or encrypted");
  const auto name_begin = entry.begin + kLocalSize;
  if (name_size != static_cast<std::int64_t>(name.size()) ||
      limit - name_begin < name_size + extra_size ||
      std::memcmp(data_ + name_begin, name.data(), name.size()) != 0) {
    bad("its header has another name than the directory");
  }
  entry.begin = name_begin + name_size + extra_size;
  if (entry.size > limit - entry.begin) bad("it is larger than the file");
}

}  // namespace zt::checkpoint
