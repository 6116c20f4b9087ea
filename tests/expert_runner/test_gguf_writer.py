"""Number formats, held against the reference implementation."""

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expert_runner.gguf_writer import BLOCK, Quant, encode

ROWS = st.lists(st.floats(-8, 8, width=32), min_size=BLOCK, max_size=2 * BLOCK).map(
    lambda row: row[: len(row) // BLOCK * BLOCK]
)
TYPES = {
    Quant.F16: gguf.GGMLQuantizationType.F16,
    Quant.Q8_0: gguf.GGMLQuantizationType.Q8_0,
    Quant.Q4_0: gguf.GGMLQuantizationType.Q4_0,
}
STEP = {Quant.F16: 2**-10, Quant.Q8_0: 1 / 127, Quant.Q4_0: 1 / 8}


@pytest.mark.parametrize("quant", TYPES)
@settings(max_examples=100, deadline=None)
@given(row=ROWS)
def test_an_encoded_row_reads_back_within_one_step_of_the_format(quant, row):
    data = np.frombuffer(encode(row, quant), dtype=np.uint8)
    back = gguf.quants.dequantize(data, TYPES[quant])
    largest = max(abs(value) for value in row)
    assert np.max(np.abs(back - np.array(row))) <= largest * STEP[quant] * 1.01 + 1e-6


@pytest.mark.parametrize("quant", TYPES)
def test_a_row_with_one_step_per_block_is_exact_in_every_format(quant):
    row = [0.0] * BLOCK + [0.0] * 5 + [16.0] + [0.0] * (BLOCK - 6)
    data = np.frombuffer(encode(row, quant), dtype=np.uint8)
    back = gguf.quants.dequantize(data, TYPES[quant])
    assert np.allclose(back, row, rtol=1e-3)


@pytest.mark.parametrize("quant", [Quant.Q8_0, Quant.Q4_0])
def test_a_row_that_fills_no_block_is_refused(quant):
    with pytest.raises(ValueError, match="no multiple of 32"):
        encode([1.0] * 33, quant)
