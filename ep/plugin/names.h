#pragma once

namespace onnxlocal::ep {

/// The execution provider's name, as sessions and profiles show it.
inline constexpr const char* kProviderName = "OnnxLocalExecutionProvider";
/// The domain of our own operators.
inline constexpr const char* kDomain = "onnxlocal";
/// Causal attention over a paged cache, for ragged batches. All rows (tokens) of all sequences lie
/// one after the other. The cache goes in and comes out: bind one buffer to both and nothing is
/// copied; else the output is a copy with the new rows. Several layers that run as single nodes
/// write their rows into the input's memory first.
///
/// Inputs
///   0 query            f32 [1, rows, heads * head_dim], or, where 1 and 2 are left out,
///                      query, key and value together [1, rows, (heads + 2 * kv_heads) * head_dim]
///   1 key (optional)   f32 [1, rows, kv_heads * head_dim]
///   2 value (optional) f32 [1, rows, kv_heads * head_dim]
///   3 pages            u8 [pages, page_bytes]: attention/attention.h has the layout of a layer;
///                      a page holds `layers` of them, one after the other
///   4 sequence_starts  i32 [sequences + 1]: first row of each sequence; the last is `rows`
///   5 past_lengths     i32 [sequences]: tokens before the first row
///   6 page_table       i32 [sequences, pages_max]: the page of tokens [32 * i, 32 * i + 32)
///   7 cos_cache (optional) f32 [positions, rotary_dim / 2], with do_rotary
///   8 sin_cache (optional)
///   9 q_norm_weight (optional) f32 [head_dim]: each head is normed before it is rotated
///  10 k_norm_weight (optional)
/// Outputs
///   0 output           f32 [1, rows, heads * head_dim]
///   1 pages_out        u8 [pages, page_bytes]
/// Attributes: num_heads, kv_num_heads, head_dim, layer, layers (ints); scale (float; 0:
///   1 / sqrt(head_dim)); kv_bits (int: 16, bf16, or 8: what the pages hold); softcap (float; 0:
///   none); local_window_size (int; -1: none); do_rotary, rotary_interleaved (ints);
///   qk_norm_epsilon (float)
/// Errors at run time: a page index or a length out of bounds, named.
inline constexpr const char* kPagedAttentionOp = "PagedGroupQueryAttention";

// Provider options (session option "ep.OnnxLocalExecutionProvider.NAME" or by
// AppendExecutionProvider_V2).
inline constexpr const char* kOptionThreads = "threads";  ///< 0 or none: the usable cores.
inline constexpr const char* kOptionIsa = "isa";          ///< Over ONNX_LOCAL_ISA.
/// File of packed weights, made where it is not there; none: packed in memory.
inline constexpr const char* kOptionPackedFile = "packed_file";
/// "whole" (default): the whole decoder as one node where it is recognised, else single nodes;
/// "single": single nodes always.
inline constexpr const char* kOptionMode = "mode";
/// A file that receives, at each session's end, a line of JSON for each kind of instruction: calls
/// and nanoseconds. None: no clock is read.
inline constexpr const char* kOptionProfile = "profile";

// What the library says of itself, in its device's metadata (EpDevice_EpMetadata).
/// The instruction set of sessions whose options name none: ONNX_LOCAL_ISA as it was when the
/// library was registered, where this machine has it, else the fastest.
inline constexpr const char* kMetadataIsa = "isa";
/// All that this machine has, slowest first, commas between them.
inline constexpr const char* kMetadataIsas = "isas";

}  // namespace onnxlocal::ep
