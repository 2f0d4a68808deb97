"""The transformers library: its Llama in PyTorch, as its own ``generate`` runs it."""

from collections.abc import Iterator

import torch
from transformers import LlamaForCausalLM

from benchmarks.contestant import timed
from benchmarks.decoding import LONG_PROMPT, NEW_TOKENS, first_tokens, prompt, seconds_per_token
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


class NextTokens:
    """Greedy decoding with the library's own cache, without what ``generate`` does around it."""

    def __init__(self, folder: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.model.train(False)
        self.ids = torch.tensor([prompt(self.model.config.vocab_size)])

    @torch.inference_mode()
    def validate(self) -> Evidence:
        logits = self.model(self.ids, logits_to_keep=1).logits[0, -1].numpy()
        return {"logits": logits, "tokens": first_tokens(self._continuation())}

    @torch.inference_mode()
    def run(self, steps: int) -> list[float]:
        return seconds_per_token(self._continuation, steps)

    def _continuation(self) -> Iterator[int]:
        ids, kept = self.ids, None
        for _ in range(NEW_TOKENS):
            out = self.model(ids, past_key_values=kept, logits_to_keep=1, use_cache=True)
            kept, ids = out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True)
            yield int(ids)
