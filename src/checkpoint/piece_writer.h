#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/file_io.h"
#include "checkpoint/manifest.h"
#include "checkpoint/native_layout.h"
#include "checkpoint/staging.h"
#include "memory/worker.h"

namespace zt::checkpoint {

/// Bytes of a piece, at most; pieces end at multiples of it.
inline constexpr std::int64_t kPieceBytes = 8 << 20;

/// Writes one rank's ranges of the files of a save. Ranges that follow each other become pieces of
/// up to kPieceBytes: hashed in memory, then written past the page cache where the file system can,
/// which on a disk is several times faster than through it. Blocks that are not wholly this rank's
/// go through the page cache, which keeps two ranks' bytes of one block apart.
/// Threads of its own hash and write while the caller fills the next piece: several, because a disk
/// reaches its rate with more than one write under way, and one hashes while others write.
/// Memory: kPieceBytes per stream and six more, and 12 MiB. Descriptors: 48. One thread at a time.
/// Errors: CheckpointError.
class PieceWriter {
 public:
  /// `files` outlives the object. A stream is a sequence of ranges of its own, e.g. a kind of
  /// state.
  PieceWriter(std::string folder, const std::vector<TensorFile>& files, std::size_t streams);

  ~PieceWriter();
  PieceWriter(const PieceWriter&) = delete;
  PieceWriter& operator=(const PieceWriter&) = delete;

  /// Takes a copy of the bytes. Errors also of a range that was appended earlier.
  void append(std::size_t stream, std::size_t file, std::int64_t offset,
              std::span<const std::byte> bytes);
  /// Writes what is staged, makes it durable and closes the files.
  void finish();

  struct FilePiece {
    std::size_t file = 0;
    Piece piece;
  };
  /// What was written; complete after `finish`.
  [[nodiscard]] std::vector<FilePiece> pieces() const;

 private:
  /// The byte of the file at offset o is staged at memory[o % kPieceBytes].
  struct Stream {
    StagingMemory memory;  ///< null: nothing is staged
    std::size_t file = 0;
    std::int64_t begin = 0, end = 0;  ///< staged range of the file
  };
  class Files;
  /// A writing thread, and the files as it has them open; the pieces go to the lanes in turn.
  struct Lane {
    std::unique_ptr<Files> files;  ///< of the worker, until finish has waited for it
    std::unique_ptr<memory::Worker> worker;
  };
  void flush(Stream& stream);

  const std::vector<TensorFile>& files_;
  std::vector<Stream> streams_;
  StagingPool pool_;
  std::vector<Lane> lanes_;
  std::size_t next_lane_ = 0;
};

}  // namespace zt::checkpoint
