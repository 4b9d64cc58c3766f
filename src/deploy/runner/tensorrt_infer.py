# Runs images through a TensorRT engine, one deserialization for all of them. No packages: JetPack's own `tensorrt` module and libcudart by ctypes; Python 3.6 to 3.13.
# argv: engine, input file (raw little-endian float32, [n, ...]), n, output folder. Writes outputs.json and one raw float32 file per output; says what it does in lines of JSON.
import ctypes
import glob
import json
import os
import struct
import sys


def say(**event):
    print(json.dumps(event), flush=True)


def load_cudart():
    names = ['libcudart.so'] + sorted(glob.glob('/usr/local/cuda*/lib64/libcudart.so*') + glob.glob('/usr/local/cuda*/targets/*/lib/libcudart.so*') + glob.glob('/usr/lib/*-linux-gnu/libcudart.so*'), reverse=True)
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            pass
    raise RuntimeError('libcudart.so was not found, neither in the loader path nor under /usr/local/cuda')


class Cuda(object):
    def __init__(self):
        self.lib = load_cudart()

    def check(self, code, what):
        if code != 0:
            raise RuntimeError('%s failed with CUDA error %d%s' % (what, code, ' (out of memory)' if code == 2 else ''))

    def malloc(self, size):
        pointer = ctypes.c_void_p()
        self.check(self.lib.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size)), 'cudaMalloc of %d bytes' % size)
        return pointer.value

    def free(self, pointer):
        self.lib.cudaFree(ctypes.c_void_p(pointer))

    def to_device(self, pointer, data):
        self.check(self.lib.cudaMemcpy(ctypes.c_void_p(pointer), ctypes.c_char_p(data), ctypes.c_size_t(len(data)), ctypes.c_int(1)), 'cudaMemcpy to the device')

    def to_host(self, pointer, size):
        data = ctypes.create_string_buffer(size)
        self.check(self.lib.cudaMemcpy(data, ctypes.c_void_p(pointer), ctypes.c_size_t(size), ctypes.c_int(2)), 'cudaMemcpy to the host')
        return data.raw

    def synchronize(self):
        self.check(self.lib.cudaDeviceSynchronize(), 'cudaDeviceSynchronize')


# By the name of TensorRT's type: bytes per value, and how struct reads it.
TYPES = {'FLOAT': (4, 'f'), 'HALF': (2, 'e'), 'INT32': (4, 'i'), 'INT64': (8, 'q'), 'INT8': (1, 'b'), 'UINT8': (1, 'B'), 'BOOL': (1, '?')}


def type_name(data_type):
    return str(data_type).split('.')[-1].upper()


def volume(shape):
    size = 1
    for dim in shape:
        size *= dim
    return size


class Tensor(object):
    def __init__(self, name, is_input, kind, shape):
        self.name, self.is_input, self.kind, self.shape = name, is_input, kind, shape
        if kind not in TYPES:
            raise RuntimeError('the tensor %s is of the type %s, which this runner does not read' % (name, kind))
        self.size = volume(shape) * TYPES[kind][0]


def named_tensors(trt, engine, context):
    # 8.5 and later: tensors by name. Bindings by index are gone from 10.0 on.
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    is_input = dict((name, engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT) for name in names)
    for name in names:
        shape = tuple(engine.get_tensor_shape(name))
        if is_input[name] and -1 in shape:
            context.set_input_shape(name, tuple(engine.get_tensor_profile_shape(name, 0)[1]))
    return [Tensor(name, is_input[name], type_name(engine.get_tensor_dtype(name)), tuple(context.get_tensor_shape(name))) for name in names]


def bound_tensors(engine, context):
    # 7.x to 8.4: bindings by index.
    for i in range(engine.num_bindings):
        if engine.binding_is_input(i) and -1 in tuple(engine.get_binding_shape(i)):
            context.set_binding_shape(i, tuple(engine.get_profile_shape(0, i)[1]))
    return [Tensor(engine.get_binding_name(i), engine.binding_is_input(i), type_name(engine.get_binding_dtype(i)), tuple(context.get_binding_shape(i))) for i in range(engine.num_bindings)]


