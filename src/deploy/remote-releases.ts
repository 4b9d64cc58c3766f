import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tar from 'tar';
import { EdgeError } from '../core/errors.ts';
import type { RemotePath, Transport } from './device.ts';
import { script } from './quote.ts';
import { fileEntry, type ReleaseContent, type ReleaseManifest, releaseId, releaseManifestSchema } from './release-manifest.ts';
import { must } from './remote-store.ts';

/** The releases of a device, newest first, and which of them its application runs and ran before. */
export interface DeviceReleases {
  readonly current?: string;
  readonly previous?: string;
  readonly releases: readonly ReleaseManifest[];
  /** Folders that are no whole release. */
  readonly broken: readonly string[];
}

export const releaseFolder = (id: string): RemotePath => `releases/${id}`;

const listScript = `printf '%s\\n%s\\n' "$(readlink current)" "$(readlink previous)"; for d in releases/*/; do [ -d "$d" ] || continue; printf '\\036%s\\n' "$d"; cat "\${d}manifest.json" 2>/dev/null; done; true`;

/** Asks the device for its releases: one round trip, nothing is written. */
export async function listReleases(transport: Transport): Promise<DeviceReleases> {
  const [links = '', ...parts] = (await must(transport, script(listScript))).split('\u001e');
  const [current, previous] = links.split('\n').map(link => /^releases\/([^/]+)$/.exec(link)?.[1]);
  const releases: ReleaseManifest[] = [];
  const broken: string[] = [];
  for (const part of parts) {
    const end = part.indexOf('\n');
    const folder = part.slice(0, end).replace(/^releases\/|\/$/g, '');
    const manifest = parseManifest(part.slice(end + 1));
    if (manifest?.id === folder) releases.push(manifest);
    else broken.push(folder);
  }
  const known = (id: string | undefined) => (id !== undefined && releases.some(each => each.id === id) ? id : undefined);
  const [now, before] = [known(current), known(previous)];
  return {
    ...(now === undefined ? {} : { current: now }),
    ...(before === undefined ? {} : { previous: before }),
    releases: releases.sort((a, b) => (a.at < b.at ? 1 : -1)),
    broken,
  };
}

