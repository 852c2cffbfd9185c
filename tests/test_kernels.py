"""What the interpreter cannot show: that each kernel becomes machine code of a GPU and fits into it. No GPU is needed."""

from importlib import import_module

import pytest
import torch

SHARED = {80: 163 * 2**10, 90: 227 * 2**10}  # bytes a program may have on an A100 and an H100: CUDA's programming guide


def attention(m, tile):
    """Of the kernels that go through 197 tokens in such tiles, with the widest heads."""
    _grid, (_n, *sizes), stages = m._tiled(torch.empty(1, 197, 3 * 6 * 128, device="meta"), 6, *tile)
    names = ("H", "D", *(f"{kind}{part}" for kind in ("OUTER", "INNER") for part in ("", "S", "_LAST")))
    types = dict.fromkeys(("packed", "out", "upstream", "gradient"), "*bf16") | {"n": "i32"}
    return types, dict(zip(names, sizes, strict=True)), {"num_stages": stages}


CASES = {  # module, kernel -> from the module: types that are no fp32, constants, launch
    ("method.fused_losses", "_cross_entropies"): lambda m: (
        {"n": "i32", "L": "i32", "shares_stride": "i32", "loss_stride": "i32", "grad": "*fp16"},
        {"T": 2, "TARGETS": 2, "WIDTH": m.WIDTH, "UNITS": 1 / m.GRADIENT_UNIT},
        {"num_warps": 8},
    ),
    ("method.fused_search", "_round"): lambda m: (
        {"order": "*i64", "count": "*i32", "rounded": "*fp16", "d": "i32", "e": "i32"},
        {"BN": m.QUERIES, "BD": m.WIDTH},
        {},
    ),
    ("method.fused_search", "_search"): lambda m: (
        {"queries": f"tensordesc<fp16[{m.QUERIES},{m.WIDTH}]>", "keys": f"tensordesc<fp16[{m.KEYS},{m.WIDTH}]>"}
        | {"counts": "*i32", "query_ids": "*i64", "key_ids": "*i64", "found": "*i32", "Q": "i32", "d": "i32"},
        {"HAS_IDS": True, "BQ": m.QUERIES, "BK": m.KEYS, "BD": m.WIDTH},
        {"num_warps": 8, "num_stages": 3},
    ),
    ("method.fused_clustering", "_nearest_tokens"): lambda m: (
        {"labels": "*i64", "n": "i32", "K": "i32"},
        {"EXCLUDE_SELF": True, "TOKENS": m.TILE // 64, "CLUSTERS": 64},
        {},
    ),
    ("model.networks.fused_gelu", "_gradient"): lambda m: (
        {"hidden": "*bf16", "upstream": "*bf16", "gradient": "*bf16", "M": "i32", "F": "i32"},
        {"ROWS": m.ROWS, "COLUMNS": m.COLUMNS},
        {"num_warps": 8},
    ),
    ("model.networks.fused_attention", "_attend"): lambda m: attention(m, m.ATTEND),
    ("model.networks.fused_attention", "_by_queries"): lambda m: attention(m, m.BY_QUERIES),
    ("model.networks.fused_attention", "_by_keys"): lambda m: attention(m, m.BY_KEYS),
}


@pytest.mark.parametrize("generation", SHARED)
@pytest.mark.parametrize(("module", "name"), CASES)
def test_a_kernel_compiles_for_two_generations_of_gpus_and_fits(module, name, generation):
    triton = pytest.importorskip("triton", reason="Triton is not installed, and there is no GPU that would need it")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    of = import_module(f"cribo.{module}")
    kernel, (types, constants, how) = getattr(of, name), CASES[module, name](of)
    signature = {key: "constexpr" if key in constants else types.get(key, "*fp32") for key in kernel.arg_names}
    source = ASTSource(kernel, signature, {(kernel.arg_names.index(key),): value for key, value in constants.items()})
    compiled = triton.compile(source, target=GPUTarget("cuda", generation, 32), options=how)
    assert compiled.asm["cubin"] and compiled.metadata.shared <= SHARED[generation]
