import { EdgeError } from '../core/errors.ts';
import { canonical, digestOf } from '../core/fingerprint.ts';
import { type DeepstreamLog, parseDeepstreamLog } from '../formats/deepstream-log.ts';
import type { Finished, Job, RemotePath } from './device.ts';
import { withDeviceLock } from './lock.ts';
import type { Device } from './open-device.ts';
import { script } from './quote.ts';
import type { WorkOptions } from './work.ts';

/** Files of one app, by name, beside each other in a folder of the device; deepstream-app reads `app`. */
export interface AppFiles {
  readonly files: Readonly<Record<string, string>>;
  readonly app: string;
  /** How long it runs from its first frames on, which may take `startSeconds` to come. */
  readonly seconds: number;
  readonly startSeconds?: number;
  readonly display?: boolean;
}
export interface AppRun {
  readonly log: DeepstreamLog;
  readonly finished: Finished;
  readonly folder: RemotePath;
}

const appText = 'mkdir -p -- "$1" && cat > "$1/$2"';

/** Puts the files into a folder named by their content, relative to the device's edgeforge home: equal apps are one folder, which is two levels deep. */
export async function putApp({ transport }: Pick<Device, 'transport'>, { files }: Pick<AppFiles, 'files'>, { signal }: WorkOptions = {}): Promise<RemotePath> {
  const folder: RemotePath = `deepstream/${digestOf(canonical(files)).slice(0, 16)}`;
  for (const [name, text] of Object.entries(files)) {
    const { exitCode, stderr } = await transport.exec(script(appText, folder, name), { input: new TextEncoder().encode(text), limitMs: 60_000, ...(signal ? { signal } : {}) });
    if (exitCode !== 0)
      throw new EdgeError('command-failed', `${folder}/${name} cannot be written: ${stderr.trim().slice(0, 200)}`, {
        hint: 'Free disk on the device: edgeforge device clean <name>',
      });
  }
  return folder;
}

/** Passes the app's output on and asks it to end, as Ctrl-C would, after $1 prints that show a frame. */
const untilPrints = [
  'sh -c \'echo $$ > app.pid; exec deepstream-app -c "$1"\' sh "$2" 2>&1 | { n=0; while IFS= read -r line; do printf "%s\\n" "$line"',
  'case $line in *FPS*) ;; *PERF*[1-9]*) n=$((n+1)); [ "$n" -ne "$1" ] || kill -s INT "$(cat app.pid)";; esac; done; }',
].join('; ');

/** The job that runs an app for its seconds, counted from its first frames; it outlives a cut connection, and an app that shows none has its limit. */
export function appJob(folder: RemotePath, { app, seconds, startSeconds = 120, display = false }: Omit<AppFiles, 'files'>): Job {
  const limit = Math.ceil(seconds + startSeconds);
  return {
    // One print a second; the first covers a part of its second only.
    words: ['timeout', '--signal=INT', '--kill-after=30', String(limit), ...script(untilPrints, String(Math.ceil(seconds) + 1), app)],
    cwd: folder,
    // Without a sink that shows, an inherited DISPLAY only makes EGL look for what is not there.
    ...(display ? { env: { DISPLAY: ':0' } } : {}),
    log: `${folder}/log`,
    produces: [],
    detach: true,
    limitMs: (limit + 60) * 1000,
  };
}

/** Runs deepstream-app on the device and reads what it printed. Throws `device-refused` without DeepStream, and the failure that the log names. */
export async function runApp(device: Device, run: AppFiles, options: WorkOptions = {}): Promise<AppRun> {
  if (device.facts.deepstream === undefined)
    throw new EdgeError('device-refused', `"${device.name}" has no DeepStream.`, {
      hint: `Install it (https://docs.nvidia.com/metropolis/deepstream/dev-guide), then: edgeforge doctor ${device.name}`,
    });
  const { signal, onProgress } = options;
  const folder = await putApp(device, run, options);
  let prints = 0;
  const start = () =>
    device.transport.run(appJob(folder, run), {
      ...(signal ? { signal } : {}),
      ...(onProgress
        ? {
            onLine: line => {
              if (/PERF:? {1,4}\d/.test(line)) onProgress({ done: Math.min(++prints, run.seconds), total: run.seconds, message: line.trim().slice(0, 120) });
            },
          }
        : {}),
    });
  const finished = await withDeviceLock(device.transport, 'running deepstream-app', start);
  const log = parseDeepstreamLog(finished.stdout);
  const [failure] = log.failures;
  if (failure && (log.end === 'failed' || log.prints === 0)) throw failure.error;
  if (log.prints === 0)
    throw new EdgeError('command-failed', `deepstream-app ended (${finished.exitCode}) before it printed a frame rate: ${lastLine(finished.stdout)}`, {
      hint: `Its log is ${folder}/log in the device’s ~/.edgeforge.`,
    });
  return { log, finished, folder };
}
const lastLine = (text: string): string => text.trim().split('\n').at(-1)?.slice(0, 200) ?? '';
