# A stand-in for JetPack's `tensorrt` module, for the runner's tests only: the API by name of 8.5 and later, or by index as up to 8.4. Its numbers are emulated.
import base64
import json
import os
import subprocess
from enum import Enum

EDGEFORGE_STAND_IN = True
_settings = json.load(open(os.environ['STAND_IN_BOARD']))
__version__ = _settings['tensorrt']
_named = tuple(int(part) for part in __version__.split('.')[:2]) >= (8, 5)


class TensorIOMode(Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class DataType(Enum):
    FLOAT = 0
    HALF = 1


class Logger(object):
    WARNING = 2

    def __init__(self, level=2):
        self.level = level


def init_libnvinfer_plugins(logger, namespace):
    return True


class _Host(object):
    """The engine itself, run by onnxruntime in a process of its own: one JSON line in, one out."""

    def __init__(self, path):
        self.process = subprocess.Popen([os.environ['STAND_IN_NODE'], '--no-warnings', os.environ['STAND_IN_HOST'], path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.head = json.loads(self.process.stdout.readline().decode())

    def run(self, data):
        self.process.stdin.write((json.dumps({'input': base64.b64encode(data).decode()}) + '\n').encode())
        self.process.stdin.flush()
        return [base64.b64decode(text) for text in json.loads(self.process.stdout.readline().decode())['outputs']]


class Runtime(object):
    def __init__(self, logger):
        pass

    def deserialize_cuda_engine(self, data):
        head = json.loads(data[: data.index(b'\n')].decode())
        if head['tensorrt'] != __version__ or head['sm'] != _settings['sm']:
            return None
        path = os.path.join(os.environ.get('TMPDIR', '/tmp'), 'stand-in-engine-%d' % os.getpid())
        with open(path, 'wb') as file:
            file.write(data)
        host = _Host(path)
        os.remove(path)
        return _NamedEngine(host) if _named else _BoundEngine(host)


class _Engine(object):
    def __init__(self, host):
        self.host = host
        self.tensors = host.head['inputs'] + host.head['outputs']
        self.by_name = dict((tensor['name'], tensor) for tensor in self.tensors)


class _NamedEngine(_Engine):
    @property
    def num_io_tensors(self):
        return len(self.tensors)

    def get_tensor_name(self, i):
        return self.tensors[i]['name']

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if self.by_name[name] in self.host.head['inputs'] else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return DataType.FLOAT

    def get_tensor_shape(self, name):
        return [-1] + self.by_name[name]['dims'][1:]

    def get_tensor_profile_shape(self, name, profile):
        return [self.by_name[name]['dims']] * 3

    def create_execution_context(self):
        return _NamedContext(self)


class _BoundEngine(_Engine):
    @property
    def num_bindings(self):
        return len(self.tensors)

    def get_binding_name(self, i):
        return self.tensors[i]['name']

    def binding_is_input(self, i):
        return i < len(self.host.head['inputs'])

    def get_binding_dtype(self, i):
        return DataType.FLOAT

    def get_binding_shape(self, i):
        return [-1] + self.tensors[i]['dims'][1:]

    def get_profile_shape(self, profile, i):
        return [self.tensors[i]['dims']] * 3

    def create_execution_context(self):
        return _BoundContext(self)


class _Context(object):
    def __init__(self, engine):
        self.engine = engine
        self.shapes = dict((tensor['name'], tensor['dims']) for tensor in engine.host.head['outputs'])

    def _run(self, pointers):
        import ctypes
        source = self.engine.host.head['inputs'][0]
        size = 4
        for dim in source['dims']:
            size *= dim
        for tensor, data in zip(self.engine.host.head['outputs'], self.engine.host.run(ctypes.string_at(pointers[source['name']], size))):
            ctypes.memmove(pointers[tensor['name']], data, len(data))
        return True


class _NamedContext(_Context):
    addresses = None

    def set_input_shape(self, name, shape):
        self.shapes[name] = list(shape)

    def get_tensor_shape(self, name):
        return self.shapes[name]

    def set_tensor_address(self, name, pointer):
        self.addresses = dict(self.addresses or {}, **{name: pointer})

    def execute_async_v3(self, stream):
        return self._run(self.addresses)


class _BoundContext(_Context):
    def set_binding_shape(self, i, shape):
        self.shapes[self.engine.tensors[i]['name']] = list(shape)

    def get_binding_shape(self, i):
        return self.shapes[self.engine.tensors[i]['name']]

    def execute_v2(self, pointers):
        return self._run(dict((tensor['name'], pointer) for tensor, pointer in zip(self.engine.tensors, pointers)))
