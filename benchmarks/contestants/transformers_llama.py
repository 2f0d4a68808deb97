"""The transformers library: its Llama in PyTorch, as its own ``generate`` runs it."""

import torch
from transformers import LlamaForCausalLM

from benchmarks.contestant import timed
from benchmarks.decoding import LONG_PROMPT, prompt
from benchmarks.evidence import Evidence


class FirstToken:
    """Reading a prompt up to its first answer."""

    def __init__(self, folder: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.model.train(False)
        self.ids = torch.tensor([prompt(self.model.config.vocab_size, LONG_PROMPT)])

    @torch.inference_mode()
    def validate(self) -> Evidence:
        return {"logits": self.model(self.ids, logits_to_keep=1).logits[0, -1].numpy()}

    @torch.inference_mode()
    def run(self, steps: int) -> list[float]:
        return timed(lambda: self.model(self.ids, logits_to_keep=1, use_cache=True), steps)
