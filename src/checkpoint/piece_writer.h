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
/// A thread of its own hashes and writes while the caller fills the next piece.
/// Memory: kPieceBytes per stream and two more, and 4 MiB. One thread at a time. Errors:
/// CheckpointError.
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
  [[nodiscard]] const std::vector<FilePiece>& pieces() const;

 private:
  /// The byte of the file at offset o is staged at memory[o % kPieceBytes].
  struct Stream {
    StagingMemory memory;  ///< null: nothing is staged
    std::size_t file = 0;
    std::int64_t begin = 0, end = 0;  ///< staged range of the file
  };
  class Files;
  void flush(Stream& stream);

  const std::vector<TensorFile>& files_;
  std::vector<Stream> streams_;
  StagingPool pool_;
  std::unique_ptr<Files> written_;  ///< of the worker, until finish has waited for it
  memory::Worker worker_;
};

}  // namespace zt::checkpoint