def as_float32(data, kind):
    width, code = TYPES[kind]
    if code == 'f':
        return data
    values = struct.unpack('<%d%s' % (len(data) // width, code), data)
    return struct.pack('<%df' % len(values), *[float(value) for value in values])


def open_engine(path):
    import tensorrt as trt
    say(event='runtime', tensorrt=trt.__version__, emulated=bool(getattr(trt, 'EDGEFORGE_STAND_IN', False)))
    logger = trt.Logger(trt.Logger.WARNING)
    trt.init_libnvinfer_plugins(logger, '')
    runtime = trt.Runtime(logger)
    with open(path, 'rb') as file:
        engine = runtime.deserialize_cuda_engine(file.read())
    if engine is None:
        raise RuntimeError('TensorRT %s cannot load the engine: it was built by another version or for another GPU' % trt.__version__)
    # The runtime is returned too: it must outlive what it made.
    return trt, runtime, engine, engine.create_execution_context()


def main(engine_path, input_path, n, folder):
    trt, _runtime, engine, context = open_engine(engine_path)
    named = hasattr(engine, 'num_io_tensors')
    tensors = named_tensors(trt, engine, context) if named else bound_tensors(engine, context)
    inputs = [tensor for tensor in tensors if tensor.is_input]
    outputs = [tensor for tensor in tensors if not tensor.is_input]
    if len(inputs) != 1 or inputs[0].kind != 'FLOAT':
        raise RuntimeError('the engine has %d inputs of the types %s; this runner feeds one of FLOAT' % (len(inputs), ', '.join(tensor.kind for tensor in inputs)))
    source = inputs[0]
    batch = source.shape[0]
    image_bytes = source.size // batch
    if os.path.getsize(input_path) < n * image_bytes:
        raise RuntimeError('%s has %d bytes, %d images need %d' % (input_path, os.path.getsize(input_path), n, n * image_bytes))
    cuda = Cuda()
    memory = dict((tensor.name, cuda.malloc(max(tensor.size, 1))) for tensor in tensors)
    if not os.path.isdir(folder):
        os.makedirs(folder)
    files = [open(os.path.join(folder, '%d.bin' % i), 'wb') for i in range(len(outputs))]
    if named:
        for tensor in tensors:
            context.set_tensor_address(tensor.name, memory[tensor.name])
    with open(input_path, 'rb') as images:
        for first in range(0, n, batch):
            count = min(batch, n - first)
            data = images.read(count * image_bytes)
            # The last batch may be short: it is filled up, and what belongs to the filling is not written.
            cuda.to_device(memory[source.name], data + b'\0' * (source.size - len(data)))
            done = context.execute_async_v3(0) if named else context.execute_v2([memory[tensor.name] for tensor in tensors])
            if not done:
                raise RuntimeError('TensorRT did not run image %d' % first)
            cuda.synchronize()
            for tensor, file in zip(outputs, files):
                whole = as_float32(cuda.to_host(memory[tensor.name], tensor.size), tensor.kind)
                file.write(whole[: len(whole) * count // batch])
            say(event='progress', done=first + count, total=n, message='image %d of %d' % (first + count, n))
    for file in files:
        file.close()
    for pointer in memory.values():
        cuda.free(pointer)
    index = {'n': n, 'outputs': [{'name': tensor.name, 'file': '%d.bin' % i, 'type': 'float32', 'dims': [n] + list(tensor.shape[1:])} for i, tensor in enumerate(outputs)]}
    with open(os.path.join(folder, 'outputs.json'), 'w') as file:
        json.dump(index, file)
    say(event='inferred', n=n)


if __name__ == '__main__':
    try:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
    except Exception as error:  # what went wrong is for the host to read
        say(event='failed', message=str(error))
        sys.exit(1)
