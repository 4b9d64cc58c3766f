import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { Transform, Writable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { EdgeError } from '../../core/errors.ts';
import type { Digest } from '../../core/fingerprint.ts';
import type { Command, ExecOptions, Finished, Job, PushReport, RemotePath, Transport } from '../device.ts';
import { commandText, remoteText, script } from '../quote.ts';
import { cancelledError, type Door, TextSink, timeoutError } from './_door.ts';
import { forgetScript, jobFolder, parsePoll, pollScript, startScript, stopScript } from './_jobs.ts';

/** How often an interrupted upload or poll is taken up again before giving up; the wait doubles from a quarter second. */
const attempts = 6;
const isLost = (error: unknown): boolean => error instanceof EdgeError && (error.code === 'connection-lost' || error.code === 'device-unreachable');
const checkSignal = (signal: AbortSignal | undefined, what: string): void => {
  if (signal?.aborted) throw cancelledError(what);
};

/** Runs `work` again after a lost connection: only for work that may be repeated. */
async function persist<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  for (let attempt = 1; ; attempt++)
    try {
      return await work();
    } catch (error) {
      if (!isLost(error) || attempt >= attempts || signal?.aborted) throw error;
      await pause(Math.min(4000, 125 * 2 ** attempt));
    }
}

class BytesSink extends Writable {
  readonly chunks: Buffer[] = [];
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.chunks.push(chunk);
    done();
  }
}

/** `what`: how messages name it where the words themselves say little. */
async function execute(door: Door, command: Command, { what = commandText(command), ...options }: ExecOptions & { readonly what?: string }): Promise<Finished> {
  const { onLine } = options;
  const stdout = new TextSink(onLine && (line => onLine(line, 'stdout')));
  const stderr = new TextSink(onLine && (line => onLine(line, 'stderr')));
  const exitCode = await door.shell(remoteText(command, options), { what, stdin: options.input, stdout, stderr, signal: options.signal, limitMs: options.limitMs });
  stdout.end();
  stderr.end();
  return { command, exitCode, stdout: stdout.text(), stderr: stderr.text() };
}

/** Does a program's own word say that the disk, or the user's part of it, is full? */
export const spaceGone = (said: string): boolean => /no space left|quota/i.test(said);
const roomHint = (name: string): string => `Make room there, for example with: edgeforge device clean ${name}`;
/** The device's disk is full, in the words of the program that met it. */
export const fullError = (name: string, said: string): EdgeError =>
  new EdgeError('device-full', `The disk of "${name}" is full: ${said.split('\n').find(spaceGone)?.trim()}.`, { hint: roomHint(name) });
const tooLittle = (name: string, need: number, free: number): EdgeError =>
  new EdgeError('device-full', `"${name}" has ${Math.floor(free / 1048576)} MiB free and needs ${Math.ceil(need / 1048576)} MiB more.`, { hint: roomHint(name) });

/** A detached job, followed to its end across lost connections. */
async function follow(name: string, door: Door, job: Job, { signal, onLine }: ExecOptions): Promise<Finished> {
  const folder = jobFolder(job);
  const what = commandText(job.words);
  const started = await persist(() => execute(door, startScript(job), { what, ...(signal ? { signal } : {}) }), signal);
  if (started.exitCode !== 0 && spaceGone(started.stderr)) throw fullError(name, started.stderr);
  if (started.exitCode !== 0)
    throw new EdgeError('command-failed', `"${name}" could not start a job: ${started.stderr.trim() || `exit code ${started.exitCode}`}.`, {
      hint: `Is there room and a right to write in ~/.edgeforge on the device? edgeforge doctor ${name}`,
    });
  const log = new TextSink(onLine && (line => onLine(line, 'stdout')));
  const until = Date.now() + job.limitMs + 60_000;
  const cancel = async (): Promise<never> => {
    await execute(door, stopScript(folder), { limitMs: 10_000 }).catch(() => {});
    const left = [...job.produces, ...(job.scraps ?? [])];
    if (left.length) await execute(door, ['rm', '-rf', '--', ...left], { limitMs: 10_000 }).catch(() => {});
    throw cancelledError(what);
  };
  for (let offset = 0, wait = 1; ; wait = Math.min(10, wait + 1)) {
    if (signal?.aborted) await cancel();
    const sink = new BytesSink();
    const errors = new TextSink();
    await persist(async () => {
      sink.chunks.length = 0;
      await door.shell(remoteText(pollScript(folder, offset, wait)), { what, stdout: sink, stderr: errors, signal, limitMs: 60_000 });
    }, signal).catch(error => (signal?.aborted ? cancel() : Promise.reject(error)));
    const { state, exitCode, log: more } = parsePoll(Buffer.concat(sink.chunks));
    offset += more.length;
    if (more.length) log.write(more);
    if (more.length >= 8 << 20) continue;
    if (state === 'over') {
      log.end();
      await persist(() => execute(door, forgetScript(folder), { what }), signal);
      return { command: job.words, exitCode: exitCode!, stdout: log.text(), stderr: '' };
    }
    if (state === 'gone' || state === 'rebooted')
      throw new EdgeError(
        'command-failed',
        `On "${name}" the job ended without a trace (${state === 'rebooted' ? 'the device has restarted' : 'the OOM killer took its shell, or someone ended it'}): ${what.slice(0, 120)}`,
        { hint: `Look at: edgeforge doctor ${name}; then run the same command again: what is finished is kept.` },
      );
    if (Date.now() > until) throw timeoutError(name, job.limitMs, what);
  }
}

