import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, realpathSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Digest, digestOf } from '../../src/core/fingerprint.ts';
import type { Passport, Transport } from '../../src/deploy/device.ts';
import { withDeviceLock } from '../../src/deploy/lock.ts';
import type { Device } from '../../src/deploy/open-device.ts';
import { contentDigest, type ReleaseContent, releaseManifestSchema } from '../../src/deploy/release-manifest.ts';
import { damagedFiles, listReleases, switchRelease, writeRelease } from '../../src/deploy/remote-releases.ts';
import { remoteUsage } from '../../src/deploy/remote-store.ts';
import { activateRelease, makeRelease, releaseStale, removeOldReleases, rollBack } from '../../src/deploy/rollback.ts';
import { board } from './harness.ts';
import { connectedTo, hasOpenssh, openssh } from './openssh.ts';
import { replay } from './replay/board.ts';
import { replayed } from './replay/boards.ts';

type Bench = Pick<Device, 'transport'>;
const put = async (transport: Transport, path: string, text: string): Promise<Digest> => {
  await transport.exec(['sh', '-c', 'mkdir -p "$(dirname "$1")" && cat > "$1.part" && mv "$1.part" "$1"', 'sh', path], { input: Buffer.from(text) });
  return digestOf(text);
};
const passportOf = (path: string, digest: Digest, bytes: number, more: Partial<Passport> = {}): Passport => ({
  engine: { path, digest, bytes },
  precision: 'int8',
  batch: 1,
  inputs: {},
  modelDigest: digestOf('model'),
  runtime: 'tensorrt 10.3.0',
  deviceId: 'this',
  words: ['trtexec'],
  buildSeconds: 1,
  notes: [],
  ...more,
});
/** A release as a deploy would make it: an engine and a model that lie on the device, and a config. */
async function content(transport: Transport, version: string, more: Partial<ReleaseContent> = {}, passport: Partial<Passport> = {}): Promise<ReleaseContent> {
  const engine = await put(transport, `engines/int8-${version}`, `engine ${version}`);
  const model = digestOf(`model ${version}`);
  await put(transport, `store/${model}`, `model ${version}`);
  return {
    project: 'cars',
    device: 'bench',
    gate: 'pass',
    precision: 'int8',
    app: 'app.txt',
    engines: [{ file: 'net_int8.engine', passport: passportOf(`engines/int8-${version}`, engine, 8, passport) }],
    files: [
      { file: 'app.txt', text: `threshold=${version}\n` },
      { file: 'net.onnx', at: `store/${model}`, digest: model, bytes: 8 },
    ],
    ...more,
  };
}
async function deployed(device: Bench, version: string, keep?: number, more?: Partial<ReleaseContent>): Promise<string> {
  const { manifest } = await makeRelease(device, await content(device.transport, version, more));
  await activateRelease(device, manifest.id, keep === undefined ? {} : { keep });
  return manifest.id;
}
/** What an application would find: the manifest of the current release, every file of it whole. */
function wholeCurrent(home: string): string {
  const folder = join(home, '.edgeforge', 'current');
  const manifest = releaseManifestSchema.parse(JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')));
  execFileSync('sha256sum', ['-c', '--quiet', 'SHA256SUMS'], { cwd: folder });
  return manifest.id;
}
const here = (home: string, ...path: string[]) => join(home, '.edgeforge', ...path);

describe('releases', () => {
  let device: Bench & AsyncDisposable & { readonly home: string };
  beforeAll(async () => {
    const base = await board();
    const transport = await base.reach();
    device = { transport, home: base.home, [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose]().then(() => base[Symbol.asyncDispose]()) };
  });
  afterAll(() => device[Symbol.asyncDispose]());

  it('links engines and models, knows equal content again, and a new engine under the same name leaves the old release whole', async () => {
    const { transport, home } = device;
    const first = await deployed(device, '1');
    expect(wholeCurrent(home)).toBe(first);
    expect(readlinkSync(here(home, 'current'))).toBe(`releases/${first}`);
    expect(statSync(here(home, 'current/net_int8.engine')).ino).toBe(statSync(here(home, 'engines/int8-1')).ino);
    expect(statSync(here(home, 'current/net_int8.engine')).mode & 0o222).toBe(0);
    expect(await makeRelease(device, await content(transport, '1', { gate: 'unjudged' }))).toMatchObject({ made: false, manifest: { id: first } });
    await put(transport, 'engines/int8-1', 'rebuilt');
    expect(wholeCurrent(home)).toBe(first);
    // One file behind two names is counted once.
    const usage = await remoteUsage(transport);
    expect(Object.keys(usage)).toEqual(expect.arrayContaining(['store', 'engines', 'releases']));
  });

  it('keeps the newest, and always the current and the one before it', async () => {
    const ids = [];
    for (const version of ['2', '3', '4', '5']) ids.push(await deployed(device, version, 2));
    expect((await listReleases(device.transport)).releases.map(({ id }) => id).sort()).toEqual(ids.slice(-2).sort());
    const { manifest } = await makeRelease(device, await content(device.transport, '6'));
    const { manifest: last } = await makeRelease(device, await content(device.transport, '7'));
    expect(await removeOldReleases(device.transport, 0)).toEqual(expect.arrayContaining([manifest.id, last.id]));
    expect(await listReleases(device.transport)).toMatchObject({ current: ids[3], previous: ids[2], broken: [] });
  });

  it('what is hostile in names stays text', async () => {
    const { transport, home } = device;
    const project = `$(touch pwned) '"; rm -rf ~ \n\u001b[31m`;
    const id = await deployed(device, 'hostile', 3, { project, files: [{ file: 'labels.txt', text: '`touch pwned`\n../../etc\n' }] });
    expect((await listReleases(transport)).releases.find(release => release.id === id)?.project).toBe(project);
    expect(existsSync(here(home, 'pwned'))).toBe(false);
    for (const file of ['../x', 'a b', '-rf', 'a\nb', '.hidden'])
      await expect(makeRelease(device, await content(transport, 'x', { files: [{ file, text: '' }] }))).rejects.toMatchObject({ code: 'internal' });
    // A folder and links of somebody else's are neither releases nor followed.
    mkdirSync(here(home, 'releases', "it's $(x)"));
    const current = readlinkSync(here(home, 'current'));
    unlinkSync(here(home, 'current'));
    symlinkSync('/etc', here(home, 'current'));
    expect(await listReleases(transport)).toMatchObject({ broken: ["it's $(x)"] });
    expect((await listReleases(transport)).current).toBeUndefined();
    await switchRelease(transport, id);
    expect(readlinkSync(here(home, 'current'))).toBe(current);
    expect(existsSync('/etc/manifest.json')).toBe(false);
  });

  it('an engine that is gone or another is refused, and nothing is left', async () => {
    const { transport, home } = device;
    const before = readdirSync(here(home, 'releases')).sort();
    const wish = await content(transport, 'gone');
    unlinkSync(here(home, 'engines/int8-gone'));
    await expect(makeRelease(device, wish)).rejects.toMatchObject({ code: 'command-failed', message: expect.stringContaining('engines/int8-gone is not there') });
    await put(transport, 'engines/int8-gone', 'another');
    await expect(makeRelease(device, wish)).rejects.toMatchObject({ code: 'command-failed' });
    expect(readdirSync(here(home, 'releases')).sort()).toEqual(before);
  });

  it('two hosts at once: one works, the other is told who', async () => {
    const wish = await content(device.transport, 'two');
    await withDeviceLock(device.transport, 'building something', async () => {
      await expect(makeRelease(device, wish)).rejects.toMatchObject({ code: 'device-busy', message: expect.stringContaining('building something') });
    });
    const { manifest } = await makeRelease(device, wish);
    const { manifest: other } = await makeRelease(device, await content(device.transport, 'other'));
    const both = await Promise.allSettled([activateRelease(device, manifest.id), activateRelease(device, other.id)]);
    const won = both.flatMap((each, index) => (each.status === 'fulfilled' ? [[manifest.id, other.id][index]] : []));
    for (const each of both) if (each.status === 'rejected') expect(each.reason).toMatchObject({ code: 'device-busy' });
    expect(won).toContain(wholeCurrent(device.home));
  });
});

it('a kill at any moment of making and switching: the current release is always a whole one', { timeout: 240_000 }, async () => {
  const tools = ['tar', 'ln', 'mv', 'rm', 'sync', 'chmod', 'sha256sum', 'readlink', 'mkdir'];
  await using base = await board({ path: home => join(home, 'bin') });
  const { home } = base;
  mkdirSync(join(home, 'bin'));
  // The n-th step of what touches releases is the last thing that its shell, and all that shell's children, do.
  for (const tool of tools) {
    const real = execFileSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' }).trim();
    const text = `case "${tool} $*" in *releases*|*current*|*previous*|*SUMS*|sync*) if [ -f "$HOME/armed" ]; then echo x >> "$HOME/steps"; [ "$(wc -l < "$HOME/steps")" != "$(cat "$HOME/armed")" ] || kill -9 0; fi;; esac; exec ${real} "$@"`;
    writeFileSync(join(home, 'bin', tool), `#!/bin/sh\n${text}\n`);
    chmodSync(join(home, 'bin', tool), 0o755);
  }
  await using transport = await base.reach();
  const device = { transport };
  const arm = (step?: number) => {
    for (const name of ['armed', 'steps']) if (existsSync(join(home, name))) unlinkSync(join(home, name));
    if (step !== undefined) writeFileSync(join(home, 'armed'), String(step));
  };
  const first = await deployed(device, 'first');
  const wishes: ReleaseContent[] = [];
  let cut = 0;
  for (let step = 1; ; step++) {
    const wish = await content(transport, `kill-${step}`);
    wishes.push(wish);
    const before = wholeCurrent(home);
    arm(step);
    const outcome = await makeRelease(device, wish)
      .then(({ manifest }) => activateRelease(device, manifest.id))
      .catch((error: unknown) => error);
    const reached = readFileSync(join(home, 'steps'), 'utf8').trim().split('\n').length;
    arm();
    const now = wholeCurrent(home);
    const made = (await listReleases(transport)).releases.find(release => release.content === contentDigest(wish))?.id;
    expect([before, made]).toContain(now);
    // The same command again ends what was cut, and leaves nothing half-made.
    const { manifest } = await makeRelease(device, wish);
    await activateRelease(device, manifest.id);
    expect(wholeCurrent(home)).toBe(manifest.id);
    expect((await listReleases(transport)).broken).toEqual([]);
    if (reached < step) break;
    expect(outcome).toBeInstanceOf(Error);
    cut++;
  }
  console.info(`killed at each of ${cut} steps`);
  expect(cut).toBeGreaterThan(12);
  expect((await listReleases(transport)).releases.length).toBeLessThanOrEqual(4);
  expect(readdirSync(here(home)).filter(name => name.startsWith('.'))).toEqual([]);
  expect((await listReleases(transport)).releases.map(({ id }) => id)).not.toContain(first);
});

it('a full disk: nothing becomes current, nothing stays half-made', async ({ skip }) => {
  await using base = await board();
  const root = here(base.home);
  mkdirSync(root);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'edge-test', root], { stdio: 'ignore' });
  } catch {
    console.warn('SKIPPED: releasing on a full disk, because mounting a tmpfs is not allowed here.');
    return skip();
  }
  try {
    await using transport = await base.reach();
    const device = { transport };
    const first = await deployed(device, 'first');
    const wish = await content(transport, 'second', { files: [{ file: 'labels.txt', text: 'x'.repeat(200_000) }] });
    await transport.exec(['sh', '-c', 'head -c 2000000 /dev/zero > hog']);
    await expect(makeRelease(device, wish)).rejects.toMatchObject({ code: expect.stringMatching(/device-full|command-failed/), message: expect.stringMatching(/full|space/i) });
    await transport.exec(['rm', 'hog']);
    expect(wholeCurrent(base.home)).toBe(first);
    expect(readdirSync(join(root, 'releases'))).toEqual([first]);
    const { manifest } = await makeRelease(device, wish);
    await activateRelease(device, manifest.id);
    expect(wholeCurrent(base.home)).toBe(manifest.id);
  } finally {
    execFileSync('umount', ['-l', root]);
  }
});

