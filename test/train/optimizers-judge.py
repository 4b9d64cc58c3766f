"""Ten steps of a small dense network in float64 with torch.optim, for each job of a JSON list on standard input; their weights as JSON on standard output."""
import json
import sys

import torch
import torch.nn.functional as F


def judge(job):
    load = lambda entry: torch.tensor(entry['data'], dtype=torch.float64).reshape(entry['dims'])
    weights = {name: load(entry).requires_grad_(True) for name, entry in job['weights'].items()}
    decayed = [weights[name] for name in job['decayed']]
    others = [weight for name, weight in weights.items() if name not in job['decayed']]
    arguments = job['arguments']
    # Only kernels decay, as here.
    groups = [{'params': decayed}, {'params': others, 'weight_decay': 0.0}] if 'weight_decay' in arguments else list(weights.values())
    optimizer = getattr(torch.optim, job['class'])(groups, lr=job['learningRate'], **arguments)
    for batch in job['batches']:
        hidden = F.leaky_relu(F.linear(load(batch['x']), weights['first/kernel'], weights['first/bias']), 0.01)
        logits = F.linear(hidden, weights['head/kernel'], weights['head/bias'])
        loss = F.cross_entropy(logits, torch.tensor(batch['classes']), label_smoothing=job['smoothing'])
        loss = loss + job['l2'] * sum((weight ** 2).sum() for weight in decayed)
        optimizer.zero_grad()
        loss.backward()
        if 'clipNorm' in job:
            torch.nn.utils.clip_grad_norm_(list(weights.values()), job['clipNorm'])
        if 'clipValue' in job:
            torch.nn.utils.clip_grad_value_(list(weights.values()), job['clipValue'])
        optimizer.step()
    return {name: weight.detach().flatten().tolist() for name, weight in weights.items()}


json.dump([judge(job) for job in json.load(sys.stdin)], sys.stdout)