async function attached(door: Door, job: Job, options: ExecOptions): Promise<Finished> {
  const text = 'mkdir -p "$(dirname "$1")"; log=$1; shift; "$@" > "$log" 2>&1; rc=$?; cat "$log"; exit $rc';
  const done = await execute(door, script(text, job.log, ...job.words), {
    ...options,
    limitMs: job.limitMs,
    ...(job.env ? { env: job.env } : {}),
    ...(job.cwd === undefined ? {} : { cwd: job.cwd }),
  });
  return { ...done, command: job.words };
}

/** Prints `have` where the digest lies in the store, else the size of its part once no one writes to it any more, then the free kilobytes. */
const askScript = `mkdir -p store; touch -c "store/$1"; if [ -f "store/$1" ]; then echo have; else s=-1; n=$(wc -c 2>/dev/null < "store/$1.part" || echo 0); while [ "$n" != 0 ] && [ "$s" != "$n" ]; do s=$n; sleep 0.1; n=$(wc -c < "store/$1.part"); done; echo "part $n"; fi; df -Pk . | awk 'NR==2 {print $4}'`;
/** Writes at its place, not at the end: what an earlier connection or another host still sends of the same digest lands on equal bytes. dd only moves the shared offset. */
const writeScript = '{ dd bs=1 seek="$2" count=0 conv=notrunc 2>/dev/null; exec cat; } 1<> "store/$1.part"';
/** Verifies, writes through to the disk, and only then gives the file its name. Prints the milliseconds of both. */
const sealScript = `t() { date +%s%N | cut -c1-13; }; a=$(t); h=$(sha256sum < "store/$1.part" | cut -d' ' -f1); b=$(t); [ "$h" = "$1" ] || { rm -f "store/$1.part"; echo "differs $h"; exit 9; }; sync "store/$1.part" 2>/dev/null || sync; c=$(t); mv "store/$1.part" "store/$1" && echo "sealed $((b-a)) $((c-b))"`;

type PushOptions = NonNullable<Parameters<Transport['push']>[2]>;

async function upload(
  name: string,
  door: Door,
  local: string,
  digest: Digest,
  bytes: number,
  { signal, onProgress }: PushOptions,
  spent: { sent: number; transferMs: number },
): Promise<'there' | 'sent'> {
  const what = `pushing ${basename(local)}`;
  const asked = await execute(door, script(askScript, digest), { what, ...(signal ? { signal } : {}) });
  const [first = '', free = ''] = asked.stdout.trim().split('\n');
  if (asked.exitCode !== 0 || first === '')
    throw new EdgeError('device-refused', `"${name}" cannot keep files in ~/.edgeforge: ${asked.stderr.trim() || `exit code ${asked.exitCode}`}.`, {
      hint: 'Is its home folder writable and its disk healthy?',
    });
  if (first === 'have') return 'there';
  const part = Number(/^part (\d+)$/.exec(first)?.[1] ?? 0);
  const offset = part <= bytes ? part : 0;
  if (part > bytes) await execute(door, ['rm', '-f', `store/${digest}.part`], {});
  const freeKiB = Number(free);
  if (Number.isFinite(freeKiB) && freeKiB * 1024 < bytes - offset) throw tooLittle(name, bytes - offset, freeKiB * 1024);
  if (offset >= bytes && bytes > 0) return 'sent';
  const start = performance.now();
  let sent = offset;
  // Counted on the way, not by a 'data' listener: that would set the file flowing before the channel is open.
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      sent += chunk.length;
      spent.sent += chunk.length;
      onProgress?.(sent, bytes);
      done(null, chunk);
    },
  });
  const file = createReadStream(local, { start: offset, highWaterMark: 1 << 18 });
  const stdin = file.once('error', error => count.destroy(error)).pipe(count);
  const stderr = new TextSink();
  try {
    const code = await door.shell(remoteText(script(writeScript, digest, String(offset))), { what, stdin, stdout: new TextSink(), stderr, signal });
    if (code !== 0)
      throw spaceGone(stderr.text())
        ? fullError(name, stderr.text())
        : new EdgeError('command-failed', `Writing to "${name}" failed: ${stderr.text().trim() || `exit code ${code}`}.`, { hint: `Look at: edgeforge doctor ${name}` });
  } finally {
    file.destroy();
    stdin.destroy();
    spent.transferMs += performance.now() - start;
  }
  return 'sent';
}

