#!/usr/bin/env python3
"""The old name main_deepspeed.py of `zt run`, for any launcher: all arguments are those of `zt run`."""

import _zt

_zt.become("run")
