#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/mamba.h"
#include "model/qwen3.h"

namespace zt::model {

/// A model of a known family with its sizes: what planning, training, saving and benches ask for.
/// A new family is a header with the same set of functions, one more alternative here and one line
/// in the table of family.cpp.
class Model {
 public:
  Model() = default;
  Model(const Qwen3Config& config) : config_(config) {}  // NOLINT(google-explicit-constructor)
  Model(const MambaConfig& config) : config_(config) {}  // NOLINT(google-explicit-constructor)

  /// `Qwen3ForCausalLM`.
  [[nodiscard]] const char* architecture() const;
  [[nodiscard]] std::int64_t hidden() const;
  [[nodiscard]] std::int64_t vocab() const;
  [[nodiscard]] std::int64_t layers() const;
  /// What embedding and head are made of.
  [[nodiscard]] EndsConfig ends() const;
  [[nodiscard]] LengthLimit length_limit() const;
  [[nodiscard]] layer::ModelParts make() const;
  /// Parameters, a tied one counted once.
  [[nodiscard]] std::int64_t num_params() const;
  /// FLOPs of forward and backward per token.
  [[nodiscard]] double train_flops_per_token(std::int64_t sequence) const;
  /// config.json as `transformers` reads it.
  [[nodiscard]] std::string config_json() const;

  /// The configuration of one family; null when the model is of another.
  template <typename Config>
  [[nodiscard]] const Config* as() const {
    return std::get_if<Config>(&config_);
  }

 private:
  std::variant<Qwen3Config, MambaConfig> config_;
};

/// The same family and settings with sizes that a CPU trains in milliseconds, for trying them out.
[[nodiscard]] Model reduced(const Model& model);

/// Reads `folder`/config.json of any family. Errors: FileError when it is missing or not JSON;
/// ConfigError for an unknown `model_type`, and listing every missing, wrong or unsupported value.
[[nodiscard]] Model read_model(const std::string& folder);

/// A published size or preset by name, e.g. `Qwen3-0.6B`, `7b_mamba`; empty when there is none, or
/// when `name` is a folder with a config.json: what lies there is meant, as in `transformers`.
[[nodiscard]] std::optional<Model> named_model(const std::string& name);
/// Names that named_model knows, family by family, smallest first.
[[nodiscard]] std::vector<std::string> model_names();

/// A folder with config.json or a name. `what`: how the error for anything else begins,
/// `[plan.model] --model: got 'x'`.
/// Errors: ConfigError for an unknown name; those of read_model.
[[nodiscard]] Model find_model(const std::string& folder_or_name, const std::string& what);

/// The name that `transformers` gives a tensor today: older Mamba folders say
/// `backbone.embedding.`.
[[nodiscard]] std::string current_name(const std::string& name);

/// Whether a parameter of that name stays fp32 in 16-bit runs, as its model declares it.
[[nodiscard]] bool keeps_fp32(std::string_view name);
/// Whether it is a token embedding, which a tied head uses.
[[nodiscard]] bool is_embedding(std::string_view name);

/// Parts of parameter names in the order in which the modules of `transformers` register them, for
/// the family whose names these are; that of the first family for names of none.
[[nodiscard]] std::span<const std::string_view> registered_parts(
    const std::vector<layout::ParamSpec>& params);

}  // namespace zt::model
