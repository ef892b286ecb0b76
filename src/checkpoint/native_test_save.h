#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/test_folder.h"
#include "checkpoint/native_save.h"

namespace zt::checkpoint::testing {

/// A folder of one test, removed with the object; holds `source/` with a model's side files.
class SaveFolder : public TestFolder {
 public:
  SaveFolder();
};

[[nodiscard]] std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& bytes);
/// Every regular file below a folder, relative, sorted.
[[nodiscard]] std::vector<std::string> files_below(const std::string& folder);

/// Four parameters of odd sizes, so that slices of ranks end anywhere.
[[nodiscard]] std::vector<layout::ParamSpec> small_params();
/// The value that tests save for an element.
[[nodiscard]] float value_of(layout::StateKind kind, int param, std::int64_t element);

/// Options for a save of `step` with optimizer state and bf16 weights.
[[nodiscard]] NativeSaveOptions small_save(const SaveFolder& folder, std::int64_t step);

/// Runs `body` on `world` threads that share a store.
/// Returns every rank's error text, empty for none.
std::vector<std::string> on_ranks(int world, const std::function<void(const RankExchange&)>& body);

/// Writes value_of for this rank's share, an equal cut of every parameter.
void write_share(NativeSave& save, const std::vector<layout::ParamSpec>& params, int rank,
                 int world);
/// A whole save on `world` threads; returns the published folder.
std::string save_on(int world, const NativeSaveOptions& options,
                    const std::vector<layout::ParamSpec>& params = small_params());

}  // namespace zt::checkpoint::testing
