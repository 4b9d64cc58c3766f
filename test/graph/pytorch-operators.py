"""PyTorch as the judge of single operators: reads cases (JSON), writes outputs and gradients of sum(output * weights) in float64, or null where it knows no such operator."""
import json
import sys

import numpy as np
import torch
import torch.nn.functional as F


def window(a, x, kernel):
    """Strides, dilations and pads ([begins, ends]) of a sliding window, auto_pad resolved."""
    rank = len(kernel)
    strides, dilations = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
    pads = a.get("pads", [0] * 2 * rank)
    auto = a.get("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        total = [max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n) for n, s, k, d in zip(x.shape[2:], strides, kernel, dilations)]
        small = [t // 2 for t in total]
        large = [t - s for t, s in zip(total, small)]
        pads = small + large if auto == "SAME_UPPER" else large + small
    return strides, dilations, pads


def padded(x, pads, value=0.0):
    rank = len(pads) // 2
    flat = [side for axis in reversed(range(rank)) for side in (pads[axis], pads[axis + rank])]
    return F.pad(x, flat, value=value)


def conv(a, x, w, b=None):
    strides, dilations, pads = window(a, x, w.shape[2:])
    f = [F.conv1d, F.conv2d, F.conv3d][w.dim() - 3]
    return f(padded(x, pads), w, b, strides, 0, dilations, a.get("group", 1))


def conv_transpose(a, x, w, b=None):
    rank = w.dim() - 2
    if "output_shape" in a or a.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    pads = a.get("pads", [0] * 2 * rank) if "auto_pad" not in a else [0] * 2 * rank
    f = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d][rank - 1]
    y = f(x, w, None, a.get("strides", [1] * rank), 0, 0, a.get("group", 1), a.get("dilations", [1] * rank))
    y = padded(y, [-p for p in pads[:rank]] + [extra - p for p, extra in zip(pads[rank:], a.get("output_padding", [0] * rank))])
    return y if b is None else y + b.reshape([1, -1] + [1] * rank)


def ceiled(a, x, kernel, strides, dilations, pads):
    """End pads by which a window with ceil_mode reaches further."""
    rank = len(kernel)
    if not a.get("ceil_mode"):
        return pads
    more = []
    for axis in range(rank):
        span = x.shape[2 + axis] + pads[axis] + pads[axis + rank] - (kernel[axis] - 1) * dilations[axis] - 1
        count = -(-span // strides[axis]) + 1
        if (count - 1) * strides[axis] >= x.shape[2 + axis] + pads[axis]:
            count -= 1
        more.append(max(0, (count - 1) * strides[axis] - span))
    return pads[:rank] + [p + m for p, m in zip(pads[rank:], more)]


def max_pool(a, x):
    kernel = a["kernel_shape"]
    strides, dilations, pads = window(a, x, kernel)
    f = [F.max_pool1d, F.max_pool2d, F.max_pool3d][len(kernel) - 1]
    return f(padded(x, ceiled(a, x, kernel, strides, dilations, pads), -np.inf), kernel, strides, 0, dilations)


def average_pool(a, x):
    kernel = a["kernel_shape"]
    strides, dilations, pads = window(a, x, kernel)
    reach = ceiled(a, x, kernel, strides, dilations, pads)
    f = [F.avg_pool1d, F.avg_pool2d, F.avg_pool3d][len(kernel) - 1]
    ones = torch.ones_like(x)
    ones = padded(padded(ones, pads, 1.0), [r - p for r, p in zip(reach, pads)]) if a.get("count_include_pad") else padded(ones, reach)
    return f(padded(x, reach), kernel, strides) / f(ones, kernel, strides)


def batch_norm(a, x, scale, shift, mean, variance):
    training = a.get("training_mode", 0) == 1
    return F.batch_norm(x, mean.detach().clone(), variance.detach().clone(), scale, shift, training, 0.1, a["epsilon"])


def resize(a, x, _=None, scales=None, sizes=None):
    mode, coordinates = a["mode"], a["coordinate_transformation_mode"]
    if sizes is None:
        return None
    size = [int(s) for s in sizes[2:]]
    if mode == "linear" and coordinates == "half_pixel":
        return F.interpolate(x, size, mode="bilinear", align_corners=False)
    if mode == "linear" and coordinates == "align_corners":
        return F.interpolate(x, size, mode="bilinear", align_corners=True)
    if mode == "nearest" and coordinates == "asymmetric" and a.get("nearest_mode") == "floor":
        return F.interpolate(x, size, mode="nearest")
    return None


def upsample(a, x, scales):
    if a["mode"] != "nearest":
        return None
    size = [int(n * s) for n, s in zip(x.shape[2:], scales[2:].tolist())]
    return F.interpolate(x, size, mode="nearest") if all(float(s).is_integer() for s in scales) else None


def slices(_, x, starts, ends, axes, steps):
    for start, end, axis, step in zip(*(v.tolist() for v in (starts, ends, axes, steps))):
        x = x.index_select(axis, torch.tensor(range(x.shape[axis])[slice(start, end, step)], dtype=torch.long))
    return x


def pad(a, x, pads, value=None):
    mode = a["mode"]
    rank = x.dim()
    sides = pads.tolist()
    if mode == "constant":
        return F.pad(x, [p for axis in reversed(range(rank)) for p in (sides[axis], sides[axis + rank])], value=float(value))
    for axis in range(rank):
        places = np.pad(np.arange(x.shape[axis]), (sides[axis], sides[axis + rank]), mode)
        x = x.index_select(axis, torch.from_numpy(places))
    return x


def front(index, size):
    return torch.where(index < 0, index + size, index)


def gather(a, x, index):
    axis = a["axis"]
    flat = x.index_select(axis, front(index, x.shape[axis]).reshape(-1))
    return flat.reshape(x.shape[:axis] + index.shape + x.shape[axis + 1 :])


def scatter(a, x, index, updates):
    at = front(index, x.shape[a["axis"]])
    return x.scatter_add(a["axis"], at, updates) if a.get("reduction") == "add" else x.scatter(a["axis"], at, updates)


def reduction(f):
    def apply(a, x, axes=None):
        dims = [d % x.dim() for d in (axes.tolist() if axes is not None else a["axes"])]
        return f(x, sorted(dims), a["keepdims"] == 1)

    return apply


def product(x, dims, keep):
    for d in reversed(dims):
        x = x.prod(d, keep)
    return x


def softmax(f):
    return lambda a, x: f(x, a["axis"])


def gemm(a, x, w, c=None):
    y = a["alpha"] * ((x.T if a["transA"] else x) @ (w.T if a["transB"] else w))
    return y if c is None else y + a["beta"] * c


def flatten(a, x):
    axis = a["axis"] + (x.dim() if a["axis"] < 0 else 0)
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


def reshape(_, x, target):
    return x.reshape([x.shape[k] if n == 0 else n for k, n in enumerate(target.tolist())])


def unsqueeze(_, x, axes):
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes.tolist()):
        x = x.unsqueeze(axis)
    return x


def stacked(f):
    return lambda _, *xs: f(torch.stack(torch.broadcast_tensors(*xs)))


def local_response(a, x):
    return F.local_response_norm(x, a["size"], a["alpha"], a.get("beta", 0.75), a.get("bias", 1.0)) if a["size"] % 2 else None


def plain(f):
    return lambda _, *xs: f(*xs)


table = {
    "Conv": conv, "ConvTranspose": conv_transpose, "MaxPool": max_pool, "AveragePool": average_pool, "BatchNormalization": batch_norm, "LRN": local_response,
    "GlobalAveragePool": lambda _, x: x.mean(list(range(2, x.dim())), True),
    "GlobalMaxPool": lambda _, x: x.flatten(2).max(2)[0].reshape(list(x.shape[:2]) + [1] * (x.dim() - 2)),
    "InstanceNormalization": lambda a, x, s, b: F.instance_norm(x, None, None, s, b, True, 0.1, a["epsilon"]),
    "BatchNormTrain": lambda a, x, s, b: F.batch_norm(x, None, None, s, b, True, 0.1, a["epsilon"]),
    "Relu": plain(torch.relu), "LeakyRelu": lambda a, x: F.leaky_relu(x, a["alpha"]), "Elu": plain(F.elu), "Sigmoid": plain(torch.sigmoid),
    "HardSigmoid": lambda _, x: (0.2 * x + 0.5).clamp(0, 1), "HardSwish": plain(F.hardswish), "Mish": plain(F.mish), "Swish": lambda a, x: x * torch.sigmoid(a["alpha"] * x),
    "Softplus": plain(F.softplus), "Softsign": plain(F.softsign), "Tanh": plain(torch.tanh), "Exp": plain(torch.exp), "Log": plain(torch.log), "Sqrt": plain(torch.sqrt),
    "Reciprocal": plain(torch.reciprocal), "Neg": plain(torch.neg), "Abs": plain(torch.abs), "Erf": plain(torch.erf), "Sin": plain(torch.sin), "Cos": plain(torch.cos),
    "Clip": plain(torch.clamp), "PRelu": lambda _, x, s: torch.where(x < 0, s * x, x), "Softmax": softmax(F.softmax), "LogSoftmax": softmax(F.log_softmax),
    "Add": plain(torch.add), "Sub": plain(torch.sub), "Mul": plain(torch.mul), "Div": plain(torch.div), "Pow": plain(torch.pow),
    "Max": stacked(lambda x: x.amax(0)), "Min": stacked(lambda x: x.amin(0)), "Sum": stacked(lambda x: x.sum(0)), "Mean": stacked(lambda x: x.mean(0)),
    "Where": plain(torch.where), "Gemm": gemm, "MatMul": plain(torch.matmul), "Reshape": reshape, "Flatten": flatten, "Squeeze": lambda _, x, axes: x.squeeze(int(axes[0])),
    "Unsqueeze": unsqueeze, "Identity": plain(torch.clone), "Dropout": plain(torch.clone), "Cast": plain(torch.clone), "Transpose": lambda a, x: x.permute(a["perm"]),
    "Expand": lambda _, x, dims: x.expand(torch.broadcast_shapes(x.shape, tuple(dims.tolist()))), "Tile": lambda _, x, n: x.repeat(n.tolist()),
    "Concat": lambda a, *xs: torch.cat(xs, a["axis"]), "Split": lambda a, x, sizes: x.split(sizes.tolist(), a["axis"]), "Slice": slices, "Pad": pad,
    "Gather": gather, "GatherElements": lambda a, x, i: x.gather(a["axis"], front(i, x.shape[a["axis"]])), "ScatterElements": scatter,
    "GridSample": lambda a, x, g: F.grid_sample(x, g, a["mode"], a["padding_mode"], a["align_corners"] == 1), "Resize": resize, "Upsample": upsample,
    "ReduceSum": reduction(lambda x, d, k: x.sum(d, k)), "ReduceMean": reduction(lambda x, d, k: x.mean(d, k)), "ReduceMax": reduction(torch.amax), "ReduceMin": reduction(torch.amin),
    "ReduceProd": reduction(product), "ReduceL1": reduction(lambda x, d, k: x.abs().sum(d, k)), "ReduceL2": reduction(lambda x, d, k: x.square().sum(d, k).sqrt()),
    "ReduceSumSquare": reduction(lambda x, d, k: x.square().sum(d, k)), "ReduceLogSum": reduction(lambda x, d, k: x.sum(d, k).log()),
}

kinds = {"float32": torch.float64, "int64": torch.long, "bool": torch.bool}


def tensor(o):
    if o is None:
        return None
    return torch.tensor(o["data"], dtype=kinds[o["dataType"]]).reshape(o["dims"]).requires_grad_(o["smooth"])


def judge(case):
    f = table.get(case["type"])
    inputs = [tensor(o) for o in case["inputs"]]
    outputs = f and f(case["attributes"], *inputs)
    if outputs is None:
        return None
    outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
    loss = sum((y * torch.tensor(w, dtype=torch.float64).reshape(y.shape)).sum() for y, w in zip(outputs, case["weights"]))
    smooth = [x for x in inputs if x is not None and x.requires_grad]
    gradients = torch.autograd.grad(loss, smooth, allow_unused=True)
    flat = lambda x: x.detach().flatten().tolist()
    return {"outputs": [flat(y) for y in outputs], "gradients": [flat(torch.zeros_like(x) if g is None else g) for g, x in zip(gradients, smooth)]}


torch.set_num_threads(1)
with open(sys.argv[1]) as source, open(sys.argv[2], "w") as target:
    json.dump([judge(case) for case in json.load(source)], target)
