"""Writes a tiny Llama with random weights and a byte-level vocabulary, for llama.cpp.

usage: make_tiny_gguf.py OUT.gguf

Nothing is downloaded and no framework is needed: weights come from a seeded generator, the
vocabulary is GPT-2's 256 byte symbols and a few merges. What it says makes no sense; how it batches,
caches prefixes and streams is llama.cpp's real behaviour.
"""

import sys

import gguf
import numpy as np

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FEED_FORWARD, CONTEXT = 128, 4, 4, 2, 32, 256, 16384
SPECIAL = ["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>"]
MERGES = ["t h", "th e", "i n", "a n", "e r", "o u"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def byte_symbols():
    """GPT-2's printable stand-in for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols, extra = {}, 0
    for byte in range(256):
        if byte in plain:
            symbols[byte] = chr(byte)
        else:
            symbols[byte] = chr(256 + extra)
            extra += 1
    return [symbols[byte] for byte in range(256)]


def main(out):
    tokens = SPECIAL + byte_symbols() + [merge.replace(" ", "") for merge in MERGES]
    kinds = [gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token in tokens]

    writer = gguf.GGUFWriter(out, "llama")
    writer.add_name("tiny-random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(MERGES)
    writer.add_pad_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_chat_template(TEMPLATE)

    random = np.random.default_rng(0)

    def weight(name, rows, columns):
        values = random.standard_normal((rows, columns)) / np.sqrt(columns)
        writer.add_tensor(name, values.astype(np.float32))

    def norm(name):
        writer.add_tensor(name, np.ones(HIDDEN, dtype=np.float32))

    weight("token_embd.weight", len(tokens), HIDDEN)
    norm("output_norm.weight")
    weight("output.weight", len(tokens), HIDDEN)
    for layer in range(LAYERS):
        norm(f"blk.{layer}.attn_norm.weight")
        weight(f"blk.{layer}.attn_q.weight", HEADS * HEAD_DIM, HIDDEN)
        weight(f"blk.{layer}.attn_k.weight", KV_HEADS * HEAD_DIM, HIDDEN)
        weight(f"blk.{layer}.attn_v.weight", KV_HEADS * HEAD_DIM, HIDDEN)
        weight(f"blk.{layer}.attn_output.weight", HIDDEN, HEADS * HEAD_DIM)
        norm(f"blk.{layer}.ffn_norm.weight")
        weight(f"blk.{layer}.ffn_gate.weight", FEED_FORWARD, HIDDEN)
        weight(f"blk.{layer}.ffn_up.weight", FEED_FORWARD, HIDDEN)
        weight(f"blk.{layer}.ffn_down.weight", HIDDEN, FEED_FORWARD)

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(sys.argv[1])