function parseManifest(text: string): ReleaseManifest | undefined {
  try {
    return releaseManifestSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/**
 * A release in the making has a name that nothing looks at, and gets its own only when every file of it is there with its digest and on the disk; the manifest is its last file.
 * Engines and models are linked, not copied; where the disk has no hard links, by name. They are made read-only, since nvinfer would write over an engine that it cannot load, and a link shares its bytes.
 */
const writeScript = `set -e; id=$1; shift; n=releases/.new-$id; mkdir -p releases; rm -rf releases/.new-* releases/.old-*; trap 'rm -rf "$n"' EXIT; mkdir "$n"; tar -xof - -C "$n"
while [ $# -gt 0 ]; do [ -f "$1" ] || { echo "$1 is not there" >&2; exit 44; }; ln "$1" "$n/$2" 2>/dev/null || ln -s "../../$1" "$n/$2"; shift 2; done
( cd "$n"; sha256sum -c SHA256SUMS >/dev/null ); chmod a-w "$n"/*; sync "$n"/* 2>/dev/null || sync
mv "$n/manifest.part" "$n/manifest.json"; sync "$n" 2>/dev/null || sync; mv -T "$n" "releases/$id"; trap - EXIT; sync releases 2>/dev/null || sync`;

/** Makes the release's folder on the device, whole or not at all. Only under the device's lock. */
export async function writeRelease(transport: Transport, content: ReleaseContent, manifest: ReleaseManifest, signal?: AbortSignal): Promise<void> {
  const linked = [
    ...content.engines.map(({ file, passport }) => ({ at: passport.engine.path, file, digest: passport.engine.digest })),
    ...content.files.flatMap(each => ('at' in each ? [each] : [])),
  ];
  const sums = [...content.files.map(fileEntry), ...content.engines.map(({ file, passport }) => ({ file, digest: passport.engine.digest }))];
  const texts = [
    ...content.files.flatMap(each => ('text' in each ? [each] : [])),
    { file: 'SHA256SUMS', text: sums.map(({ file, digest }) => `${digest}  ${file}\n`).join('') },
    { file: 'manifest.part', text: `${JSON.stringify(manifest, null, 1)}\n` },
  ];
  const input = await packed(texts);
  await must(transport, script(writeScript, manifest.id, ...linked.flatMap(({ at, file }) => [at, file])), { input, ...(signal ? { signal } : {}) });
}

/** Small files as one tar, for a program that reads it from its input. */
async function packed(texts: readonly { readonly file: string; readonly text: string }[]): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'edgeforge-release-'));
  try {
    for (const { file, text } of texts) await writeFile(join(folder, file), text, { mode: 0o644 });
    const pieces: Buffer[] = [];
    for await (const piece of tar.create(
      { cwd: folder, portable: true, noMtime: true },
      texts.map(({ file }) => file),
    ) as AsyncIterable<Buffer>)
      pieces.push(piece);
    return Buffer.concat(pieces);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** `previous` first, then `current`, each by one rename: whenever this is cut, `current` names a whole release. Prints what was current. */
const switchScript = `set -e; rm -f .current-* .previous-*; [ -f "releases/$1/manifest.json" ] || { echo "releases/$1 is no whole release" >&2; exit 44; }; old=$(readlink current || true); printf '%s\\n' "$old"
[ "$old" != "releases/$1" ] || exit 0; if [ -n "$old" ]; then ln -s "$old" ".previous-$$"; mv -T ".previous-$$" previous; fi
ln -s "releases/$1" ".current-$$"; sync . 2>/dev/null || sync; mv -T ".current-$$" current; sync . 2>/dev/null || sync`;

/** Points `current` at the release; returns the one it pointed at before, where there was one. Only under the device's lock. */
export async function switchRelease(transport: Transport, id: string): Promise<string | undefined> {
  return /^releases\/([^/\n]+)\n/.exec(await must(transport, script(switchScript, id)))?.[1];
}

/** Which of a release's files are not what its manifest says, as sha256sum tells; empty where all are whole. Nothing is written. */
export async function damagedFiles(transport: Transport, id: string): Promise<readonly string[]> {
  const { exitCode, stdout } = await transport.exec(script('cd "releases/$1" && sha256sum -c SHA256SUMS 2>/dev/null', id));
  if (exitCode === 0) return [];
  const failed = [...stdout.matchAll(/^(.+): FAILED/gm)].map(match => match[1] as string);
  return failed.length > 0 ? failed : ['SHA256SUMS'];
}

/** The text of a file of a release; undefined where it has none of that name. */
export async function releaseText(transport: Transport, id: string, file: string): Promise<string | undefined> {
  const { exitCode, stdout } = await transport.exec(['cat', `releases/${id}/${file}`]);
  return exitCode === 0 ? stdout : undefined;
}

/** Removed under another name first, so that a cut leaves no half release; the device itself looks again what is current. */
const removeScript = `rm -rf releases/.old-*; for id in "$@"; do case "$(readlink current) $(readlink previous)" in *"releases/$id"*) continue;; esac; mv -T "releases/$id" "releases/.old-$id" && rm -rf "releases/.old-$id" && echo "$id"; done; true`;

/** Removes all but the newest `keep` releases, never the current or the previous one; returns the ids of what went. Only under the device's lock. */
export async function pruneReleases(transport: Transport, keep: number): Promise<readonly string[]> {
  const { current, previous, releases } = await listReleases(transport);
  const old = releases.slice(keep).filter(({ id }) => id !== current && id !== previous);
  if (old.length === 0) return [];
  const gone = await must(transport, script(removeScript, ...old.map(({ id }) => id)));
  return gone.split('\n').filter(line => releaseId.test(line));
}

/** The release that a person names by its id or by an unambiguous part of it. Throws `usage` with what there is. */
export function releaseNamed({ releases }: DeviceReleases, wish: string, device: string): ReleaseManifest {
  const found = releases.filter(({ id }) => id === wish || (wish.length >= 4 && (id.startsWith(wish) || id.endsWith(wish))));
  const [only] = found;
  if (only && found.length === 1) return only;
  const what = found.length > 1 ? `${found.length} releases of "${device}" match` : `"${device}" has no release`;
  throw new EdgeError('usage', `${what} ${JSON.stringify(wish)}; there ${releases.length === 1 ? 'is' : 'are'} ${releases.map(({ id }) => id).join(', ') || 'none'}.`, {
    hint: `See them with: edgeforge rollback ${device} --list`,
  });
}
