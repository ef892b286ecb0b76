#pragma once

#include <string>
#include <utility>
#include <vector>

#include "layout/layout.h"

namespace zt::model {

/// Collects the parameters of a model and hands out their ids.
class Parameters {
 public:
  layout::ParamId add(layout::ParamSpec spec) {
    specs_.push_back(std::move(spec));
    return {static_cast<int>(specs_.size()) - 1};
  }
  /// A matrix of normal values with weight decay.
  layout::ParamId matrix(std::string name, std::int64_t rows, std::int64_t cols, double std_dev,
                         bool adjacent = false) {
    return add({.name = std::move(name),
                .shape = {rows, cols},
                .init = layout::Init::normal,
                .init_scale = std_dev,
                .decay = true,
                .adjacent = adjacent});
  }
  /// The weight of a norm: ones, no decay.
  layout::ParamId norm(std::string name, std::int64_t size) {
    return add(
        {.name = std::move(name), .shape = {size}, .init = layout::Init::ones, .decay = false});
  }
  layout::ParamSpec& at(layout::ParamId id) {
    return specs_.at(static_cast<std::size_t>(id.value));
  }
  std::vector<layout::ParamSpec> take() { return std::move(specs_); }

 private:
  std::vector<layout::ParamSpec> specs_;
};

}  // namespace zt::model
