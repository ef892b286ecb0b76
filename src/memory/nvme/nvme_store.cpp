#include "memory/nvme/nvme_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <filesystem>
#include <mutex>

#include "base/log.h"
#include "memory/nvme/io_threads.h"
#include "memory/nvme/nvme_folder.h"

namespace zt::memory {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kDiskBlock = 4096;

AioOptions checked(AioOptions aio) {
  if (aio.block_size < 1 || aio.queue_depth < 1 || aio.intra_op_parallelism < 1) {
    throw ConfigError(fmt::format(
        "[memory.nvme] aio: got block_size {}, queue_depth {}, intra_op_parallelism {}, expected "
        "all at least 1.",
        aio.block_size, aio.queue_depth, aio.intra_op_parallelism));
  }
  aio.block_size = round_up(aio.block_size, kDiskBlock);
  return aio;
}

bool is_name(const std::string& name) {
  const auto allowed = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '_' || c == '-';
  };
  return !name.empty() && name != "lock" && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), allowed);
}

/// Opens with O_DIRECT where the file system has it; else `direct` becomes false.
int open_file(const std::string& path, bool& direct) {
  constexpr int kFlags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
  if (direct) {
    const int file = ::open(path.c_str(), kFlags | O_DIRECT, 0600);
    if (file >= 0 || errno != EINVAL) return file;
    ::unlink(path.c_str());  // some file systems create it before they refuse the flag
    direct = false;
  }
  return ::open(path.c_str(), kFlags, 0600);
}

/// Reserves blocks on disk; 0 or an errno.
int reserve(int file, std::int64_t size) {
  if (size == 0) return 0;
  for (;;) {
    if (fallocate(file, 0, 0, size) == 0) return 0;
    if (errno == EINTR) continue;
    if (errno != EOPNOTSUPP) return errno;
    return ftruncate(file, size) == 0 ? 0 : errno;  // no reservation: the first write may find out
  }
}

}  // namespace

struct NvmeStore::Impl {
  NvmeOptions options;
  NvmeFolder folder;
  std::string engine;
  mutable std::mutex mutex;  ///< guards files, stats and direct
  std::deque<IoFile> files;  ///< addresses stay
  NvmeStats stats;
  std::unique_ptr<IoThreads> threads;  // joined before the files go

  explicit Impl(NvmeOptions given) : options(std::move(given)), folder(options.path, options.rank) {
    options.aio = checked(options.aio);
    IoThreads::Options how{.aio = options.aio,
                           .verify = options.verify,
                           .rank = options.rank,
                           .on_progress = options.on_progress,
                           .stall = options.stall};
    how.threads = options.aio.intra_op_parallelism;
    auto make = options.make_io;
    if (make) {
      engine = "given";
    } else {
      std::string refusal = "aio.use_io_uring is off";
      const bool ring = options.aio.use_io_uring && make_io_uring(options.aio, refusal) != nullptr;
      engine = ring ? "io_uring" : "pread/pwrite (" + refusal + ")";
      if (!ring) how.threads *= options.aio.queue_depth;
      make = [ring, aio = options.aio] { return ring ? ring_or_throw(aio) : make_positional_io(); };
    }
    threads = std::make_unique<IoThreads>(how, make);
  }

  ~Impl() {
    threads.reset();
    for (const auto& file : files) {
      if (file.file >= 0) ::close(file.file);
    }
  }

  static std::unique_ptr<BlockIo> ring_or_throw(const AioOptions& aio) {
    std::string refusal;
    auto io = make_io_uring(aio, refusal);
    if (!io) throw FileError("[memory.nvme] " + refusal + ". Lower aio.intra_op_parallelism.");
    return io;
  }

  [[noreturn]] void refuse_size(const std::string& path, int why, Bytes size) const {
    throw FileError(fmt::format(
        "[memory.nvme] {} cannot be reserved: {}: got {} free, expected {} (rank {}). Free space "
        "under nvme_path, or offload less.",
        path, std::strerror(why), format_bytes(free_disk(options.path)), format_bytes(size),
        options.rank));
  }

  IoFile& file_of(const NvmeRange& range, Bytes offset, std::size_t size) {
    const std::lock_guard lock(mutex);
    ZT_ASSERT(range.id >= 0 && range.id < static_cast<int>(files.size()), "unknown NVMe range");
    IoFile& file = files[static_cast<std::size_t>(range.id)];
    const std::int64_t end = offset.value + static_cast<std::int64_t>(size);
    const std::int64_t block = options.aio.block_size;
    ZT_ASSERT(offset.value >= 0 && end <= file.size, "read or write leaves its NVMe range");
    ZT_ASSERT(offset.value % block == 0 && (end % block == 0 || end == file.size),
              "NVMe reads and writes are of whole blocks");
    return file;
  }
};

