"""Artefacts of quantised weights, written by the official writers, for the tests of `verify`."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from tests.unit.torch import frameworks as fw


@dataclass(frozen=True)
class Weight:
    """Codes and the scale of each, or floats that take their place."""

    codes: torch.Tensor
    scale: torch.Tensor
    zero: int = 0
    floats: torch.Tensor | None = None

    @property
    def values(self):
        return self.codes * self.scale if self.floats is None else self.floats

    def block(self, rows, columns):
        """Return the scale of each block of this size, which must be the same within the block."""
        few = self.scale[::rows, ::columns]
        spread = few.repeat_interleave(rows, 0).repeat_interleave(columns, 1)
        assert torch.equal(spread, self.scale)
        return few


def of(weight):
    """Return a handle's weight in the form that writers take."""
    scale = weight.scale().float().broadcast_to(weight.shape).contiguous()
    return Weight(weight.codes().clone(), scale)


def safetensors_codes(path, tensors, dtype=torch.float32):
    fw.needs("safetensors")
    from safetensors.torch import save_file

    found = {}
    for name, one in tensors.items():
        if one.floats is not None:
            found[name] = one.floats.contiguous()
            continue
        found[name] = (one.codes + one.zero).to(torch.int8).contiguous()
        rows = one.scale.flatten(1)
        few = rows[:, :1] if bool((rows == rows[:, :1]).all()) else rows[:, ::32]
        found[f"{name}_scale"] = few.to(dtype).contiguous()
        if one.zero:
            found[f"{name}_zero_point"] = torch.tensor(one.zero)
    save_file(found, path)


def safetensors_values(path, tensors, dtype=torch.float32):
    fw.needs("safetensors")
    from safetensors.torch import save_file

    save_file({name: one.values.to(dtype).contiguous() for name, one in tensors.items()}, path)


def onnx(
    path, tensors, how="channel", kind="INT8", layer="Gemm", dtype=np.float32, fake=False, turn_node=False
):
    """Write a chain of layers with DequantizeLinear: how is "tensor", "channel", or a size of blocks.

    With fake the file holds floats, and QuantizeLinear before; with turn_node a Transpose after.
    """
    fw.needs("onnx")
    from onnx import TensorProto, checker, helper, numpy_helper, save

    nodes, constants, at = [], [], "x"
    for number, (name, one) in enumerate(tensors.items()):
        linear = one.codes.ndim == 2
        product = linear and layer == "MatMul" and not turn_node
        turn = (lambda array: array.T) if product else (lambda array: array)
        if one.floats is not None:
            constants.append(numpy_helper.from_array(turn(one.floats.numpy()).copy(), name))
            weight = name
        else:
            codes, options = turn(one.codes.numpy() + one.zero), {}
            if how == "tensor":
                scale = np.array(one.scale.flatten()[0].numpy())
            elif how == "channel":
                scale, options = one.scale.flatten(1)[:, 0].numpy(), {"axis": 1 if product else 0}
            else:
                scale = turn(one.block(1, how).numpy())
                options = {"axis": 0 if product else 1, "block_size": how}
            scale = scale.astype(dtype)
            given = [f"{name}_quantized", f"{name}_scale"]
            element = getattr(TensorProto, kind)
            constants.append(helper.make_tensor(given[0], element, codes.shape, codes.flatten().tolist()))
            constants.append(numpy_helper.from_array(scale.copy(), given[1]))
            if one.zero:
                given.append(f"{name}_zero_point")
                zeros = [one.zero] * scale.size
                constants.append(helper.make_tensor(given[2], element, scale.shape, zeros))
            weight = f"{name}_dequantized"
            if fake:
                constants[-3 if one.zero else -2] = numpy_helper.from_array(one.values.numpy(), name)
                nodes.append(
                    helper.make_node(
                        "QuantizeLinear", [name, *given[1:]], [given[0]], output_dtype=element, **options
                    )
                )
            nodes.append(helper.make_node("DequantizeLinear", given, [weight], **options))
        if turn_node:
            nodes.append(helper.make_node("Transpose", [weight], [f"{name}_turned"], perm=[1, 0]))
            weight = f"{name}_turned"
        options = {"transB": 1} if linear and layer == "Gemm" else {}
        nodes.append(helper.make_node(layer if linear else "Conv", [at, weight], [f"y{number}"], **options))
        at = f"y{number}"
    float_ = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", float_, ["batch", "n"])],
        [helper.make_tensor_value_info(at, float_, ["batch", "m"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    checker.check_model(model)
    save(model, path)


def gguf(path, tensors, kind="TQ2_0", arch="llama", **metadata):
    """Write GGUF: ternary types by the package's own quantiser, Q8_0 with the scales as they are."""
    fw.needs("gguf")
    import gguf as package

    writer = package.GGUFWriter(path, arch)
    for key, value in metadata.items():
        getattr(writer, f"add_{key}")(value)
    for name, one in tensors.items():
        if one.floats is not None:
            writer.add_tensor(name, one.floats.to(torch.float16).numpy())
            continue
        dtype = getattr(package.GGMLQuantizationType, kind)
        size, width = package.GGML_QUANT_SIZES[dtype]
        step = one.scale.reshape(-1, size)[:, :1].numpy().astype(np.float16)
        if kind == "Q8_0":
            codes = one.codes.numpy().astype(np.int8).reshape(-1, size)
            blocks = np.concatenate([step.view(np.uint8), codes.view(np.uint8)], axis=1)
        else:
            blocks = package.quants.quantize(one.codes.numpy().astype(np.float32), dtype)
            blocks = blocks.reshape(-1, width)
            blocks[:, -2:] = np.where(blocks[:, -2:].any(1, keepdims=True), step.view(np.uint8), 0)
        writer.add_tensor(name, blocks.reshape(len(one.codes), -1), raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def planted(tensors, name, fault, latent=None):
    """Return the tensors with one fault in one of them; the fault covers (codes, scales) of them."""
    one, rest = tensors[name], dict(tensors)
    if fault == "code":
        codes = one.codes.clone()
        flat = codes.flatten()
        at = int((flat == flat.max()).nonzero()[-1])
        flat[at] = flat[flat < flat.max()].max()
        rest[name] = replace(one, codes=flat.reshape(codes.shape))
        return rest, (1, 0)
    if fault == "scale":
        scale = torch.where(one.scale == one.scale[-1:, ..., -1:], 1.25 * one.scale, one.scale)
        rest[name] = replace(one, scale=scale)
        return rest, (0, int(((one.codes != 0) & (scale != one.scale)).sum()))
    if fault == "transposed":
        codes = one.codes.transpose(0, 1)
        rest[name] = replace(one, codes=codes.contiguous())
        return rest, None
    assert fault == "float"
    rest[name] = replace(one, floats=latent.detach().float().clone())
    return rest, None
