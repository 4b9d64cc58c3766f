import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/core/fingerprint.ts';
import type { Job } from '../../src/deploy/device.ts';
import { script } from '../../src/deploy/quote.ts';
import { localTransport } from '../../src/deploy/transports/local.ts';
import { faultProxy } from './fault-proxy.ts';
import { board, temporary } from './harness.ts';

const code = (wanted: string) => expect.objectContaining({ code: wanted });

describe('commands over ssh', () => {
  it('gives exit codes, both streams, input, environment and folder', async () => {
    await using device = await board();
    await using transport = await device.reach();
    const done = await transport.exec(script('cat; echo "$A"; pwd; echo bad >&2; exit 3'), { input: new TextEncoder().encode('in\n'), env: { A: "it's $HOME" }, cwd: 'work/a b' });
    expect(done.exitCode).toBe(3);
    expect(done.stdout).toBe(`in\nit's $HOME\n${device.home}/.edgeforge/work/a b\n`);
    expect(done.stderr).toBe('bad\n');
    expect((await transport.exec(script('kill -9 $$'))).exitCode).toBe(137);
    expect((await transport.exec(['no-such-program'])).exitCode).toBe(127);
  });

  it('runs twenty at once, never more than eight channels', async () => {
    await using device = await board();
    await using transport = await device.reach();
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) => transport.exec(script('mkdir -p busy; touch busy/$1; ls busy | wc -l; sleep 0.1; rm busy/$1', String(index)))),
    );
    const counts = results.map(each => Number(each.stdout));
    expect(results.every(each => each.exitCode === 0)).toBe(true);
    expect(Math.max(...counts)).toBeLessThanOrEqual(8);
    expect(Math.max(...counts)).toBeGreaterThan(1);
  });

  it('settles every operation when the connection dies, and connects again for the next', async () => {
    await using device = await board();
    await using transport = await device.reach();
    const started = performance.now();
    const pending = [transport.exec(['sleep', '30']), transport.exec(['cat']), transport.exec(['sleep', '30'])];
    const outcomes = Promise.allSettled(pending);
    await pause(150);
    device.server.drop();
    for (const outcome of await outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toEqual(code('connection-lost'));
    expect((await outcomes).filter(each => each.status === 'rejected').length).toBeGreaterThanOrEqual(2);
    expect(performance.now() - started).toBeLessThan(5000);
    expect((await transport.exec(['echo', 'back'])).stdout).toBe('back\n');
  });

  it('cancels and times out by ending the process there', async () => {
    await using device = await board();
    await using transport = await device.reach();
    const cancel = new AbortController();
    const slow = transport.exec(script('echo $$ > pid; exec sleep 60'), { signal: cancel.signal });
    setTimeout(() => cancel.abort(), 200);
    await expect(slow).rejects.toEqual(code('cancelled'));
    const pid = readFileSync(join(device.home, '.edgeforge/pid'), 'utf8').trim();
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    await expect(transport.exec(['sleep', '60'], { limitMs: 100 })).rejects.toEqual(code('timeout'));
  });

  it('survives 40 ms of delay each way', async () => {
    await using device = await board();
    await using proxy = await faultProxy(device.server.port, { delayMs: 40 });
    await using transport = await device.reach(proxy.port);
    expect((await transport.exec(['echo', 'far'])).stdout).toBe('far\n');
  });

  it('notices a link that says nothing any more', async () => {
    await using device = await board();
    await using proxy = await faultProxy(device.server.port, { stallAfter: 6000 });
    await using transport = await device.reach(proxy.port, { keepaliveMs: 200 });
    await expect(transport.exec(['cat'], { input: randomBytes(200_000) })).rejects.toEqual(code('connection-lost'));
  });
});

describe('host keys and logins', () => {
  it('refuses an unknown and a changed host key with the exact line to run', async () => {
    await using device = await board();
    const unknown = device.reach(undefined, { pinOf: () => undefined });
    await expect(unknown).rejects.toEqual(code('host-key-unknown'));
    await expect(unknown).rejects.toThrow(/SHA256:/);
    expect((await unknown.catch(error => error)).hint).toContain(`edgeforge device add bench edge@127.0.0.1:${device.server.port}`);
    const changed = device.reach(undefined, { pinOf: () => digestOf('another key') });
    await expect(changed).rejects.toEqual(code('host-key-changed'));
  });

  it('names the mend for a refused login, a closed port and a silent server', async () => {
    await using device = await board();
    await using other = await board();
    const refused = await device.reach(undefined, { plan: (await other.options()).plan }).catch(error => error);
    expect(refused).toEqual(code('login-refused'));
    expect(refused.hint).toContain(`ssh-copy-id -p ${device.server.port} edge@127.0.0.1`);
    await expect(device.reach(1)).rejects.toEqual(code('device-unreachable'));
    await using proxy = await faultProxy(device.server.port, { stallAfter: 1 });
    await expect(device.reach(proxy.port, { readyTimeoutMs: 300 })).rejects.toEqual(code('device-unreachable'));
  });

  it('goes through a jump host whose key is pinned too', async () => {
    await using device = await board();
    const base = await device.options();
    // The served device forwards nothing: the failure must name the hop, not hang.
    const address = { ...base.address, jumps: [base.address] };
    await expect(device.reach(undefined, { address })).rejects.toEqual(code('device-unreachable'));
  });
});

