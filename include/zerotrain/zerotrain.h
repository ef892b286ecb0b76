#pragma once

/// All of the library's public interface.
#include "zerotrain/config.h"
#include "zerotrain/engine.h"
#include "zerotrain/layer.h"
#include "zerotrain/model.h"
#include "zerotrain/ranks.h"
