from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import pytest

from infra.model.check import LEAST_COSINE, least_cosine, references
from infra.model.convert import BertConfig, write_gguf
from infra.setup.errors import SetupError
from infra.setup.minilm import check_model
from tests.infra import bert

_TINY = BertConfig(
    hidden_size=64,
    intermediate_size=96,
    layer_norm_eps=1e-12,
    max_position_embeddings=32,
    num_attention_heads=4,
    num_hidden_layers=2,
    type_vocab_size=2,
    pad_token_id=0,
)
_VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "read", "a", "file", "line", "##s", "by", "?"]
_IDS = {token: number for number, token in enumerate(_VOCABULARY)}


def _random_weights(config: BertConfig) -> dict[str, bert.Tensor]:
    """Weights of a model that was never trained, of a size at which tokens, positions and layers all matter."""
    dice = np.random.default_rng(7)
    hidden, inner = config.hidden_size, config.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(_VOCABULARY), hidden),
        "embeddings.position_embeddings.weight": (config.max_position_embeddings, hidden),
        "embeddings.token_type_embeddings.weight": (config.type_vocab_size, hidden),
        "pooler.dense.weight": (hidden, hidden),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in (f"encoder.layer.{number}" for number in range(config.num_hidden_layers)):
        parts = {f"attention.self.{part}": (hidden, hidden) for part in ("query", "key", "value")}
        parts |= {"attention.output.dense": (hidden, hidden), "intermediate.dense": (inner, hidden)}
        parts["output.dense"] = (hidden, inner)
        for part, shape in parts.items():
            shapes |= {f"{layer}.{part}.weight": shape, f"{layer}.{part}.bias": shape[:1]}
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    shapes |= {f"{norm}.{kind}": (hidden,) for norm in norms for kind in ("weight", "bias")}
    sizes = {name: 0.05 if name.endswith("bias") else 0.2 for name in shapes}
    weights = {name: dice.normal(0, sizes[name], shape).astype(np.float32) for name, shape in shapes.items()}
    return {name: tensor + np.float32("LayerNorm.weight" in name) for name, tensor in weights.items()}


def _write(path: Path, weights: dict[str, bert.Tensor]) -> Path:
    write_gguf(path, name="tiny", config=_TINY, vocabulary=_VOCABULARY, tensors=weights, progress=lambda _: None)
    return path


def _llama(path: Path) -> llama_cpp.Llama:
    return llama_cpp.Llama(model_path=str(path), embedding=True, n_ctx=32, n_batch=32, n_ubatch=32, verbose=False)


@pytest.mark.parametrize("text", ["Read a file, line by line?", "LINES", "a", "file by files by unknownword"])
def test_a_converted_model_embeds_as_the_forward_pass_in_numpy_does(tmp_path: Path, text: str) -> None:
    """Tokens are the same, and llama.cpp on the converted file agrees with the plain formulas on the weights."""
    weights = _random_weights(_TINY)
    llama = _llama(_write(tmp_path / "tiny.gguf", weights))
    tokens = bert.tokenize(text, _IDS)
    expected = bert.embed(tokens, weights, layers=_TINY.num_hidden_layers, heads=_TINY.num_attention_heads)
    assert llama.tokenize(text.encode()) == tokens
    assert float(np.dot(llama.embed(text, normalize=True), expected)) > 0.999
    llama.close()


def test_the_same_weights_make_the_same_file(tmp_path: Path) -> None:
    """Indexes remember the hash of their model, so it must not depend on the order of the weights."""
    weights = _random_weights(_TINY)
    backwards = dict(reversed(weights.items()))
    first, second = _write(tmp_path / "a.gguf", weights), _write(tmp_path / "b.gguf", backwards)
    assert first.read_bytes() == second.read_bytes()


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    """A tensor that BERT has no place for is named."""
    with pytest.raises(ValueError, match=r"tensor encoder\.rotary\.weight has no place in a BERT model"):
        _write(tmp_path / "a.gguf", {"encoder.rotary.weight": np.ones((2, 2), np.float32)})


def test_the_default_model_embeds_as_the_reference_does(model_path: Path) -> None:
    """The model that set-up made passes the check that set-up makes."""
    assert least_cosine(model_path) >= LEAST_COSINE


def test_the_references_are_those_of_the_formulas(model_path: Path) -> None:
    """The committed vectors come from a forward pass, repeated here in numpy on the model's own weights."""
    reader = gguf.GGUFReader(model_path)
    weights = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    ids = {_as_word_piece(token): number for number, token in enumerate(tokens)}
    for reference in references():
        found = bert.embed(bert.tokenize(reference.text, ids), _original_names(weights), layers=6, heads=12)
        assert float(np.dot(found, reference.vector)) > 0.999


def test_a_model_that_embeds_otherwise_is_not_kept(tmp_path: Path) -> None:
    """A file that llama.cpp opens but whose vectors are wrong is removed, and the message says so."""
    path = _write(tmp_path / "tiny.gguf", _random_weights(_TINY))
    with pytest.raises(SetupError, match="does not embed as it should and was removed"):
        check_model(path)
    assert not path.exists()


def test_a_damaged_model_is_not_kept(tmp_path: Path) -> None:
    """A file that llama.cpp cannot open is removed too."""
    path = tmp_path / "damaged.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(SetupError, match="was removed"):
        check_model(path)
    assert not path.exists()


def test_a_death_of_llama_cpp_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that does not run on this processor says nothing by itself before its process is gone."""
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\nkill -SEGV $$\n")
    dying.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(dying))
    path = tmp_path / "model.gguf"
    path.touch()
    with pytest.raises(SetupError, match="ended by SIGSEGV"):
        check_model(path)


def test_llama_cpp_uses_no_amx_tiles() -> None:
    """A processor that has them dies of its code for them; `infra/setup/llama.py` says why."""
    assert b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info()


def _as_word_piece(token: str) -> str:
    if token.startswith("\u2581"):
        return token[1:]
    return token if token.startswith("[") and token.endswith("]") else f"##{token}"


def _original_names(weights: dict[str, bert.Tensor]) -> dict[str, bert.Tensor]:
    """The weights by their Hugging Face names."""
    parts = {"token_embd": "embeddings.word_embeddings", "position_embd": "embeddings.position_embeddings"}
    parts |= {"token_types": "embeddings.token_type_embeddings", "token_embd_norm": "embeddings.LayerNorm"}
    for layer in range(6):
        here, there = f"blk.{layer}", f"encoder.layer.{layer}"
        parts |= {f"{here}.attn_{part[0]}": f"{there}.attention.self.{part}" for part in ("query", "key", "value")}
        parts |= {
            f"{here}.attn_output": f"{there}.attention.output.dense",
            f"{here}.ffn_up": f"{there}.intermediate.dense",
        }
        parts |= {f"{here}.attn_output_norm": f"{there}.attention.output.LayerNorm"}
        parts |= {f"{here}.ffn_down": f"{there}.output.dense", f"{here}.layer_output_norm": f"{there}.output.LayerNorm"}
    return {f"{parts[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": weights[name] for name in weights}
