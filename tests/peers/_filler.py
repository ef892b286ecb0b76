"""The Trainer's filling and checking of a DeepSpeed dict, with accelerate's base class in the place of the deepspeed package's."""

from accelerate.utils.deepspeed import HfDeepSpeedConfig
from transformers.integrations import deepspeed as integration


class Filler(HfDeepSpeedConfig):
    """Has the methods of the Trainer's HfTrainerDeepSpeedConfig."""

    def __init__(self, document):
        super().__init__(document)
        self._dtype = None
        self.mismatches = []


for method, code in vars(integration.HfTrainerDeepSpeedConfig).items():
    if not method.startswith("__"):
        setattr(Filler, method, code)
