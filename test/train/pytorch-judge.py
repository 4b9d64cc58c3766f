"""Trains a network in PyTorch, in float64 and in float32, exactly as the graph says: the judge of our gradients and loss curves.

Usage: python3 pytorch-judge.py FOLDER. FOLDER/job.json names nodes, weights (raw float32 files) and batches; losses and first gradients go beside it.
"""
import json
import sys

import numpy as np
import torch
import torch.nn.functional as F

folder = sys.argv[1]
job = json.load(open(folder + '/job.json'))
torch.set_num_threads(2)


def load(entry, dtype):
    data = np.fromfile(folder + '/' + entry['file'], dtype=np.float32)
    return torch.from_numpy(data.copy()).reshape(entry['dims']).to(dtype)


def padded(x, attributes, kernel, value=0.0):
    top, left, bottom, right = attributes.get('pads', [0, 0, 0, 0])
    return F.pad(x, (left, right, top, bottom), value=value) if any((top, left, bottom, right)) else x


def forward(values):
    for node in job['nodes']:
        a = node['attributes']
        i = [values.get(name) for name in node['inputs']]
        kind = node['type']
        if kind == 'Conv':
            y = F.conv2d(padded(i[0], a, None), i[1], i[2] if len(i) > 2 else None, a.get('strides', [1, 1]), 0, a.get('dilations', [1, 1]), a.get('group', 1))
        elif kind == 'BatchNormalization':
            y = F.batch_norm(i[0], None, None, i[1], i[2], training=True, eps=a['epsilon'])
        elif kind == 'Relu':
            y = F.relu(i[0])
        elif kind == 'Clip':
            y = torch.clamp(i[0], float(i[1]), float(i[2]))
        elif kind == 'Add':
            y = i[0] + i[1]
        elif kind == 'MaxPool':
            y = F.max_pool2d(padded(i[0], a, None, float('-inf')), a['kernel_shape'], a['strides'])
        elif kind == 'GlobalAveragePool':
            y = i[0].mean((2, 3), keepdim=True)
        elif kind == 'Flatten':
            y = torch.flatten(i[0], 1)
        elif kind == 'Gemm':
            y = F.linear(i[0], i[1], i[2])
        elif kind == 'Sigmoid':
            y = torch.sigmoid(i[0])
        elif kind == 'Softmax':
            values[node['outputs'][0] + '/logits'] = i[0]
            y = torch.softmax(i[0], -1)
        else:
            raise SystemExit('no ' + kind)
        values[node['outputs'][0]] = y
    return values


def loss_of(values, targets):
    if job['task'] == 'classification':
        return -(F.log_softmax(values['predictions/logits'], -1) * targets['target_class']).sum(1).mean()
    p, box = values['output_cov'], values['output_bbox']
    t, w = targets['target_coverage'], targets['target_coverage_weight']
    cov = (-(t * torch.log(p + 1e-5) + (1 - t) * torch.log(1 - p + 1e-5)) * w).mean((0, 2, 3))
    dist = ((box - targets['target_boxes']).abs() * targets['target_box_weight']).mean((0, 2, 3)).reshape(-1, 4).mean(1)
    total = 0.0
    for at, label in enumerate(job['labels']):
        total = total + cov[at] * targets['loss_weight:' + label + '/cov'] + dist[at] * targets['loss_weight:' + label + '/bbox']
    return total


def train(dtype, name):
    weights = {entry['name']: load(entry, dtype) for entry in job['weights']}
    for key in job['trainable']:
        weights[key].requires_grad_(True)
    slots = {key: [torch.zeros_like(weights[key]), torch.zeros_like(weights[key])] for key in job['trainable']}
    losses = []
    for step in range(job['steps']):
        batch = job['batches'][step % len(job['batches'])]
        given = {entry['name']: load(entry, dtype) for entry in batch}
        loss = loss_of(forward({**weights, **given}), given)
        gradients = torch.autograd.grad(loss, [weights[key] for key in job['trainable']])
        losses.append(loss.item())
        with torch.no_grad():
            for key, g in zip(job['trainable'], gradients):
                if step == 0:
                    g.double().numpy().tofile(folder + '/' + name + '.' + key.replace('/', '.') + '.bin')
                lr = job['learningRate']
                m, v = slots[key]
                if job['optimizer'] == 'sgd':
                    m.mul_(0.9).sub_(lr * g)
                    weights[key].add_(m)
                else:  # Adam as TensorFlow and TLT write it
                    t = step + 1
                    m.mul_(0.9).add_(0.1 * g)
                    v.mul_(0.999).add_(0.001 * g * g)
                    weights[key].sub_(lr * (1 - 0.999 ** t) ** 0.5 / (1 - 0.9 ** t) * m / (v.sqrt() + 1e-8))
    return losses


json.dump({'float64': train(torch.float64, 'float64'), 'float32': train(torch.float32, 'float32')}, open(folder + '/losses.json', 'w'))
