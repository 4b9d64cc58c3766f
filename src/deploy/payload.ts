import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, mkdir, mkdtemp, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import * as tar from 'tar';
import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import { canonical, type Digest, digestOf, digestOfFile } from '../core/fingerprint.ts';
import { inPackage, packageRoot } from '../core/package-root.ts';

/** Where packed payloads and binaries of other architectures are kept between projects. */
export const payloadCache = (): string => join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'edgeforge');
const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Digest of a big file that seldom changes, remembered by its size, time and inode, so that nothing is read twice. */
async function rememberedDigest(file: string, cache: string): Promise<Digest> {
  const { size, mtimeMs, ino } = await stat(file);
  const key = digestOf(canonical({ file, size, mtimeMs, ino }));
  const note = join(cache, 'digests', key.slice(0, 32));
  const known = await readFile(note, 'utf8').catch(() => '');
  if (/^[0-9a-f]{64}$/.test(known)) return known as Digest;
  const digest = await digestOfFile(file);
  await writeBeside(note, digest);
  return digest;
}

async function writeBeside(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const part = `${path}.${process.pid}.part`;
  await writeFile(part, text);
  await rename(part, path);
}

/** One file of a payload: where it lies here and what it is called there. */
export interface PackEntry {
  readonly from: string;
  readonly name: string;
}

/** A gzipped tar of the entries, equal bytes for equal input, packed once and then found by the input's digests. */
export async function packPayload(name: string, entries: readonly PackEntry[], cache = payloadCache()): Promise<{ local: string; digest: Digest }> {
  const inputs = await Promise.all(entries.map(async entry => ({ name: entry.name, digest: await rememberedDigest(entry.from, cache) })));
  const key = digestOf(canonical({ version: 1, inputs })).slice(0, 32);
  const local = join(cache, 'payload', `${name}-${key}.tar.gz`);
  const note = `${local}.sha256`;
  const known = await readFile(note, 'utf8').catch(() => '');
  if (/^[0-9a-f]{64}$/.test(known) && (await exists(local))) return { local, digest: known as Digest };
  await mkdir(dirname(local), { recursive: true });
  const stage = await mkdtemp(join(dirname(local), 'stage-'));
  try {
    for (const { from, name: to } of entries) await symlink(from, join(stage, to));
    const part = `${local}.${process.pid}.part`;
    await tar.create({ file: part, cwd: stage, follow: true, portable: true, noMtime: true, gzip: { level: 3 } }, entries.map(entry => entry.name).sort());
    const digest = await digestOfFile(part);
    await rename(part, local);
    await writeBeside(note, digest);
    return { local, digest };
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
}

const lockSchema = z.object({ packages: z.record(z.string(), z.object({ version: z.string().optional(), integrity: z.string().optional() }).loose()) });

/** Version and integrity of a package as the lock file pins them; undefined where it does not name it. */
export async function lockedPackage(name: string, root = packageRoot): Promise<{ version: string; integrity: string } | undefined> {
  // Installed as a dependency we have no lock file of our own; npm keeps what it installed in a hidden one.
  for (const file of [join(root, 'package-lock.json'), join(root, '..', '.package-lock.json')]) {
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    const found = lockSchema.safeParse(JSON.parse(text)).data?.packages[`node_modules/${name}`];
    if (found?.version && found.integrity) return { version: found.version, integrity: found.integrity };
  }
  return undefined;
}

/** Does the file have this sha512 integrity (`sha512-BASE64`)? */
export async function hasIntegrity(file: string, integrity: string): Promise<boolean> {
  const [algorithm, wanted] = integrity.split('-', 2);
  if (algorithm !== 'sha512') return false;
  const hash = createHash('sha512');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('base64') === wanted;
}

/** Lets npm itself bring the package: it knows the user's registry, proxy and certificates. Its scripts never run. */
async function npmPack(name: string, version: string, folder: string, registry: string | undefined, signal: AbortSignal | undefined): Promise<void> {
  const words = [
    'pack',
    `${name}@${version}`,
    '--pack-destination',
    folder,
    '--ignore-scripts',
    '--fetch-retries=0',
    '--loglevel=error',
    ...(registry === undefined ? [] : [`--registry=${registry}`]),
  ];
  const { execa } = await import('execa');
  await execa('npm', words, { timeout: 600_000, cwd: folder, ...(signal ? { cancelSignal: signal } : {}) });
}

/**
 * One file out of a pinned npm package: from node_modules where it is installed, else from the cache, else from the registry, checked against the lock file's sha512.
 * Offline and not cached: `payload-missing` with the command that brings it.
 */
export async function packageFile(
  name: string,
  path: string,
  { cache = payloadCache(), registry, signal }: { cache?: string; registry?: string; signal?: AbortSignal } = {},
): Promise<string> {
  for (const installed of [inPackage('node_modules', name, path), inPackage('..', name, path)]) if (await exists(installed)) return installed;
  const locked = await lockedPackage(name);
  const missing = (why: string, cause?: unknown): EdgeError =>
    new EdgeError('payload-missing', `${name} for the device's processor is neither installed nor cached: ${why}.`, {
      hint: locked ? `With a network, run: npm pack ${name}@${locked.version} --pack-destination ${join(cache, 'packages')}` : 'Install edgeforge anew with: npm ci',
      ...(cause === undefined ? {} : { cause }),
    });
  if (!locked) throw missing('the lock file does not name it');
  const folder = join(cache, 'packages');
  const unpacked = join(folder, `${name}-${locked.version}`);
  if (await exists(join(unpacked, path))) return join(unpacked, path);
  await mkdir(folder, { recursive: true });
  const archive = join(folder, `${name}-${locked.version}.tgz`);
  if (!(await exists(archive))) {
    const stage = await mkdtemp(join(folder, 'stage-'));
    try {
      await npmPack(name, locked.version, stage, registry, signal);
      await rename(join(stage, `${name}-${locked.version}.tgz`), archive);
    } catch (cause) {
      throw missing(`npm could not bring it (${/npm error [^\n]*/.exec(String((cause as { stderr?: string }).stderr))?.[0] ?? (cause as Error).message.split('\n')[0]})`, cause);
    } finally {
      await rm(stage, { recursive: true, force: true });
    }
  }
  if (!(await hasIntegrity(archive, locked.integrity))) {
    await rm(archive, { force: true });
    throw new EdgeError('transfer-corrupt', `${archive} is not the package that the lock file names (${locked.integrity.slice(0, 20)}…).`, {
      hint: 'It has been removed: run the same command again.',
    });
  }
  await extractOne(archive, path, unpacked);
  return join(unpacked, path);
}

/** Extracts exactly one plain file of an archive; names that leave the folder, links and devices never come out. */
async function extractOne(archive: string, path: string, to: string): Promise<void> {
  const stage = `${to}.${process.pid}.part`;
  await mkdir(stage, { recursive: true });
  try {
    await tar.extract({
      file: archive,
      cwd: stage,
      strip: 1,
      strict: true,
      preservePaths: false,
      filter: (name, entry) => name === `package/${path}` && 'type' in entry && entry.type === 'File',
    });
    if (!(await exists(join(stage, path)))) throw new EdgeError('payload-missing', `${archive} holds no ${path}.`, { hint: `Delete it and run again: rm ${archive}` });
    await rm(to, { recursive: true, force: true });
    await rename(stage, to);
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
}
