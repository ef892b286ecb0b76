#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/file_io.h"
#include "checkpoint/manifest.h"
#include "checkpoint/native_layout.h"

namespace zt::checkpoint {

/// Bytes of a piece, at most; pieces end at multiples of it.
inline constexpr std::int64_t kPieceBytes = 8 << 20;

struct FreeStaging {
  void operator()(std::byte* memory) const;
};
using StagingMemory = std::unique_ptr<std::byte[], FreeStaging>;
/// Memory for direct writes, on huge pages where the kernel has them: a disk then writes from it up
/// to twice as fast.
[[nodiscard]] StagingMemory allocate_staging(std::int64_t bytes);

/// Writes one rank's ranges of the files of a save. Ranges that follow each other become pieces of
/// up to kPieceBytes: hashed in memory, then written past the page cache where the file system can,
/// which on a disk is several times faster than through it. Blocks that are not wholly this rank's
/// go through the page cache, which keeps two ranks' bytes of one block apart.
/// Memory: kPieceBytes per stream and 4 MiB. One thread at a time. Errors: CheckpointError.
class PieceWriter {
 public:
  /// `files` outlives the object. A stream is a sequence of ranges of its own, e.g. a kind of
  /// state.
  PieceWriter(std::string folder, const std::vector<TensorFile>& files, std::size_t streams);

  void append(std::size_t stream, std::size_t file, std::int64_t offset,
              std::span<const std::byte> bytes);
  /// Writes what is staged, makes it durable and closes the files.
  void finish();

  struct FilePiece {
    std::size_t file = 0;
    Piece piece;
  };
  [[nodiscard]] const std::vector<FilePiece>& pieces() const { return pieces_; }

 private:
  /// The byte of the file at offset o is staged at memory[o % kPieceBytes].
  struct Stream {
    StagingMemory memory;
    std::size_t file = 0;
    std::int64_t begin = 0, end = 0;  ///< staged range of the file
  };
  struct OpenFile {
    File cached, direct;
  };
  /// Bytes of a block that is not wholly this rank's. Written at the end: a write through the page
  /// cache holds up the direct writes of all ranks to its file.
  struct Edge {
    std::size_t file = 0;
    std::int64_t offset = 0;
    std::vector<std::byte> bytes;
  };
  void keep_edge(std::size_t file, std::int64_t offset, std::span<const std::byte> bytes);
  void write_edges();
  OpenFile& open(std::size_t file);
  void flush(Stream& stream);
  void write(std::size_t file, std::int64_t offset, std::span<const std::byte> bytes);

  std::string folder_;
  const std::vector<TensorFile>& files_;
  std::vector<Stream> streams_;
  std::vector<OpenFile> open_;  ///< by file
  std::vector<Edge> edges_;
  std::size_t edge_bytes_ = 0;
  std::vector<FilePiece> pieces_;
};

}  // namespace zt::checkpoint