describe('push', () => {
  const bytes = 6 << 20;
  it('goes on after two cuts, verifies, and sends nothing the second time', async () => {
    await using device = await board();
    using folder = temporary();
    const file = join(folder.path, 'model.bin');
    const content = randomBytes(bytes);
    writeFileSync(file, content);
    await using proxy = await faultProxy(device.server.port, { cutAfter: n => [bytes * 0.3, bytes * 0.4][n] });
    await using transport = await device.reach(proxy.port);
    const seen: number[] = [];
    const { path, report } = await transport.push(file, digestOf(content), { onProgress: sent => seen.push(sent) });
    expect(proxy.connections()).toBe(3);
    expect(readFileSync(join(device.home, '.edgeforge', path)).equals(content)).toBe(true);
    expect(report.sent).toBeGreaterThanOrEqual(bytes);
    expect(report.sent).toBeLessThan(bytes * 1.9);
    expect(existsSync(join(device.home, '.edgeforge', `${path}.part`))).toBe(false);
    const before = transport.traffic().sent;
    const again = await transport.push(file, digestOf(content));
    expect(again.report.sent).toBe(0);
    expect(transport.traffic().sent - before).toBeLessThan(1500);
    const copy = join(folder.path, 'copy.bin');
    await transport.fetch(path, copy);
    expect(readFileSync(copy).equals(content)).toBe(true);
  });

  it('finds a damaged part, sends it anew, and refuses a file that is not what its digest says', async () => {
    await using device = await board();
    using folder = temporary();
    const file = join(folder.path, 'a.bin');
    writeFileSync(file, 'the true content');
    const digest = digestOf('the true content');
    await using transport = await device.reach();
    await transport.exec(script('mkdir -p store; printf "not this" > "store/$1.part"', digest));
    const { path } = await transport.push(file, digest);
    expect((await transport.exec(['cat', path])).stdout).toBe('the true content');
    await expect(transport.push(file, digestOf('another'))).rejects.toEqual(code('transfer-corrupt'));
    await expect(transport.push(join(folder.path, 'absent'), digest)).rejects.toEqual(code('file-missing'));
    await expect(transport.fetch('no/such', join(folder.path, 'x'))).rejects.toEqual(code('output-missing'));
    expect(existsSync(join(folder.path, 'x'))).toBe(false);
    writeFileSync(file, '');
    await transport.push(file, digestOf(''));
  });
});

describe.each(['ssh', 'local'] as const)('detached jobs over %s', kind => {
  const open = async () => {
    const device = await board();
    const transport = kind === 'ssh' ? await device.reach() : localTransport('here', { home: device.home });
    return {
      device,
      transport,
      async [Symbol.asyncDispose]() {
        await transport[Symbol.asyncDispose]();
        await device[Symbol.asyncDispose]();
      },
    };
  };
  const job = (text: string, more: Partial<Job> = {}): Job => ({ words: script(text), log: 'jobs/test.log', produces: [], detach: true, limitMs: 60_000, ...more });

  it('gives log and exit code, and starts anew once read', async () => {
    await using at = await open();
    const lines: string[] = [];
    const counting = job('echo "$A"; echo bad >&2; echo x >> count; exit 5', { env: { A: "a 'b'" } });
    const done = await at.transport.run(counting, { onLine: line => lines.push(line) });
    expect(done.exitCode).toBe(5);
    expect(done.stdout).toBe("a 'b'\nbad\n");
    expect(lines).toEqual(["a 'b'", 'bad']);
    await at.transport.run(counting);
    expect((await at.transport.exec(['cat', 'count'])).stdout).toBe('x\nx\n');
  });

  it('ends at its limit, and is cancelled with all it wrote', async () => {
    await using at = await open();
    const late = await at.transport.run(job('sleep 50', { limitMs: 1000 }));
    expect(late.exitCode).toBe(143);
    const cancel = new AbortController();
    const running = at.transport.run(job('echo half > engine; sleep 50', { produces: ['engine'] }), { signal: cancel.signal });
    setTimeout(() => cancel.abort(), 700);
    await expect(running).rejects.toEqual(code('cancelled'));
    expect(existsSync(join(at.device.home, '.edgeforge/engine'))).toBe(false);
  });
});

it('a detached job outlives its connection and is found again', async () => {
  await using device = await board();
  await using proxy = await faultProxy(device.server.port);
  const text = 'echo one >> runs; echo begin; sleep 1.5; echo end';
  const job: Job = { words: script(text), log: 'jobs/build.log', produces: [], detach: true, limitMs: 30_000 };
  await using transport = await device.reach(proxy.port);
  const running = transport.run(job);
  await pause(400);
  proxy.cut();
  expect((await running).stdout).toBe('begin\nend\n');
  // A second process that asks for the same job while it runs attaches instead of starting another.
  const first = transport.run(job);
  await pause(300);
  await using second = await device.reach();
  const both = await Promise.all([first, second.run(job)]).catch(error => error);
  if (Array.isArray(both)) for (const done of both) expect(done.stdout).toBe('begin\nend\n');
  expect((await second.exec(['wc', '-l', 'runs'])).stdout).toMatch(/^2 /);
});
