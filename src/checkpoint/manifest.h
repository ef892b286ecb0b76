#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace zt::checkpoint {

inline constexpr const char* kManifestName = "zt_manifest.json";
inline constexpr const char* kRunStateName = "zt_run_state.json";
inline constexpr const char* kTrainerStateName = "trainer_state.json";

/// A range of a file that was written, and is verified, in one go.
struct Piece {
  std::int64_t begin = 0, end = 0;
  std::uint64_t hash = 0;  ///< XXH3 of the bytes
};

/// One file of a checkpoint. Its pieces cover it exactly, in order.
struct ManifestFile {
  std::string path;  ///< relative, `/` between folders
  std::int64_t size = 0;
  std::vector<Piece> pieces;
};

/// What a published checkpoint consists of: every file except the manifest itself.
/// Source: docs/checkpoint_format.md.
struct Manifest {
  std::int64_t global_step = 0;
  std::vector<ManifestFile> files;  ///< in path order

  /// Text of zt_manifest.json: a hash, then the body that it covers.
  [[nodiscard]] std::string text() const;
  /// Errors: CheckpointError when the hash does not match, the version is another one, a path
  /// leaves the folder, or pieces do not cover their file. `where` names the file in the message.
  static Manifest parse(const std::string& text, const std::string& where);
  /// Parses `<folder>/zt_manifest.json`.
  static Manifest read(const std::string& folder);
};

/// Sorts pieces and checks that they cover [0, size) once. Returns what is wrong, or nothing.
[[nodiscard]] std::string covering_problem(ManifestFile& file);

/// True for names that stay inside of a folder: parts of letters, digits, `.`, `_`, `-` that do not
/// start with a dot, at most one `/`.
[[nodiscard]] bool is_plain_path(const std::string& path);

}  // namespace zt::checkpoint
