"""A sentence encoder of a few kilobytes with random weights, in the files that the real one has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from vectordb.exported import GRAPH, TOKENIZER
from vectordb.onnx_encoder import OnnxModel
from vectordb.onnx_graph import read_config, sentence_graph

HIDDEN, WIDE, LAYERS, HEADS, TOKENS = 32, 64, 2, 4, 24
WORDS = ("comedy", "horror", "night", "robot", "love", "war", "city", *map(str, range(30)))
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": HIDDEN,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "max_position_embeddings": 64,
    "layer_norm_eps": 1e-12,
}


def write_weights(folder: Path, seed: int = 5) -> Path:
    """The files of a small encoder; another seed, other vectors."""
    (folder / "1_Pooling").mkdir(parents=True)
    vocabulary = {word: row for row, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "1_Pooling/config.json").write_text(
        json.dumps({"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": True})
    )
    steps = ["Transformer", "Pooling", "Normalize"]
    (folder / "modules.json").write_text(
        json.dumps([{"type": f"sentence_transformers.models.{s}"} for s in steps])
    )
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": TOKENS}))
    save_file(_weights(len(vocabulary), seed), str(folder / "model.safetensors"))
    return folder


def small_onnx(weights: Path, folder: Path, threads: int = 1) -> OnnxModel:
    """The small encoder as a graph in `folder`."""
    from safetensors.numpy import load_file

    config, tokens = read_config(weights)
    graph = sentence_graph(config, load_file(weights / "model.safetensors"), tokens)
    (folder / GRAPH).write_bytes(graph)
    (folder / TOKENIZER).write_bytes((weights / "tokenizer.json").read_bytes())
    return OnnxModel(folder, dimension=HIDDEN, max_tokens=tokens, threads=threads)


def _weights(words: int, seed: int) -> dict[str, np.ndarray]:
    shapes = {
        "embeddings.word_embeddings.weight": (words, HIDDEN),
        "embeddings.position_embeddings.weight": (64, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        "embeddings.LayerNorm.weight": (HIDDEN,),
        "embeddings.LayerNorm.bias": (HIDDEN,),
    }
    square = [f"attention.{part}" for part in ("self.query", "self.key", "self.value", "output.dense")]
    for layer in (f"encoder.layer.{number}." for number in range(LAYERS)):
        for name in square:
            shapes |= {f"{layer}{name}.weight": (HIDDEN, HIDDEN), f"{layer}{name}.bias": (HIDDEN,)}
        shapes |= {
            f"{layer}intermediate.dense.weight": (WIDE, HIDDEN),
            f"{layer}intermediate.dense.bias": (WIDE,),
        }
        shapes |= {f"{layer}output.dense.weight": (HIDDEN, WIDE), f"{layer}output.dense.bias": (HIDDEN,)}
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{layer}{norm}.weight": (HIDDEN,), f"{layer}{norm}.bias": (HIDDEN,)}
    generator = np.random.default_rng(seed)
    return {name: generator.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
