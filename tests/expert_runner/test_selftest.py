"""The built-in model: its bytes never vary and it stays small."""

import hashlib
import subprocess
import sys

import gguf
import pytest

from expert_runner import selftest
from expert_runner.gguf_writer import Quant

# A new hash here means every machine generates, checks and announces a new model.
SHA256 = {
    Quant.F16: "f8f8293e61cdd2782209a4d6dbc0cf06e969df11dab814260f23ad71f5c10d10",
    Quant.Q8_0: "700e4184249df661ce5374e2a71b2d46ccceef1cf3ff58634f61ed38a51a6251",
    Quant.Q4_0: "e2c097206f33d3ca2d3adeaa754f07f21ca98172baa8a93bd843f1a0fdef50cf",
}


@pytest.mark.parametrize("quant", SHA256)
def test_the_bytes_are_the_same_on_every_machine(quant):
    assert hashlib.sha256(selftest.build(quant)).hexdigest() == SHA256[quant]


@pytest.mark.parametrize("quant", SHA256)
def test_the_file_stays_below_300_kilobytes(quant):
    assert len(selftest.build(quant)) < 300_000


def test_the_program_writes_the_file_without_numpy_and_gguf(tmp_path, checkout):
    out = tmp_path / "selftest.gguf"
    block = "import sys; sys.modules['numpy'] = sys.modules['gguf'] = None; "
    run = "import runpy; runpy.run_module('expert_runner.selftest', run_name='__main__')"
    subprocess.run(
        [sys.executable, "-c", block + run, "--quant", "q8_0", str(out)],
        check=True,
        env={"PYTHONPATH": str(checkout / "images/llama")},
        stdout=subprocess.DEVNULL,
    )
    assert hashlib.sha256(out.read_bytes()).hexdigest() == SHA256[Quant.Q8_0]


def test_the_licence_is_in_the_file(tmp_path, model):
    path = tmp_path / "m.gguf"
    path.write_bytes(model)
    assert gguf.GGUFReader(path).fields["general.license"].contents() == "cc0-1.0"


def test_no_two_tokens_have_the_same_text():
    tokens = selftest.Vocabulary().tokens
    assert len(set(tokens)) == len(tokens)


def test_the_tokens_of_the_sentence_are_the_sentence():
    vocabulary = selftest.Vocabulary()
    text = "".join(vocabulary.tokens[token] for token in vocabulary.sentence)
    assert text.replace("\u0120", " ") == selftest.SENTENCE