async function push(name: string, door: Door, local: string, digest: Digest, options: PushOptions): Promise<{ path: RemotePath; report: PushReport }> {
  if (!/^[0-9a-f]{64}$/.test(digest)) throw new EdgeError('internal', `${JSON.stringify(digest)} is no SHA-256 digest.`, { hint: 'Push files by the digest of their content.' });
  const path = `store/${digest}`;
  const bytes = (
    await stat(local).catch((cause: unknown) =>
      Promise.reject(new EdgeError('file-missing', `${local} cannot be read.`, { hint: 'Is the file still there?', cause, where: { file: local } })),
    )
  ).size;
  const spent = { sent: 0, transferMs: 0 };
  for (let round = 1; ; round++) {
    checkSignal(options.signal, `push ${local}`);
    const outcome = await persist(() => upload(name, door, local, digest, bytes, options, spent), options.signal);
    if (outcome === 'there') return { path, report: { digest, bytes, sent: spent.sent, hashMs: 0, transferMs: spent.transferMs, syncMs: 0 } };
    if (bytes === 0) await execute(door, ['touch', `${path}.part`], {});
    const sealed = await persist(
      () => execute(door, script(sealScript, digest), { what: `pushing ${basename(local)}`, ...(options.signal ? { signal: options.signal } : {}) }),
      options.signal,
    );
    const times = /^sealed (\d+) (\d+)$/m.exec(sealed.stdout);
    if (times) return { path, report: { digest, bytes, sent: spent.sent, hashMs: Number(times[1]), transferMs: spent.transferMs, syncMs: Number(times[2]) } };
    // The seal may have succeeded just before the connection went: then the next question finds it there.
    if (round >= 3)
      throw new EdgeError(
        'transfer-corrupt',
        `${local} arrived on "${name}" with another content (${/differs (\w{12})/.exec(sealed.stdout)?.[1] ?? sealed.stderr.trim()} instead of ${digest.slice(0, 12)}) ${round} times.`,
        { hint: 'Did the file change while it was sent? If not, check the device’s disk and memory.' },
      );
  }
}

async function fetchFile(name: string, door: Door, remote: RemotePath, local: string, signal: AbortSignal | undefined): Promise<void> {
  await mkdir(dirname(local), { recursive: true });
  const part = `${local}.part-${process.pid}`;
  try {
    await persist(async () => {
      const hash = createHash('sha256');
      const through = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          hash.update(chunk);
          done(null, chunk);
        },
      });
      const file = createWriteStream(part);
      const written = new Promise<void>((resolve, reject) => file.once('close', resolve).once('error', reject));
      through.pipe(file);
      const stderr = new TextSink();
      let code: number;
      try {
        code = await door.shell(remoteText(script('cat -- "$1" && sha256sum < "$1" >&2', remote)), { what: `fetching ${remote}`, stdout: through, stderr, signal });
      } finally {
        through.end();
        await written;
      }
      if (code !== 0) throw new EdgeError('output-missing', `${remote} cannot be read on "${name}": ${stderr.text().trim()}.`, { hint: 'Build it again with the same command.' });
      if (!stderr.text().includes(hash.digest('hex')))
        throw new EdgeError('transfer-corrupt', `${remote} changed while it was fetched from "${name}".`, { hint: 'Run the same command again.' });
    }, signal);
    await rename(part, local);
  } finally {
    await rm(part, { force: true });
  }
}

/** A Transport over any machine with a POSIX shell and coreutils: exec only, no SFTP, so errors keep their words. */
export function posixTransport(name: string, deviceId: Digest, door: Door): Transport {
  const pushing = new Map<Digest, Promise<{ path: RemotePath; report: PushReport }>>();
  return {
    name,
    deviceId,
    exec: (command, options = {}) => execute(door, command, options),
    run: (job, options = {}) => (job.detach ? follow(name, door, job, options) : attached(door, job, options)),
    push(local, digest, options = {}) {
      const running = pushing.get(digest);
      if (running) return running;
      const work = push(name, door, local, digest, options).finally(() => pushing.delete(digest));
      pushing.set(digest, work);
      return work;
    },
    fetch: (remote, local, options = {}) => fetchFile(name, door, remote, local, options.signal),
    traffic: () => door.traffic(),
    [Symbol.asyncDispose]: () => door.close(),
  };
}
