import { EdgeError } from '../core/errors.ts';
import type { Digest } from '../core/fingerprint.ts';
import type { Command, ExecOptions, Passport, Payload, PushReport, RemotePath, Transport } from './device.ts';
import { script } from './quote.ts';
import { fullError, spaceGone } from './transports/_posix.ts';

/**
 * What we keep on a device, all under ~/.edgeforge:
 * store/DIGEST (pushed files) · payload/DIGEST/ (unpacked runtimes) · engines/ (built there, never copied) · releases/ID/ (what an application runs: links and configs; `current` and `previous` beside it) · jobs/ (logs and exit codes) · deepstream/ (configs that ran) · lock/ (who works there now) · clocks/ (what a measuring session must give back).
 */
export const remoteFolders = ['store', 'payload', 'engines', 'releases', 'jobs', 'deepstream', 'lock'] as const;
const markOf = (digest: Digest): string => `payload/${digest}/.complete`;
export const payloadFolder = (digest: Digest): RemotePath => `payload/${digest}`;
type Options = { readonly signal?: AbortSignal; readonly onPush?: (name: string, sent: number, total: number) => void };

/** Brings what a runtime needs, unpacking archives once; returns where each lies and what was sent. One round trip where all is there. */
export async function ensurePayloads(
  transport: Transport,
  payloads: readonly Payload[],
  { signal, onPush }: Options = {},
): Promise<{ readonly paths: ReadonlyMap<string, RemotePath>; readonly reports: readonly PushReport[] }> {
  const pathOf = ({ digest, archive }: Payload): RemotePath => (archive ? payloadFolder(digest) : `store/${digest}`);
  const paths = new Map(payloads.map(payload => [payload.name, pathOf(payload)]));
  if (payloads.length === 0) return { paths, reports: [] };
  const marks = payloads.map(({ digest, archive }) => (archive ? markOf(digest) : `store/${digest}`));
  const asked = await transport.exec(script('for f in "$@"; do [ -e "$f" ] && echo 1 || echo 0; done', ...marks), signal ? { signal } : {});
  const there = asked.stdout.trim().split('\n');
  const reports: PushReport[] = [];
  for (const [index, payload] of payloads.entries()) {
    if (there[index] === '1') continue;
    const { path, report } = await transport.push(payload.local, payload.digest, {
      ...(signal ? { signal } : {}),
      ...(onPush ? { onProgress: (sent, total) => onPush(payload.name, sent, total) } : {}),
    });
    reports.push(report);
    if (payload.archive) await unpack(transport, payload, path, signal);
    else if (payload.executable) await must(transport, ['chmod', '+x', path]);
  }
  return { paths, reports };
}

/** Runs a command and returns what it printed. Throws `device-full` where it found no room, else `command-failed` with its own words. */
export async function must(transport: Transport, command: Command, options: ExecOptions = {}): Promise<string> {
  const done = await transport.exec(command, options);
  if (done.exitCode === 0) return done.stdout;
  const said = done.stderr.trim() || `exit code ${done.exitCode}`;
  if (spaceGone(said)) throw fullError(transport.name, said);
  throw new EdgeError('command-failed', `On "${transport.name}" ${command[0]} failed: ${said}`, { hint: `Look at: edgeforge doctor ${transport.name}` });
}

/** Unpacks beside and renames, so that a folder without its mark is rubbish; the archive itself is not kept. Archives are ours, packed here and verified by digest. */
async function unpack(transport: Transport, { digest }: Payload, archive: RemotePath, signal: AbortSignal | undefined): Promise<void> {
  const text = 'set -e; d=payload/$1; rm -rf "$d" "$d.new"; mkdir -p "$d.new"; tar -xzof "$2" -C "$d.new"; touch "$d.new/.complete"; mv "$d.new" "$d"; rm -f "$2"';
  await must(transport, script(text, digest, archive), signal ? { signal } : {});
}

/** Which engines still lie there with the digest of their passport: one round trip for all. */
export async function enginesPresent(transport: Transport, passports: readonly Pick<Passport, 'engine'>[]): Promise<readonly boolean[]> {
  if (passports.length === 0) return [];
  const text = 'for f in "$@"; do if [ -f "$f" ]; then sha256sum < "$f" | cut -c1-64; else echo -; fi; done';
  const found = (await must(transport, script(text, ...passports.map(({ engine }) => engine.path)))).trim().split('\n');
  return passports.map(({ engine }, index) => found[index] === engine.digest);
}

/** Bytes that edgeforge occupies on a device, per folder. */
export async function remoteUsage(transport: Transport): Promise<Readonly<Record<string, number>>> {
  // One du for all: a file that several of them link to counts once.
  const done = await must(
    transport,
    script('for d in "$@"; do [ -d "$d" ] && set -- "$@" "$d"; shift; done; [ $# = 0 ] || du -sk "$@" | awk \'{print $2, $1}\'', ...remoteFolders),
  );
  return Object.fromEntries(
    done
      .split('\n')
      .filter(Boolean)
      .map(line => [line.split(' ')[0]!, Number(line.split(' ')[1]) * 1024]),
  );
}

/** How many bytes of each file are still to be sent: none where its digest lies there, less where an upload was cut. One round trip, nothing is written. */
export async function bytesToSend(
  transport: Transport,
  files: readonly { readonly digest: Digest; readonly bytes: number; readonly archive: boolean }[],
): Promise<readonly number[]> {
  if (files.length === 0) return [];
  const text = 'while [ $# -gt 0 ]; do if [ -e "$1" ]; then echo all; else wc -c 2>/dev/null < "$2" || echo 0; fi; shift 2; done';
  const marks = files.flatMap(({ digest, archive }) => [archive ? markOf(digest) : `store/${digest}`, `store/${digest}.part`]);
  const there = (await must(transport, script(text, ...marks))).trim().split('\n');
  return files.map(({ bytes }, index) => (there[index] === 'all' ? 0 : Math.max(0, bytes - Number(there[index]))));
}
