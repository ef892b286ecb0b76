#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>

#include "checkpoint/manifest.h"
#include "checkpoint/model_folder.h"
#include "checkpoint/native_checkpoint.h"
#include "checkpoint/piece_writer.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;

struct FreeState {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

/// Hash of a range, in parts: a manifest may claim pieces of any size.
std::uint64_t hash_range(const File& file, const Piece& piece, std::vector<std::byte>& buffer) {
  const std::unique_ptr<XXH3_state_t, FreeState> state(XXH3_createState());
  ZT_ASSERT(state != nullptr && XXH3_64bits_reset(state.get()) == XXH_OK, "state of a hash");
  for (auto at = piece.begin; at < piece.end;) {
    const auto count = std::min(piece.end - at, static_cast<std::int64_t>(buffer.size()));
    const auto part = std::span(buffer).first(static_cast<std::size_t>(count));
    file.read(at, part);
    XXH3_64bits_update(state.get(), part.data(), part.size());
    at += count;
  }
  return XXH3_64bits_digest(state.get());
}

/// A file that readers would take although nobody has saved it.
bool would_be_read(const std::string& name) {
  return name.starts_with("zero/") || is_weight_file(name) ||
         name.ends_with(".safetensors.index.json") || name == kTrainerStateName;
}

/// Files that the manifest does not list: a model card, what an upload leaves. They belong to the
/// user and make nothing wrong, unless they are in the place of files of ours.
void find_extra(const std::string& folder, const Manifest& manifest, Verification& result) {
  std::set<std::string> known{kManifestName};
  std::set<std::string> folders{"zero"};
  for (const auto& file : manifest.files) {
    known.insert(file.path);
    if (const auto slash = file.path.find('/'); slash != std::string::npos) {
      folders.insert(file.path.substr(0, slash));
    }
  }
  for (auto it = fs::recursive_directory_iterator(folder); it != fs::recursive_directory_iterator();
       ++it) {
    const auto name = it->path().lexically_relative(folder).generic_string();
    const bool is_folder = it->symlink_status().type() == fs::file_type::directory;
    if (is_folder ? folders.count(name) == 0 : known.count(name) == 0) {
      auto& list = would_be_read(name) ? result.problems : result.notes;
      list.push_back(fmt::format("{}: is not in the manifest", name));
      if (is_folder) it.disable_recursion_pending();
    }
  }
}

class Verifier {
 public:
  Verifier(const std::string& folder, int part, int parts,
           const std::function<void(Bytes)>& progress)
      : folder_(folder), part_(part), parts_(parts), progress_(progress) {}

  Verification run() {
    const auto manifest = Manifest::read(folder_);
    if (part_ == 0) find_extra(folder_, manifest, result_);
    for (const auto& file : manifest.files) check_file(file);
    return std::move(result_);
  }

 private:
  [[nodiscard]] bool mine(std::size_t piece) const {
    return piece % static_cast<std::size_t>(parts_) == static_cast<std::size_t>(part_);
  }

  void check_file(const ManifestFile& listed) {
    const auto first = next_piece_;
    next_piece_ += listed.pieces.size();
    try {
      const File file(folder_ + "/" + listed.path, File::Mode::read);
      if (const auto size = file.size(); size != listed.size) {
        result_.problems.push_back(
            fmt::format("{}: got {} bytes, expected {}", listed.path, size, listed.size));
        return;
      }
      for (std::size_t i = 0; i < listed.pieces.size(); ++i) {
        if (mine(first + i)) check_piece(file, listed, listed.pieces[i]);
      }
    } catch (const Error& error) {  // maybe in this part's pieces, or on this machine, alone
      result_.problems.emplace_back(error.what());
    }
  }

  void check_piece(const File& file, const ManifestFile& listed, const Piece& piece) {
    const auto hash = hash_range(file, piece, buffer_);
    result_.read += {piece.end - piece.begin};
    if (progress_) progress_({piece.end - piece.begin});
    if (hash == piece.hash) return;
    result_.problems.push_back(fmt::format("{}: bytes {} to {} are not those that were saved",
                                           listed.path, piece.begin, piece.end));
  }

  const std::string& folder_;
  int part_, parts_;
  const std::function<void(Bytes)>& progress_;
  Verification result_;
  std::size_t next_piece_ = 0;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(kPieceBytes);
};

}  // namespace

std::vector<std::string> each_once(const std::vector<std::string>& problems) {
  std::set<std::string> known;
  std::vector<std::string> result;
  for (const auto& problem : problems) {
    if (known.insert(problem).second) result.push_back(problem);
  }
  return result;
}

Verification verify(const std::string& folder, int part, int parts,
                    const std::function<void(Bytes)>& progress) {
  ZT_ASSERT(part >= 0 && part < parts, "part of a verification");
  try {
    return Verifier(folder, part, parts, progress).run();
  } catch (const std::exception& error) {  // of the manifest or of the folder itself
    return {{error.what()}, {}, {}};
  }
}

}  // namespace zt::checkpoint
