#!/usr/bin/env python3
"""The old name train_deepspeed.py of `zt train`, for any launcher: all arguments are those of `zt train`."""

import _zt

_zt.become("train")
