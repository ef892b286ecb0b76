#include "checkpoint/piece_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/units.h"
#include "checkpoint/file_io.h"

namespace zt::checkpoint {
namespace {

constexpr std::size_t kMostEdges = 4 << 20;
constexpr std::size_t kLanes = 3;
/// Files that a lane has open: a large checkpoint has more than a process may.
constexpr std::size_t kMostOpen = 8;
constexpr std::size_t kPiecesUnderway = 2 * kLanes;  ///< beside those that are being filled

}  // namespace

/// The files as one worker writes them.
class PieceWriter::Files {
 public:
  Files(std::string folder, const std::vector<TensorFile>& files)
      : folder_(std::move(folder)), files_(files) {}

  void write_piece(std::size_t file, std::int64_t offset, std::span<const std::byte> bytes) {
    const auto end = offset + static_cast<std::int64_t>(bytes.size());
    pieces_.push_back({file, {offset, end, hash_bytes(bytes)}});
    const auto first = round_up(offset, File::kDirectAlignment);
    const auto last = end / File::kDirectAlignment * File::kDirectAlignment;
    if (first >= last) return keep_edge(file, offset, bytes);  // less than two blocks
    const auto part = [&](std::int64_t from, std::int64_t to) {
      return bytes.subspan(static_cast<std::size_t>(from - offset),
                           static_cast<std::size_t>(to - from));
    };
    auto& target = open(file);
    if (!target.direct.is_open() || !target.direct.write_direct(first, part(first, last))) {
      return target.cached.write(offset, bytes);
    }
    keep_edge(file, offset, part(offset, first));
    keep_edge(file, last, part(last, end));
  }

  void finish() {
    write_edges();
    while (!open_.empty()) close_oldest();
  }

  [[nodiscard]] const std::vector<FilePiece>& pieces() const { return pieces_; }

 private:
  struct OpenFile {
    std::size_t file = 0;
    File cached, direct;
  };
  /// Bytes of a block that is not wholly this rank's. Written at the end: a write through the page
  /// cache holds up the direct writes of all ranks to its file.
  struct Edge {
    std::size_t file = 0;
    std::int64_t offset = 0;
    std::vector<std::byte> bytes;
  };

  /// The last one used is the last in the list.
  OpenFile& open(std::size_t file) {
    const auto found = std::find_if(open_.begin(), open_.end(),
                                    [file](const OpenFile& it) { return it.file == file; });
    if (found != open_.end()) {
      std::rotate(found, found + 1, open_.end());
      return open_.back();
    }
    if (open_.size() == kMostOpen) close_oldest();
    OpenFile it{file, File(folder_ + "/" + files_[file].path, File::Mode::write), {}};
    it.direct = it.cached.reopen_direct();
    return open_.emplace_back(std::move(it));
  }

  /// What was written through it is durable then.
  void close_oldest() {
    auto& oldest = open_.front();
    oldest.direct.close();
    oldest.cached.sync();
    oldest.cached.close();
    open_.erase(open_.begin());
  }

  void keep_edge(std::size_t file, std::int64_t offset, std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    edges_.push_back({file, offset, {bytes.begin(), bytes.end()}});
    edge_bytes_ += bytes.size();
    if (edge_bytes_ > kMostEdges) write_edges();
  }

  void write_edges() {
    std::stable_sort(edges_.begin(), edges_.end(),
                     [](const Edge& a, const Edge& b) { return a.file < b.file; });
    for (const auto& edge : edges_) open(edge.file).cached.write(edge.offset, edge.bytes);
    edges_.clear();
    edge_bytes_ = 0;
  }

  std::string folder_;
  const std::vector<TensorFile>& files_;
  std::vector<OpenFile> open_;
  std::vector<Edge> edges_;
  std::size_t edge_bytes_ = 0;
  std::vector<FilePiece> pieces_;
};

PieceWriter::PieceWriter(std::string folder, const std::vector<TensorFile>& files,
                         std::size_t streams)
    : files_(files), streams_(streams), pool_(streams + kPiecesUnderway, kPieceBytes) {
  for (std::size_t i = 0; i < kLanes; ++i) {
    lanes_.push_back(
        {std::make_unique<Files>(folder, files), std::make_unique<memory::Worker>("checkpoint")});
  }
}

PieceWriter::~PieceWriter() = default;

std::vector<PieceWriter::FilePiece> PieceWriter::pieces() const {
  std::vector<FilePiece> all;
  for (const auto& lane : lanes_) {
    all.insert(all.end(), lane.files->pieces().begin(), lane.files->pieces().end());
  }
  return all;
}

void PieceWriter::append(std::size_t stream_index, std::size_t file, std::int64_t offset,
                         std::span<const std::byte> bytes) {
  auto& stream = streams_.at(stream_index);
  ZT_ASSERT(offset >= 0 && offset + static_cast<std::int64_t>(bytes.size()) <= files_.at(file).size,
            "a range leaves its file");
  if (stream.file != file || stream.end != offset) {
    flush(stream);
    stream.file = file;
    stream.begin = stream.end = offset;
  }
  while (!bytes.empty()) {
    if (stream.memory == nullptr) stream.memory = pool_.take();
    const auto at = stream.end % kPieceBytes;
    const auto count = std::min(static_cast<std::int64_t>(bytes.size()), kPieceBytes - at);
    std::memcpy(stream.memory.get() + at, bytes.data(), static_cast<std::size_t>(count));
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    stream.end += count;
    if (stream.end % kPieceBytes == 0) flush(stream);
  }
}

void PieceWriter::flush(Stream& stream) {
  if (stream.memory == nullptr) return;
  auto& lane = lanes_[next_lane_++ % lanes_.size()];
  // A function object has to be copyable: the job owns the buffer as a plain pointer.
  lane.worker->post([this, &files = *lane.files, memory = stream.memory.release(),
                     file = stream.file, begin = stream.begin, end = stream.end] {
    StagingMemory owned(memory);
    try {
      const auto length = static_cast<std::size_t>(end - begin);
      if (!pool_.failed()) files.write_piece(file, begin, {memory + begin % kPieceBytes, length});
    } catch (...) {
      pool_.fail(std::current_exception());
    }
    pool_.give_back(std::move(owned));
  });
  stream.begin = stream.end;
}

void PieceWriter::finish() {
  for (auto& stream : streams_) flush(stream);
  pool_.wait_all();
  for (auto& lane : lanes_) lane.files->finish();
}

}  // namespace zt::checkpoint
