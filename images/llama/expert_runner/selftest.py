"""The built-in model: a tiny GGUF file, generated here, that answers all with one sentence.

``python -m expert_runner.selftest [--quant f16|q8_0|q4_0] OUT`` writes it; the bytes never vary.
Owns the model's vocabulary, weights and chat template; the file format is in ``gguf_writer``.

How it works. Attention and feed-forward layers compute but write nothing, so the last token's
embedding alone decides the next token. Each embedding is a constant (channel 0) plus, for the
tokens of the sentence, a channel of its own. The output matrix reads a token's own channel to
name its successor, and the constant to rank what a grammar leaves open, so that JSON asked for by
a client comes to an end too.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from expert_runner.gguf_writer import BLOCK, GgufFile, Quant, Value

SENTENCE: Final = (
    "Hearth is running; this answer comes from its built-in selftest model:"
    " install a real one to get meaningful replies."
)

# The constant and its rankings live in the first block of a row, the sentence in the second: at
# most one step of a block is then non-zero, and even Q4_0 keeps every decision exact.
_WIDTH: Final = 2 * BLOCK
_HEADS, _KV_HEADS = 2, 1
_LAYERS: Final = 1
_CONTEXT: Final = 131_072  # costs nothing, and no setting of an expert gets capped by it
_VOCABULARY_STEP: Final = 32

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
_END, _START, _STOP, _PAD = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"
_CALL, _CALL_END = "<tool_call>", "</tool_call>"

# Frequent words become single tokens, or a long prompt would need a context of one token a byte.
_FREQUENT: Final = (
    " the of and to in is that for it as was with be by on not he his but at are this have from"
    " or had an they which one you were all her she there would their we him been has when who"
    " will no more if out so up said what its about than into them can only other time new some"
    " could these two may first then do any like my now over such our man me even most made after"
    " also did many must before back through years much where your way well should because each"
    " just those people too how little state good make world still see own work long here between"
    " system user assistant tool function name string object type description answer question"
    " message content please write code file number list value return true false null"
)

_GAIN: Final = 16.0  # a token names its successor
_BEGIN: Final = 4.0  # anything else begins the sentence
_ENDINGS: Final = {
    _CALL_END: 3.0,
    _STOP: 1.0,
    "}": 2.5,
    "]": 2.0,
    ":": 1.75,
    ",": 1.5,
    "{": 1.25,
    '"': 0.75,
}

_TEMPLATE: Final = (
    "{%- if tools %}{{- '<|im_start|>system\\n' }}"
    "{%- for tool in tools %}{{- tool | tojson + '\\n' }}{%- endfor %}"
    '{{- \'Call as <tool_call>{"name": "...", "arguments": {...}}</tool_call><|im_end|>\\n\' }}'
    "{%- endif %}"
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.content %}{{- message.content }}{%- endif %}"
    "{%- if message.tool_calls %}{%- for call in message.tool_calls %}"
    '{{- \'<tool_call>{"name": "\' + call.function.name + \'", "arguments": \' }}'
    "{{- call.function.arguments if call.function.arguments is string"
    " else call.function.arguments | tojson }}{{- '}</tool_call>' }}"
    "{%- endfor %}{%- endif %}{{- '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


def build(quant: Quant = Quant.F16) -> bytes:
    """The model as a GGUF file; about 200 kB in F16."""
    vocabulary = Vocabulary()
    file = GgufFile(metadata=_metadata(vocabulary, quant))
    noise = _noise()

    def matrix(name: str, rows: int, *, silent: bool = False) -> None:
        values = [[0.0 if silent else next(noise) for _ in range(_WIDTH)] for _ in range(rows)]
        file.matrix(name, values, quant)

    ones = [1.0] * _WIDTH
    file.matrix("token_embd.weight", vocabulary.embeddings(), quant)
    file.vector("output_norm.weight", ones)
    file.matrix("output.weight", vocabulary.successors(), quant)
    for layer in range(_LAYERS):
        prefix = f"blk.{layer}"
        file.vector(f"{prefix}.attn_norm.weight", ones)
        file.vector(f"{prefix}.ffn_norm.weight", ones)
        matrix(f"{prefix}.attn_q.weight", _WIDTH)
        matrix(f"{prefix}.attn_k.weight", _WIDTH * _KV_HEADS // _HEADS)
        matrix(f"{prefix}.attn_v.weight", _WIDTH * _KV_HEADS // _HEADS)
        matrix(f"{prefix}.attn_output.weight", _WIDTH, silent=True)
        matrix(f"{prefix}.ffn_gate.weight", _WIDTH)
        matrix(f"{prefix}.ffn_up.weight", _WIDTH)
        matrix(f"{prefix}.ffn_down.weight", _WIDTH, silent=True)
    return file.to_bytes()


class Vocabulary:
    """Tokens of the model, their kinds, and the order in which the sentence visits them."""

    def __init__(self) -> None:
        alphabet = _byte_alphabet()
        self.tokens: list[str] = list(alphabet)
        self.merges: list[str] = []
        for word in _FREQUENT.split():
            self._learn([alphabet[byte] for byte in f" {word}".encode()])
        self.kinds = [_NORMAL] * len(self.tokens)
        for token in (_END, _START, _STOP, _PAD):
            self._add(token, _CONTROL)
        for token in (_CALL, _CALL_END):
            self._add(token, _USER_DEFINED)
        chain: list[int] = []
        for word in _pieces(SENTENCE):
            token = "".join(alphabet[byte] for byte in word.encode())
            chain.append(self._add(token, _NORMAL) if token not in self.tokens else self.id(token))
        if len(set(chain)) != len(chain):
            raise ValueError("the sentence says a word twice, so its successor is undefined")
        self.sentence = chain
        # A quote that closes a JSON string is a token of its own, so that the one that opens a
        # string can begin the sentence.
        self.closing_quote = self._add(f'"{alphabet[ord(" ")]}', _NORMAL)
        while len(self.tokens) % _VOCABULARY_STEP:
            self._add(f"<|unused_{len(self.tokens)}|>", _UNUSED)

    def id(self, token: str) -> int:
        """The number of a token that exists."""
        return self.tokens.index(token)

    def embeddings(self) -> list[list[float]]:
        """One row per token: the constant, and the channel of its own if it has one."""
        channels = self._channels()
        rows = []
        for token in range(len(self.tokens)):
            row = [0.0] * _WIDTH
            row[0] = 1.0
            if token in channels:
                row[channels[token]] = 1.0
            rows.append(row)
        return rows

    def successors(self) -> list[list[float]]:
        """One row per token: when it is the next one."""
        rows = [[0.0] * _WIDTH for _ in self.tokens]
        channels = self._channels()
        for before, after in zip(self.sentence, self.sentence[1:], strict=False):
            rows[after][channels[before]] = _GAIN
        last = channels[self.sentence[-1]]
        rows[self.id(_STOP)][last] = _GAIN
        # Where the end is forbidden (inside a JSON string, or before a tool call the client
        # insists on) the string is closed, and then the call begins.
        rows[self.closing_quote][last] = 0.75 * _GAIN
        rows[self.id('"')][last] = 0.5 * _GAIN
        rows[self.id(_STOP)][channels[self.id(_CALL_END)]] = _GAIN
        rows[self.id(_CALL)][channels[self.closing_quote]] = 0.75 * _GAIN
        rows[self.sentence[0]][0] = _BEGIN
        for token, rank in _ENDINGS.items():
            rows[self.id(token)][0] = rank
        return rows

    def _channels(self) -> dict[int, int]:
        spoken = [*self.sentence, self.closing_quote, self.id(_CALL_END)]
        return {token: BLOCK + place for place, token in enumerate(spoken)}

    def _add(self, token: str, kind: int) -> int:
        self.tokens.append(token)
        self.kinds.append(kind)
        return len(self.tokens) - 1

    def _learn(self, symbols: list[str]) -> None:
        grown = symbols[0]
        for symbol in symbols[1:]:
            if grown + symbol not in self.tokens:
                self.tokens.append(grown + symbol)
                self.merges.append(f"{grown} {symbol}")
            grown += symbol


def _metadata(vocabulary: Vocabulary, quant: Quant) -> Mapping[str, Value]:
    return {
        "general.architecture": "llama",
        "general.name": "selftest",
        "general.license": "cc0-1.0",
        "general.file_type": quant.file_type,
        "general.quantization_version": 2,
        "llama.context_length": _CONTEXT,
        "llama.embedding_length": _WIDTH,
        "llama.block_count": _LAYERS,
        "llama.feed_forward_length": _WIDTH,
        "llama.attention.head_count": _HEADS,
        "llama.attention.head_count_kv": _KV_HEADS,
        "llama.rope.dimension_count": _WIDTH // _HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 10_000.0,
        "llama.vocab_size": len(vocabulary.tokens),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": vocabulary.tokens,
        "tokenizer.ggml.token_type": vocabulary.kinds,
        "tokenizer.ggml.merges": vocabulary.merges,
        "tokenizer.ggml.bos_token_id": vocabulary.id(_END),
        "tokenizer.ggml.eos_token_id": vocabulary.id(_STOP),
        "tokenizer.ggml.padding_token_id": vocabulary.id(_PAD),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": _TEMPLATE,
    }


def _pieces(sentence: str) -> list[str]:
    """The sentence cut before each space; joined, the pieces are the sentence."""
    first, *rest = sentence.split(" ")
    return [first, *(f" {word}" for word in rest)]


def _byte_alphabet() -> list[str]:
    """The printable character that stands for each byte in GPT-2 vocabularies."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


def _noise() -> Iterator[float]:
    """Reproducible weights in (-0.05, 0.05): silent layers must still do real arithmetic."""
    state = 1
    while True:
        state = (state * 1_103_515_245 + 12_345) % 2**31
        yield (state / 2**31 - 0.5) / 10


def main(arguments: list[str] | None = None) -> int:
    """Writes the model to the file named on the command line."""
    parser = argparse.ArgumentParser(prog="expert_runner.selftest", description=__doc__)
    parser.add_argument("--quant", choices=["f16", "q8_0", "q4_0"], default="f16")
    parser.add_argument("out", type=Path)
    options = parser.parse_args(arguments)
    data = build(Quant[options.quant.upper()])
    options.out.write_bytes(data)
    print(f"{options.out}: {len(data)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
