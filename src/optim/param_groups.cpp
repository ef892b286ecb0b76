#include "optim/param_groups.h"

#include <algorithm>
#include <cctype>
#include <string>

namespace zt::optim {
namespace {

/// A part of a lower-case name. Mamba's authors mark A_log and D besides norms.
bool is_undecayed_part(std::string_view part) {
  return part == "norm" || part.ends_with("_norm") || part == "norm_f" || part == "a_log" ||
         part == "d";
}

}  // namespace

bool is_decayed(std::string_view name, bool owner_is_layer_norm, bool decay_all) {
  if (decay_all) {
    return true;
  }
  if (owner_is_layer_norm) {
    return false;
  }
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* word : {"bias", "layernorm", "rmsnorm"}) {
    if (lower.find(word) != std::string::npos) {
      return false;
    }
  }
  for (std::size_t begin = 0; begin <= lower.size();) {
    const std::size_t end = std::min(lower.find('.', begin), lower.size());
    if (is_undecayed_part(std::string_view(lower).substr(begin, end - begin))) {
      return false;
    }
    begin = end + 1;
  }
  return true;
}

}  // namespace zt::optim
