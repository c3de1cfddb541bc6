"""Writes a BERT sentence encoder (safetensors and a WordPiece vocabulary) as one GGUF file, weights in q8_0.

What llama.cpp expects of such a file: tensors under its own names, the vocabulary with word starts marked instead of
continuations, and the pooling that turns token vectors into one sentence vector. 8 bits a weight cost no accuracy that
can be measured here and make the file a quarter of its size.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import gguf
import msgspec
import numpy as np
import numpy.typing as npt

_WORD_START = "\u2581"
_CONTINUATION = "##"
_FULL_PRECISION = {"position_embd.weight", "token_types.weight"}
# The pooler is for next-sentence prediction: sentence encoders average instead.
_UNUSED = {"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"}

Tensor = npt.NDArray[np.float32]


class BertConfig(msgspec.Struct, frozen=True):
    """The part of a model's `config.json` that its architecture needs."""

    hidden_size: int
    intermediate_size: int
    layer_norm_eps: float
    max_position_embeddings: int
    num_attention_heads: int
    num_hidden_layers: int
    type_vocab_size: int
    pad_token_id: int


def write_gguf(
    path: Path,
    *,
    name: str,
    config: BertConfig,
    vocabulary: Sequence[str],
    tensors: Mapping[str, Tensor],
    progress: Callable[[float], None],
) -> None:
    """Write the model.

    Args:
        path: the file to write; the caller sees to atomicity.
        name: the model's name, kept in the file.
        config: its architecture.
        vocabulary: WordPiece tokens in the order of their ids.
        tensors: weights by their Hugging Face names, float32; matrices are (out, in).
        progress: told the fraction of the tensors that are done, from 0 to 1.
    """
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.BERT])
    _add_architecture(writer, name, config)
    _add_vocabulary(writer, config, vocabulary)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, config.num_hidden_layers)
    wanted = sorted(tensors.keys() - _UNUSED)  # sorted: the same weights make the same file everywhere
    for done, source in enumerate(wanted):
        progress(done / len(wanted))
        target = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise ValueError(f"tensor {source} has no place in a BERT model")
        _add_tensor(writer, target, tensors[source])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    progress(1.0)


def _add_architecture(writer: gguf.GGUFWriter, name: str, config: BertConfig) -> None:
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_causal_attention(value=False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)


def _add_vocabulary(writer: gguf.GGUFWriter, config: BertConfig, vocabulary: Sequence[str]) -> None:
    ids = {token: number for number, token in enumerate(vocabulary)}
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_type_count(config.type_vocab_size)
    writer.add_token_list([_marked(token) for token in vocabulary])
    writer.add_token_types([_token_type(token) for token in vocabulary])
    writer.add_bos_token_id(ids["[CLS]"])
    writer.add_eos_token_id(ids["[SEP]"])
    writer.add_sep_token_id(ids["[SEP]"])
    writer.add_unk_token_id(ids["[UNK]"])
    writer.add_mask_token_id(ids["[MASK]"])
    writer.add_pad_token_id(config.pad_token_id)


def _is_special(token: str) -> bool:
    return token.startswith("[") and token.endswith("]") and len(token) > len("[]")


def _marked(token: str) -> str:
    """WordPiece marks continuations, llama.cpp the starts of words."""
    if _is_special(token):
        return token
    if token.startswith(_CONTINUATION):
        return token.removeprefix(_CONTINUATION)
    return _WORD_START + token


def _token_type(token: str) -> gguf.TokenType:
    if token == "[UNK]":  # noqa: S105 - a token of a vocabulary, no secret
        return gguf.TokenType.UNKNOWN
    return gguf.TokenType.CONTROL if _is_special(token) else gguf.TokenType.NORMAL


def _add_tensor(writer: gguf.GGUFWriter, target: str, tensor: Tensor) -> None:
    is_matrix = len(tensor.shape) > 1
    if is_matrix and target not in _FULL_PRECISION:
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(target, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
    else:
        writer.add_tensor(target, tensor.astype(np.float32))
