"""The GGUF reader on real, damaged and hostile files."""

import struct
import tracemalloc
from pathlib import Path

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expert_runner import selftest
from expert_runner.errors import HeaderError
from expert_runner.gguf_header import Header, parts, read_header
from expert_runner.gguf_writer import GgufFile, Quant

FACTS = {
    "general.architecture": "lfm2",
    "lfm2.block_count": 4,
    "lfm2.embedding_length": 2048,
    "lfm2.attention.head_count": 32,
    "lfm2.attention.head_count_kv": [0, 0, 8, 0],
    "lfm2.feed_forward_length": 8192,
    "lfm2.vocab_size": 65536,
}
RELAXED = settings(
    max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def write(path: Path, metadata: dict) -> Path:
    path.write_bytes(GgufFile(metadata=metadata).to_bytes())
    return path


def test_the_sizes_of_a_hybrid_model_are_read_layer_by_layer(tmp_path):
    path = write(tmp_path / "m.gguf", FACTS)
    assert read_header(path) == Header(
        architecture="lfm2",
        layers=4,
        embedding=2048,
        feed_forward=8192,
        vocabulary=65536,
        kv_heads=(0, 0, 8, 0),
        key_length=64,
        value_length=64,
        file_bytes=path.stat().st_size,
    )


def test_one_number_of_heads_counts_for_every_layer(tmp_path):
    path = write(tmp_path / "m.gguf", FACTS | {"lfm2.attention.head_count_kv": 8})
    assert read_header(path).kv_heads == (8, 8, 8, 8)


def test_own_lengths_of_keys_and_values_win_over_the_division(tmp_path):
    lengths = {"lfm2.attention.key_length": 128, "lfm2.attention.value_length": 96}
    header = read_header(write(tmp_path / "m.gguf", FACTS | lengths))
    assert (header.key_length, header.value_length) == (128, 96)


def test_without_a_stated_vocabulary_the_tokens_are_counted(tmp_path):
    facts = {k: v for k, v in FACTS.items() if k != "lfm2.vocab_size"}
    path = write(tmp_path / "m.gguf", facts | {"tokenizer.ggml.tokens": ["a", "b", "c"]})
    assert read_header(path).vocabulary == 3


def test_the_reader_agrees_with_the_reference_library_on_the_built_in_model(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(selftest.build())
    fields = gguf.GGUFReader(path).fields
    header = read_header(path)
    assert header.vocabulary == len(fields["tokenizer.ggml.tokens"].data)
    assert header.embedding == fields["llama.embedding_length"].contents()
    assert header.feed_forward == fields["llama.feed_forward_length"].contents()
    assert header.kv_heads == (fields["llama.attention.head_count_kv"].contents(),)


def test_every_value_type_of_the_format_is_skipped_correctly(tmp_path):
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint8("x.u8", 1)
    writer.add_int8("x.i8", -1)
    writer.add_uint16("x.u16", 1)
    writer.add_int16("x.i16", -1)
    writer.add_uint64("x.u64", 1)
    writer.add_int64("x.i64", -1)
    writer.add_float64("x.f64", 0.5)
    writer.add_bool("x.b", True)
    writer.add_array("x.floats", [0.5, 1.5])
    writer.add_array("x.bools", [True, False])
    writer.add_block_count(2)
    writer.add_embedding_length(64)
    writer.add_head_count(2)
    writer.add_vocab_size(32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert read_header(path).kv_heads == (2, 2)


@pytest.mark.parametrize("missing", ["general.architecture", "lfm2.block_count", "lfm2.vocab_size"])
def test_a_file_that_lacks_a_needed_fact_is_refused_by_the_name_of_the_fact(tmp_path, missing):
    path = write(tmp_path / "m.gguf", {k: v for k, v in FACTS.items() if k != missing})
    with pytest.raises(HeaderError, match=missing):
        read_header(path)


def test_a_file_cut_anywhere_in_its_header_is_refused(tmp_path):
    whole = GgufFile(metadata=FACTS).to_bytes()
    path = tmp_path / "m.gguf"
    end = whole.index(b"lfm2.vocab_size") + len("lfm2.vocab_size")
    for length in range(end):
        path.write_bytes(whole[:length])
        with pytest.raises(HeaderError):
            read_header(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(HeaderError, match="No such file"):
        read_header(tmp_path / "m.gguf")


@RELAXED
@given(junk=st.binary(max_size=400))
def test_arbitrary_bytes_behind_the_magic_never_crash_the_reader(tmp_path, junk):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + junk)
    with pytest.raises(HeaderError):
        read_header(path)


@RELAXED
@given(place=st.integers(0, 400), value=st.integers(0, 255), width=st.integers(1, 8))
def test_a_real_header_with_damaged_bytes_is_read_or_refused_and_nothing_else(
    tmp_path, place, value, width
):
    whole = bytearray(GgufFile(metadata=FACTS | {"a.tokens": ["x"] * 20}).to_bytes())
    whole[place : place + width] = bytes([value] * width)
    path = tmp_path / "m.gguf"
    path.write_bytes(whole)
    try:
        header = read_header(path)
    except HeaderError:
        return
    assert header.layers > 0
    assert header.file_bytes == len(whole)


@pytest.mark.parametrize(
    "claim",
    [
        struct.pack("<Q", 2**62),  # a key of that length
        struct.pack("<Q", 1) + b"k" + struct.pack("<IQ", 8, 2**62),  # a text
        struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 4, 2**61),  # numbers
        struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 8, 2**61),  # texts
        struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 9, 1),  # an array of arrays
    ],
)
def test_a_claimed_length_beyond_the_file_costs_no_memory(tmp_path, claim):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + claim)
    tracemalloc.start()
    try:
        with pytest.raises(HeaderError):
            read_header(path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_large_vocabulary_is_not_kept_in_memory(tmp_path):
    tokens = [f"token-{n:06}-{'x' * 20}" for n in range(50_000)]
    path = write(tmp_path / "m.gguf", {**FACTS, "tokenizer.ggml.tokens": tokens})
    tracemalloc.start()
    try:
        read_header(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_split_model_counts_all_its_parts(tmp_path):
    first = write(tmp_path / "m-00001-of-00003.gguf", FACTS)
    for part in parts(first)[1:]:
        part.write_bytes(bytes(1000))
    assert read_header(first).file_bytes == first.stat().st_size + 2000


def test_a_split_model_with_a_missing_part_is_refused_by_the_name_of_the_part(tmp_path):
    first = write(tmp_path / "m-00001-of-00002.gguf", FACTS)
    with pytest.raises(HeaderError, match=r"m-00002-of-00002\.gguf"):
        read_header(first)


def test_the_writer_pads_what_it_must(tmp_path):
    file = GgufFile(metadata=FACTS)
    file.vector("norm", [1.0] * 3)
    file.matrix("w", [[0.5] * 32], Quant.Q8_0)
    path = tmp_path / "m.gguf"
    path.write_bytes(file.to_bytes())
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    assert list(tensors["norm"].data) == [1.0, 1.0, 1.0]
    assert tensors["w"].n_bytes == 34
