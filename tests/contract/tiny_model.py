"""Models of a quarter of a megabyte for tests: they answer at once, and how they answer is chosen.

Weights are noise. What makes them useful: column 0 of every embedding is constant, so that column 0
of the output matrix ranks tokens whatever the text is: no control bytes, an end after some dozen
tokens or never, quotes and braces likely enough for JSON under a grammar to end.
"""

import random
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import Final

from expert_runner.gguf_writer import GgufFile, Quant, Value

WIDTH: Final = 64
_HEADS, _KV_HEADS, _LAYERS, _FEED = 2, 1, 2, 128
_CONTEXT: Final = 131_072
_STEP: Final = 32
_CONSTANT: Final = 2.0
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
_END, _STOP, _PAD, _CALL = "<|endoftext|>", "<|im_end|>", "<|pad|>", "<tool_call>"
_SPECIAL: Final = {
    _CONTROL: (_END, "<|im_start|>", _STOP, _PAD),
    _USER_DEFINED: (_CALL, "</tool_call>"),
}
_WORDS: Final = (
    " the quick brown fox jumps over lazy dog and other animals of forest are watching this from"
    " their places user assistant system function name arguments content model question what is"
)

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


class Manner(Enum):
    """How a model answers."""

    SHORT = "ends after some dozen tokens"
    ENDLESS = "never ends"
    CALLING = "begins every answer with a tool call"


_ENDING: Final = {Manner.SHORT: 1.0, Manner.ENDLESS: -20.0, Manner.CALLING: 7.5}


def write_model(path: Path, manner: Manner) -> Path:
    """Writes a model file and returns its path. The same manner gives the same bytes."""
    path.write_bytes(_build(manner))
    return path


def _build(manner: Manner) -> bytes:
    chance = random.Random(1)
    alphabet = _alphabet()
    tokens, kinds, merges = _vocabulary(alphabet)

    def noise(rows: int, columns: int, deviation: float) -> list[list[float]]:
        return [[chance.gauss(0, deviation) for _ in range(columns)] for _ in range(rows)]

    embeddings = noise(len(tokens), WIDTH, 0.3)
    for row in embeddings:
        row[0] = _CONSTANT
    output = noise(len(tokens), WIDTH, 2 * WIDTH**-0.5)
    scale = 1.0 / _CONSTANT * (sum(x * x for row in embeddings for x in row) / len(tokens)) ** 0.5
    for place, prior in enumerate(_priors(tokens, kinds, manner)):
        output[place][0] = prior * scale / WIDTH**0.5
    if manner is Manner.CALLING:
        _force(output[tokens.index(_CALL)], embeddings[tokens.index(alphabet[10])])

    file = GgufFile(metadata=_metadata(tokens, kinds, merges))
    ones = [1.0] * WIDTH
    file.matrix("token_embd.weight", embeddings, Quant.F16)
    file.vector("output_norm.weight", ones)
    file.matrix("output.weight", output, Quant.F16)
    narrow = WIDTH * _KV_HEADS // _HEADS
    for layer in range(_LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            file.vector(f"blk.{layer}.{norm}.weight", ones)
        for name, rows, columns in (
            ("attn_q", WIDTH, WIDTH),
            ("attn_k", narrow, WIDTH),
            ("attn_v", narrow, WIDTH),
            ("attn_output", WIDTH, WIDTH),
            ("ffn_gate", _FEED, WIDTH),
            ("ffn_up", _FEED, WIDTH),
            ("ffn_down", WIDTH, _FEED),
        ):
            file.matrix(f"blk.{layer}.{name}.weight", noise(rows, columns, 0.02), Quant.F16)
    return file.to_bytes()


def _force(row: list[float], before: list[float]) -> None:
    """Makes a token the one that follows another, and no other."""
    norm = sum(x * x for x in before[1:]) ** 0.5
    direction = [0.0, *(x / norm for x in before[1:])]
    row[:] = [30.0 * x for x in direction]
    row[0] = -30.0


def _priors(tokens: list[str], kinds: list[int], manner: Manner) -> list[float]:
    priors = []
    for place, kind in enumerate(kinds):
        prior = 0.0 if kind == _NORMAL else -20.0
        if place < 32 or 127 <= place < 256:
            prior = -12.0  # no control bytes and no broken UTF-8
        if place in (ord('"'), ord("}")):
            prior = 4.0
        if tokens[place] == _STOP:
            prior = _ENDING[manner]
        priors.append(prior)
    return priors


def _vocabulary(alphabet: list[str]) -> tuple[list[str], list[int], list[str]]:
    tokens, merges = list(alphabet), []
    for word in Counter(_WORDS.split()):
        grown = alphabet[32]
        for byte in word.encode():
            symbol = alphabet[byte]
            if grown + symbol not in tokens:
                tokens.append(grown + symbol)
                merges.append(f"{grown} {symbol}")
            grown += symbol
    kinds = [_NORMAL] * len(tokens)
    for kind, names in _SPECIAL.items():
        tokens += names
        kinds += [kind] * len(names)
    while len(tokens) % _STEP:
        tokens.append(f"<|unused_{len(tokens)}|>")
        kinds.append(_UNUSED)
    return tokens, kinds, merges


def _metadata(tokens: list[str], kinds: list[int], merges: list[str]) -> dict[str, Value]:
    return {
        "general.architecture": "llama",
        "general.name": "tiny",
        "general.license": "cc0-1.0",
        "general.file_type": Quant.F16.file_type,
        "general.quantization_version": 2,
        "llama.context_length": _CONTEXT,
        "llama.embedding_length": WIDTH,
        "llama.block_count": _LAYERS,
        "llama.feed_forward_length": _FEED,
        "llama.attention.head_count": _HEADS,
        "llama.attention.head_count_kv": _KV_HEADS,
        "llama.rope.dimension_count": WIDTH // _HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 10_000.0,
        "llama.vocab_size": len(tokens),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": tokens.index(_END),
        "tokenizer.ggml.eos_token_id": tokens.index(_STOP),
        "tokenizer.ggml.padding_token_id": tokens.index(_PAD),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": _TEMPLATE,
    }


def _alphabet() -> list[str]:
    """The printable character that stands for each byte in GPT-2 vocabularies."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]
