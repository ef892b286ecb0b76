#pragma once

#include <string_view>

namespace zt::optim {

/// Whether Hugging Face's Trainer decays the parameter `name` (its full dotted name): not when the
/// lower-cased name contains `bias`, `layernorm` or `rmsnorm`, has the path part `norm` or a part
/// that ends in `_norm`, or when its owner is an nn.LayerNorm; nor Mamba's `A_log`, `D` and
/// `norm_f`, which its authors mark (the Trainer decays them). `decay_all` (DeepSpeed's `optimizer`
/// section gives one group) decays everything.
/// Source: transformers Trainer.get_decay_parameter_names, 5.x.
bool is_decayed(std::string_view name, bool owner_is_layer_norm, bool decay_all);

}  // namespace zt::optim
