#pragma once

#include <string>
#include <vector>

#include "base/units.h"

namespace zt::checkpoint {

/// A small file of a model folder.
struct SideFile {
  std::string name;
  std::string text;
};

/// What a Hugging Face model folder holds beside its weights: config.json of `source` (a folder, or
/// a name that model::named_model knows) with the saved dtype, generation_config.json, and the
/// tokenizer's files byte for byte. What the sources do not have is left out, except config.json.
/// `tokenizer_source` may be empty. Errors: FileError.
[[nodiscard]] std::vector<SideFile> model_side_files(const std::string& source,
                                                     const std::string& tokenizer_source,
                                                     DType dtype);

/// model.safetensors, or model-<digits>-of-<digits>.safetensors.
[[nodiscard]] bool is_weight_file(const std::string& name);

}  // namespace zt::checkpoint
