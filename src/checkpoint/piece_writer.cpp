#include "checkpoint/piece_writer.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/units.h"

namespace zt::checkpoint {
namespace {

constexpr std::size_t kHugePage = 2 << 20;
constexpr std::size_t kMostEdges = 4 << 20;

}  // namespace

void FreeStaging::operator()(std::byte* memory) const { std::free(memory); }

StagingMemory allocate_staging(std::int64_t bytes) {
  static_assert(kHugePage % File::kDirectAlignment == 0);
  const auto size = static_cast<std::size_t>(round_up(bytes, static_cast<std::int64_t>(kHugePage)));
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(kHugePage, size));
  if (memory == nullptr) throw std::bad_alloc();
  // Only advice: without huge pages a direct write is cut into many small segments.
  static_cast<void>(madvise(memory, size, MADV_HUGEPAGE));
  return StagingMemory(memory);
}

PieceWriter::PieceWriter(std::string folder, const std::vector<TensorFile>& files,
                         std::size_t streams)
    : folder_(std::move(folder)), files_(files), streams_(streams), open_(files.size()) {}

void PieceWriter::append(std::size_t stream_index, std::size_t file, std::int64_t offset,
                         std::span<const std::byte> bytes) {
  auto& stream = streams_.at(stream_index);
  ZT_ASSERT(offset >= 0 && offset + static_cast<std::int64_t>(bytes.size()) <= files_.at(file).size,
            "a range leaves its file");
  if (stream.memory == nullptr) {
    stream.memory = allocate_staging(kPieceBytes);
  }
  if (stream.file != file || stream.end != offset) {
    flush(stream);
    stream.file = file;
    stream.begin = stream.end = offset;
  }
  while (!bytes.empty()) {
    const auto at = stream.end % kPieceBytes;
    const auto count = std::min(static_cast<std::int64_t>(bytes.size()), kPieceBytes - at);
    std::memcpy(stream.memory.get() + at, bytes.data(), static_cast<std::size_t>(count));
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    stream.end += count;
    if (stream.end % kPieceBytes == 0) flush(stream);
  }
}

PieceWriter::OpenFile& PieceWriter::open(std::size_t file) {
  auto& it = open_.at(file);
  if (!it.cached.is_open()) {
    it.cached = File(folder_ + "/" + files_[file].path, File::Mode::write);
    it.direct = it.cached.reopen_direct();
  }
  return it;
}

void PieceWriter::flush(Stream& stream) {
  if (stream.begin == stream.end) return;
  const std::span<const std::byte> bytes{stream.memory.get() + stream.begin % kPieceBytes,
                                         static_cast<std::size_t>(stream.end - stream.begin)};
  pieces_.push_back({stream.file, {stream.begin, stream.end, hash_bytes(bytes)}});
  write(stream.file, stream.begin, bytes);
  stream.begin = stream.end;
}

void PieceWriter::write(std::size_t file, std::int64_t offset, std::span<const std::byte> bytes) {
  auto& target = open(file);
  const auto end = offset + static_cast<std::int64_t>(bytes.size());
  const auto first = round_up(offset, File::kDirectAlignment);
  const auto last = end / File::kDirectAlignment * File::kDirectAlignment;
  const auto part = [&](std::int64_t from, std::int64_t to) {
    return bytes.subspan(static_cast<std::size_t>(from - offset),
                         static_cast<std::size_t>(to - from));
  };
  if (!target.direct.is_open() || first >= last ||
      !target.direct.write_direct(first, part(first, last))) {
    return bytes.size() < static_cast<std::size_t>(2 * File::kDirectAlignment)
               ? keep_edge(file, offset, bytes)
               : target.cached.write(offset, bytes);
  }
  keep_edge(file, offset, part(offset, first));
  keep_edge(file, last, part(last, end));
}

void PieceWriter::keep_edge(std::size_t file, std::int64_t offset,
                            std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  edges_.push_back({file, offset, {bytes.begin(), bytes.end()}});
  edge_bytes_ += bytes.size();
  if (edge_bytes_ > kMostEdges) write_edges();
}

void PieceWriter::write_edges() {
  for (const auto& edge : edges_) open(edge.file).cached.write(edge.offset, edge.bytes);
  edges_.clear();
  edge_bytes_ = 0;
}

void PieceWriter::finish() {
  for (auto& stream : streams_) flush(stream);
  write_edges();
  for (auto& file : open_) {
    if (!file.cached.is_open()) continue;
    file.direct.close();
    file.cached.sync();
    file.cached.close();
  }
}

}  // namespace zt::checkpoint
