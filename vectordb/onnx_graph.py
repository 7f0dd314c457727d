"""The graph of a BERT sentence encoder, built from its weights: tokens in, unit vectors out.

Made by hand instead of traced by torch, for the operators that ONNX Runtime runs fast: fused attention,
embedding and activation (`com.microsoft`). Mean pooling and normalisation are part of the graph.
Source of the formulas: Devlin et al. 2019 (BERT), Reimers and Gurevych 2019 (mean pooling).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError

Weights = Mapping[str, NDArray[np.float32]]
_FUSED: Final = "com.microsoft"
_OPSET: Final = 17
_IR_VERSION: Final = 10  # what ONNX Runtime has read since 1.18


class BertConfig(msgspec.Struct, frozen=True):
    """Of `config.json`, what decides the graph."""

    model_type: str
    hidden_act: str
    hidden_size: int
    num_attention_heads: int
    num_hidden_layers: int
    max_position_embeddings: int
    layer_norm_eps: float
    position_embedding_type: str = "absolute"


class _Pooling(msgspec.Struct, frozen=True):
    pooling_mode_mean_tokens: bool = False
    pooling_mode_cls_token: bool = False
    pooling_mode_max_tokens: bool = False
    pooling_mode_mean_sqrt_len_tokens: bool = False


class _Module(msgspec.Struct, frozen=True):
    type: str


class _Limits(msgspec.Struct, frozen=True):
    max_seq_length: int


def read_config(folder: Path) -> tuple[BertConfig, int]:
    """The configuration of the weights in `folder`, and how many tokens of a text are read.

    Raises:
        InvalidInputError: not a BERT with mean pooling and normalisation: there is no graph for it.
    """
    try:
        config = msgspec.json.decode((folder / "config.json").read_bytes(), type=BertConfig)
        pooling = msgspec.json.decode((folder / "1_Pooling/config.json").read_bytes(), type=_Pooling)
        modules = msgspec.json.decode((folder / "modules.json").read_bytes(), type=list[_Module])
        limits = msgspec.json.decode((folder / "sentence_bert_config.json").read_bytes(), type=_Limits)
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
        raise InvalidInputError(f"{folder}: cannot be exported: {error}") from None
    bert = (config.model_type, config.hidden_act, config.position_embedding_type)
    steps = [module.type.rpartition(".")[2] for module in modules]
    if (
        bert != ("bert", "gelu", "absolute")
        or pooling != _Pooling(pooling_mode_mean_tokens=True)
        or steps != ["Transformer", "Pooling", "Normalize"]
    ):
        raise InvalidInputError(f"{folder}: cannot be exported: only BERT with mean pooling, normalised")
    return config, min(limits.max_seq_length, config.max_position_embeddings)


def sentence_graph(config: BertConfig, weights: Weights, max_tokens: int) -> bytes:
    """The ONNX model: int32 `ids` and `mask` (batch, tokens) to float32 `vectors` (batch, hidden)."""
    from onnx import TensorProto, helper  # noqa: PLC0415 needed at the export alone

    graph = _Graph(config, weights)
    last = graph.embeddings(max_tokens)
    for layer in range(config.num_hidden_layers):
        last = graph.layer(f"encoder.layer.{layer}.", last)
    graph.pool(last)
    whole = helper.make_graph(
        graph.nodes,
        "sentence_encoder",
        [
            helper.make_tensor_value_info(name, TensorProto.INT32, ["batch", "tokens"])
            for name in ("ids", "mask")
        ],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", config.hidden_size])],
        graph.constants,
    )
    versions = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_FUSED, 1)]
    made: bytes = helper.make_model(whole, opset_imports=versions, ir_version=_IR_VERSION).SerializeToString()
    return made


class _Graph:
    """Collects nodes and constants; each method returns the name of its output."""

    def __init__(self, config: BertConfig, weights: Weights) -> None:
        from onnx import helper, numpy_helper  # noqa: PLC0415

        self._config = config
        self._weights = weights
        self._node: Any = helper.make_node
        self._tensor: Any = numpy_helper.from_array
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def embeddings(self, max_tokens: int) -> str:
        """Word plus position plus the first token type, normalised."""
        part = "embeddings."
        positions = self._weights[f"{part}position_embeddings.weight"][:max_tokens]
        positions = positions + self._weights[f"{part}token_type_embeddings.weight"][0]
        words = self._given(f"{part}word_embeddings.weight")
        norm = self._norm(f"{part}LayerNorm")
        inputs = ["ids", "", words, self._constant(f"{part}positions", positions), "", *norm]
        self._fused("EmbedLayerNormalization", inputs, f"{part}out", epsilon=self._config.layer_norm_eps)
        self.nodes[-1].output.append("")  # a mask index, which nobody uses
        self._plain("Shape", ["ids"], "tokens", start=1, end=2)
        for name, value in (("ones", 1), ("zeros", 0)):
            filled = self._tensor(np.array([value], np.float32), "value")
            self._plain("ConstantOfShape", ["tokens"], name, value=filled)
        return f"{part}out"

    def layer(self, part: str, last: str) -> str:
        """Attention, then the feed-forward part, each added to its input and normalised."""
        three = [f"{part}attention.self.{name}" for name in ("query", "key", "value")]
        matrix = np.concatenate([self._weights[f"{name}.weight"].T for name in three], axis=1)
        bias = np.concatenate([self._weights[f"{name}.bias"] for name in three])
        inputs = [last, self._constant(f"{part}qkv", matrix), self._constant(f"{part}qkv.bias", bias), "mask"]
        heads = self._config.num_attention_heads
        seen = self._fused("Attention", inputs, f"{part}seen", num_heads=heads)
        seen = self._dense(f"{part}attention.output.dense", seen)
        seen = self._add_and_norm(f"{part}attention.output", seen, last)
        wide = self._dense(f"{part}intermediate.dense", seen)
        wide = self._fused(
            "BiasGelu", [wide, self._given(f"{part}intermediate.dense.bias")], f"{part}activated"
        )
        return self._add_and_norm(f"{part}output", self._dense(f"{part}output.dense", wide), seen)

    def pool(self, last: str) -> None:
        """The mean over the tokens that are there, at length 1; the sum has the same direction."""
        from onnx import TensorProto  # noqa: PLC0415

        self._plain("Cast", ["mask"], "there", to=TensorProto.FLOAT)
        self._plain("Unsqueeze", ["there", self._constant("last_axis", np.array([2]))], "weights")
        self._plain("Mul", [last, "weights"], "masked")
        self._plain("ReduceSum", ["masked", self._constant("token_axis", np.array([1]))], "sum", keepdims=0)
        self._plain("LpNormalization", ["sum"], "vectors", axis=1, p=2)

    def _dense(self, name: str, given: str) -> str:
        """The product alone: whatever follows adds the bias in its own step."""
        return self._plain(
            "MatMul", [given, self._constant(name, self._weights[f"{name}.weight"].T)], f"{name}.out"
        )

    def _add_and_norm(self, part: str, given: str, skipped: str) -> str:
        """Layer norm of the sum, as an instance norm over each token: there is a vectorised one of these."""
        dense = self._plain("Add", [given, self._given(f"{part}.dense.bias")], f"{part}.biased")
        total = self._plain("Add", [dense, skipped], f"{part}.total")
        weight, bias = self._norm(f"{part}.LayerNorm")
        epsilon = self._config.layer_norm_eps
        level = self._plain(
            "InstanceNormalization", [total, "ones", "zeros"], f"{part}.level", epsilon=epsilon
        )
        return self._plain(
            "Add", [self._plain("Mul", [level, weight], f"{part}.scaled"), bias], f"{part}.out"
        )

    def _norm(self, name: str) -> list[str]:
        return [self._given(f"{name}.weight"), self._given(f"{name}.bias")]

    def _given(self, name: str) -> str:
        return self._constant(name, self._weights[name])

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        self.constants.append(self._tensor(np.ascontiguousarray(values), name))
        return name

    def _fused(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(self._node(operator, inputs, [output], domain=_FUSED, **attributes))
        return output

    def _plain(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(self._node(operator, inputs, [output], **attributes))
        return output