NvmeStore::NvmeStore(NvmeOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
NvmeStore::~NvmeStore() = default;

NvmeRange NvmeStore::add(const std::string& name, Bytes size) {
  ZT_ASSERT(is_name(name), "names of NVMe ranges are letters, digits, '.', '_' and '-'");
  ZT_ASSERT(size.value >= 0, "negative NVMe range");
  const std::string path = impl_->folder.path() + "/" + name;
  const Bytes reserved = on_disk(size);
  const std::lock_guard lock(impl_->mutex);
  bool direct = impl_->options.direct;
  IoFile file{.path = path, .file = -1, .size = size.value, .hashes = {}, .written = {}};
  // Asked first: a reservation that fails half-way would fill the disk for everybody.
  const Bytes free = free_disk(impl_->options.path);
  if (free < reserved) impl_->refuse_size(path, ENOSPC, reserved);
  file.file = open_file(path, direct);
  if (file.file < 0) {
    throw FileError(fmt::format("[memory.nvme] {} cannot be made: {} (rank {}).", path,
                                std::strerror(errno), impl_->options.rank));
  }
  const int refused = reserve(file.file, reserved.value);
  if (refused != 0) {
    ::close(file.file);
    ::unlink(path.c_str());
    impl_->refuse_size(path, refused, reserved);
  }
  if (!direct && impl_->options.direct && impl_->stats.direct) {
    log::warning("memory", fmt::format("{} has no direct I/O: files go through the page cache",
                                       impl_->options.path));
  }
  impl_->stats.direct = direct;
  const auto blocks = static_cast<std::size_t>((size.value + impl_->options.aio.block_size - 1) /
                                               impl_->options.aio.block_size);
  file.hashes.resize(blocks);
  file.written.resize(blocks);
  impl_->stats.reserved += reserved;
  impl_->files.push_back(std::move(file));
  return {static_cast<int>(impl_->files.size()) - 1, size};
}

NvmeTicket NvmeStore::read(const NvmeRange& range, std::span<std::byte> to, Bytes offset) {
  IoFile& file = impl_->file_of(range, offset, to.size());
  const auto size = static_cast<std::int64_t>(to.size());
  const auto number = impl_->threads->start(file, false, to.data(), offset.value, size);
  const std::lock_guard lock(impl_->mutex);
  impl_->stats.read += Bytes{size};
  return {number};
}

NvmeTicket NvmeStore::write(const NvmeRange& range, std::span<const std::byte> from, Bytes offset) {
  IoFile& file = impl_->file_of(range, offset, from.size());
  const auto size = static_cast<std::int64_t>(from.size());
  // Jobs of both directions carry one kind of pointer; a write never stores through it.
  auto* data = const_cast<std::byte*>(from.data());
  const auto number = impl_->threads->start(file, true, data, offset.value, size);
  const std::lock_guard lock(impl_->mutex);
  impl_->stats.written += Bytes{size};
  return {number};
}

void NvmeStore::wait(NvmeTicket ticket) {
  const auto begin = std::chrono::steady_clock::now();
  impl_->threads->wait(ticket.id);
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - begin;
  const std::lock_guard lock(impl_->mutex);
  impl_->stats.wait_seconds += waited.count();
}

void NvmeStore::wait_all() { impl_->threads->wait_all(); }

bool NvmeStore::is_done(NvmeTicket ticket) const { return impl_->threads->is_done(ticket.id); }

Bytes NvmeStore::block_size() const { return {impl_->options.aio.block_size}; }

Bytes NvmeStore::alignment() const { return {kDiskBlock}; }

std::string NvmeStore::folder() const { return impl_->folder.path(); }

NvmeStats NvmeStore::stats() const {
  const std::lock_guard lock(impl_->mutex);
  NvmeStats result = impl_->stats;
  result.engine = impl_->engine;
  return result;
}

Bytes on_disk(Bytes size) { return {round_up(size.value, kDiskBlock)}; }

Bytes free_disk(const std::string& path) {
  fs::path at(path.empty() ? "." : path);
  std::error_code failed;
  while (!fs::exists(at, failed) && at.has_parent_path() && at != at.parent_path()) {
    at = at.parent_path();
  }
  if (!fs::exists(at, failed)) at = ".";
  struct statvfs disk {};
  if (statvfs(at.c_str(), &disk) != 0) {
    throw FileError(fmt::format("[memory.nvme] the disk of {} cannot be asked: {}.", path,
                                std::strerror(errno)));
  }
  return {static_cast<std::int64_t>(disk.f_bavail) * static_cast<std::int64_t>(disk.f_frsize)};
}

}  // namespace zt::memory
