"""Training steps in PyTorch, one per line on the input, each answered by {"ms", "cpuMs", "loss"}; at the end {"peakMiB"}.

Usage: python3 train-torch.py FOLDER contiguous|channels_last. FOLDER/job.json names nodes, weights (raw float32 files) and one batch.
"""
import json
import os
import resource
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

folder, layout = sys.argv[1:3]
job = json.load(open(folder + '/job.json'))
torch.set_num_threads(job['threads'])
last = layout == 'channels_last'


def load(entry):
    data = np.fromfile(folder + '/' + entry['file'], dtype=np.float32)
    x = torch.from_numpy(data).reshape(entry['dims'])
    return x.contiguous(memory_format=torch.channels_last) if last and x.dim() == 4 else x


values = {entry['name']: load(entry) for entry in job['weights']}
given = {entry['name']: load(entry) for entry in job['batch']}
trainable = [values[name].requires_grad_(True) for name in job['trainable']]
rate = job['learningRate']
optimizer = torch.optim.Adam(trainable, lr=rate) if job['optimizer'] == 'adam' else torch.optim.SGD(trainable, lr=rate, momentum=0.9)


def padding(a):
    top, left, bottom, right = a.get('pads', [0, 0, 0, 0])
    assert (top, left) == (bottom, right), 'padding must be symmetric'
    return top, left


def forward(values):
    for node in job['nodes']:
        a = node['attributes']
        i = [values.get(name) for name in node['inputs']]
        kind = node['type']
        if kind == 'Conv':
            y = F.conv2d(i[0], i[1], i[2] if len(i) > 2 else None, a.get('strides', [1, 1]), padding(a), a.get('dilations', [1, 1]), a.get('group', 1))
        elif kind == 'BatchNormalization':
            y = F.batch_norm(i[0], i[3], i[4], i[1], i[2], training=True, momentum=1 - a['momentum'], eps=a['epsilon'])
        elif kind == 'Relu':
            y = F.relu(i[0], inplace=True)
        elif kind == 'Clip':
            y = F.relu6(i[0], inplace=True)
        elif kind == 'Add':
            y = i[0] + i[1]
        elif kind == 'MaxPool':
            y = F.max_pool2d(i[0], a['kernel_shape'], a['strides'], padding(a))
        elif kind == 'GlobalAveragePool':
            y = i[0].mean((2, 3), keepdim=True)
        elif kind == 'Flatten':
            y = torch.flatten(i[0], 1)
        elif kind == 'Gemm':
            y = F.linear(i[0], i[1], i[2])
        elif kind in ('Sigmoid', 'Softmax'):
            values['logits'] = i[0]
            y = torch.sigmoid(i[0]) if kind == 'Sigmoid' else i[0]
        else:
            raise SystemExit('no ' + kind)
        values[node['outputs'][0]] = y
    return values


def loss_of(values, targets):
    if job['task'] == 'classification':
        return -(F.log_softmax(values['logits'], -1) * targets['target_class']).sum(1).mean()
    t, w = targets['target_coverage'], targets['target_coverage_weight']
    cov = F.binary_cross_entropy_with_logits(values['logits'], t, w, reduction='none').mean((0, 2, 3))
    dist = ((values['output_bbox'] - targets['target_boxes']).abs() * targets['target_box_weight']).mean((0, 2, 3)).reshape(-1, 4).mean(1)
    return sum(cov[at] * targets['loss_weight:' + label + '/cov'] + dist[at] * targets['loss_weight:' + label + '/bbox'] for at, label in enumerate(job['labels']))


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(forward({**values, **given}), given)
    loss.backward()
    optimizer.step()
    return loss.item()


print(json.dumps({'version': torch.__version__}), flush=True)
for line in sys.stdin:
    if line.strip() != 'step':
        break
    wall, cpu = time.perf_counter(), time.process_time()
    loss = step()
    print(json.dumps({'ms': 1e3 * (time.perf_counter() - wall), 'cpuMs': 1e3 * (time.process_time() - cpu), 'loss': loss}), flush=True)
print(json.dumps({'peakMiB': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}), flush=True)
os._exit(0)