describe('rollback', () => {
  it('goes back and forth, by place or by name, and refuses what cannot run', async () => {
    await using base = await replay(replayed.orinNano);
    await using device = await base.open();
    await expect(rollBack(device)).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('has no current release') });
    const passport = { runtime: device.runtime.version(device.facts), deviceId: device.facts.deviceId, sm: device.facts.sm as string };
    const make = async (version: string, more: Partial<Passport> = {}) => {
      const { manifest } = await makeRelease(device, await content(device.transport, version, {}, { ...passport, ...more }));
      await activateRelease(device, manifest.id);
      return manifest;
    };
    const old = await make('old', { runtime: 'tensorrt 8.5.2' });
    const [one, two] = [await make('one'), await make('two')];
    expect(await rollBack(device)).toMatchObject({ from: two.id, to: one.id });
    expect(await rollBack(device)).toMatchObject({ from: one.id, to: two.id });
    expect(await rollBack(device, one.id.slice(-12))).toMatchObject({ to: one.id });
    expect(await rollBack(device, one.id)).toMatchObject({ from: one.id, to: one.id });
    await expect(rollBack(device, '../../etc')).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining(one.id) });
    await expect(rollBack(device, '2026')).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('3 releases') });
    await expect(rollBack(device, old.id)).rejects.toMatchObject({
      code: 'device-refused',
      message: expect.stringMatching(/built for tensorrt 8.5.2, this is tensorrt 10.3.0/),
      hint: expect.stringContaining('deploy'),
    });
    expect(releaseStale(one, device)).toBeUndefined();
    chmodSync(base.remote('releases', two.id, 'app.txt'), 0o644);
    writeFileSync(base.remote('releases', two.id, 'app.txt'), 'edited');
    expect(await damagedFiles(device.transport, two.id)).toEqual(['app.txt']);
    await expect(rollBack(device, two.id)).rejects.toMatchObject({ code: 'output-missing', message: expect.stringContaining('app.txt') });
    expect(wholeCurrent(base.home)).toBe(one.id);
  });
});

it.skipIf(!hasOpenssh)('over real OpenSSH: made, switched, back', async () => {
  await using server = await openssh();
  await using transport = await connectedTo(server);
  const device = { transport };
  const [one, two] = [await deployed(device, 'one'), await deployed(device, 'two')];
  expect(await listReleases(transport)).toMatchObject({ current: two, previous: one, broken: [] });
  expect(await switchRelease(transport, one)).toBe(two);
  expect(wholeCurrent(server.home)).toBe(one);
  expect(lstatSync(here(server.home, 'current')).isSymbolicLink()).toBe(true);
  expect(realpathSync(here(server.home, 'current'))).toBe(realpathSync(here(server.home, 'releases', one)));
  await expect(writeRelease(transport, await content(transport, 'one'), (await listReleases(transport)).releases[0]!)).rejects.toThrow();
});
