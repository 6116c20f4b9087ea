"""A model that costs real arithmetic and says the same each time, for measuring real servers.

The vocabulary and the trick are those of the built-in selftest model: layers compute but write
nothing, and the output matrix names each token's successor. This one is wider and deeper, so that
evaluating a prompt takes time worth saving.
"""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from expert_runner.gguf_writer import GgufFile, Quant, Tensor, encode
from expert_runner.selftest import Vocabulary

_WIDTH, _HIDDEN, _LAYERS, _HEADS = 256, 768, 8, 4
_TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
    "{{- message.content + '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


def write(path: Path) -> None:
    """Writes the model, about 15 MB; the bytes never vary."""
    vocabulary = Vocabulary()
    file = GgufFile(
        metadata={
            "general.architecture": "llama",
            "general.name": "bench",
            "general.file_type": Quant.F16.file_type,
            "general.quantization_version": 2,
            "llama.context_length": 131_072,
            "llama.embedding_length": _WIDTH,
            "llama.block_count": _LAYERS,
            "llama.feed_forward_length": _HIDDEN,
            "llama.attention.head_count": _HEADS,
            "llama.attention.head_count_kv": _HEADS,
            "llama.rope.dimension_count": _WIDTH // _HEADS,
            "llama.attention.layer_norm_rms_epsilon": 1e-5,
            "llama.rope.freq_base": 10_000.0,
            "llama.vocab_size": len(vocabulary.tokens),
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "gpt-2",
            "tokenizer.ggml.tokens": vocabulary.tokens,
            "tokenizer.ggml.token_type": vocabulary.kinds,
            "tokenizer.ggml.merges": vocabulary.merges,
            "tokenizer.ggml.bos_token_id": vocabulary.id("<|endoftext|>"),
            "tokenizer.ggml.eos_token_id": vocabulary.id("<|im_end|>"),
            "tokenizer.ggml.padding_token_id": vocabulary.id("<|pad|>"),
            "tokenizer.ggml.add_bos_token": False,
            "tokenizer.chat_template": _TEMPLATE,
        }
    )
    file.matrix("token_embd.weight", _widened(vocabulary.embeddings()), Quant.F16)
    file.vector("output_norm.weight", [1.0] * _WIDTH)
    file.matrix("output.weight", _widened(vocabulary.successors()), Quant.F16)
    noise = encode(list(_noise(_WIDTH * _HIDDEN)), Quant.F16)
    for layer in range(_LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            file.vector(f"blk.{layer}.{name}.weight", [1.0] * _WIDTH)
        for name in ("attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"):
            rows = _HIDDEN if name.startswith("ffn") else _WIDTH
            _block(file, f"blk.{layer}.{name}.weight", rows, _WIDTH, noise)
        _block(file, f"blk.{layer}.attn_output.weight", _WIDTH, _WIDTH, bytes(len(noise)))
        _block(file, f"blk.{layer}.ffn_down.weight", _WIDTH, _HIDDEN, bytes(len(noise)))
    path.write_bytes(file.to_bytes())


def _block(file: GgufFile, name: str, rows: int, columns: int, data: bytes) -> None:
    size = rows * columns * struct.calcsize("<e")
    file.tensors.append(
        Tensor(name=name, columns=columns, rows=rows, quant=Quant.F16, data=data[:size])
    )


def _widened(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[*row, *([0.0] * (_WIDTH - len(row)))] for row in rows]


def _noise(count: int) -> Iterator[float]:
    state = 1
    for _ in range(count):
        state = (state * 1_103_515_245 + 12_345) % 2**31
        yield (state / 2**31 - 0.5) / 10
