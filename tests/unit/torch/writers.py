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


def saved(path, tensors):
    fw.needs("safetensors")
    from safetensors.torch import save_file

    save_file({name: one.contiguous() for name, one in tensors.items()}, path)
    return path


def safetensors_codes(path, tensors, dtype=torch.float32, zero=0):
    found = {}
    for name, one in tensors.items():
        if one.floats is not None:
            found[name] = one.floats
            continue
        found[name] = (one.codes + zero).to(torch.int8)
        rows = one.scale.flatten(1)
        few = rows[:, :1] if bool((rows == rows[:, :1]).all()) else rows[:, ::32]
        found[f"{name}_scale"] = few.to(dtype)
        if zero:
            found[f"{name}_zero_point"] = torch.tensor(zero)
    saved(path, found)


def safetensors_values(path, tensors, dtype=torch.float32):
    saved(path, {name: one.values.to(dtype) for name, one in tensors.items()})


def onnx(path, tensors, how="channel", kind="INT8", layer="Gemm", fake=False, turn_node=False, zero=0):
    """Write a chain of layers with DequantizeLinear: how is "tensor", "channel", or a size of blocks.

    With fake the file holds floats, and QuantizeLinear before; with turn_node a Transpose after.
    """
    fw.needs("onnx")
    from onnx import TensorProto, checker, helper, numpy_helper, save

    nodes, constants, at = [], [], "x"

    def add(kind, inputs, output, **options):
        nodes.append(helper.make_node(kind, inputs, [output], **options))
        return output

    for number, (name, one) in enumerate(tensors.items()):
        linear = one.codes.ndim == 2
        product = linear and layer == "MatMul" and not turn_node
        turn = (lambda array: array.T) if product else (lambda array: array)
        weight, element = name, getattr(TensorProto, kind)
        if one.floats is not None:
            constants.append(numpy_helper.from_array(turn(one.floats.numpy()).copy(), name))
        else:
            codes, options = turn(one.codes.numpy() + zero), {}
            if how == "tensor":
                scale = np.array(one.scale.flatten()[0].numpy())
            elif how == "channel":
                scale, options = one.scale.flatten(1)[:, 0].numpy(), {"axis": 1 if product else 0}
            else:
                scale = turn(one.block(1, how).numpy())
                options = {"axis": 0 if product else 1, "block_size": how}
            given = [f"{name}_quantized", f"{name}_scale"] + [f"{name}_zero_point"] * bool(zero)
            if fake:
                constants.append(numpy_helper.from_array(one.values.numpy(), name))
                add("QuantizeLinear", [name, *given[1:]], given[0], output_dtype=element, **options)
            else:
                constants.append(helper.make_tensor(given[0], element, codes.shape, codes.flatten().tolist()))
            constants.append(numpy_helper.from_array(scale.copy(), given[1]))
            if zero:
                constants.append(helper.make_tensor(given[2], element, scale.shape, [zero] * scale.size))
            weight = add("DequantizeLinear", given, f"{name}_dequantized", **options)
        if turn_node:
            weight = add("Transpose", [weight], f"{name}_turned", perm=[1, 0])
        options = {"transB": 1} if linear and layer == "Gemm" else {}
        at = add(layer if linear else "Conv", [at, weight], f"y{number}", **options)
    ends = [helper.make_tensor_value_info(one, TensorProto.FLOAT, ["batch", one]) for one in ("x", at)]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
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
    one, counts = tensors[name], None
    if fault == "code":
        codes = one.codes.clone().flatten()
        at = int((codes == codes.max()).nonzero()[-1])
        codes[at] = codes[codes < codes.max()].max()
        wrong, counts = replace(one, codes=codes.reshape(one.codes.shape)), (1, 0)
    elif fault == "scale":
        scale = torch.where(one.scale == one.scale[-1:, ..., -1:], 1.25 * one.scale, one.scale)
        wrong, counts = replace(one, scale=scale), (0, int(((one.codes != 0) & (scale != one.scale)).sum()))
    elif fault == "transposed":
        wrong = replace(one, codes=one.codes.transpose(0, 1).contiguous())
    else:
        wrong = replace(one, floats=latent.detach().float().clone())
    return {**tensors, name: wrong}, counts
