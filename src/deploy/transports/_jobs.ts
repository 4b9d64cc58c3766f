import { EdgeError } from '../../core/errors.ts';
import { canonical, digestOf } from '../../core/fingerprint.ts';
import type { Command, Job } from '../device.ts';
import { quote, script } from '../quote.ts';

/** What a detached job's folder says: whether it runs, its exit code once it is over, and the log from an offset. */
export interface JobState {
  readonly state: 'running' | 'over' | 'gone' | 'rebooted';
  readonly exitCode?: number;
  readonly log: Buffer;
}

/** The folder of a job on its device: equal words in equal surroundings are the same job, so a second caller attaches to the first one's. */
export const jobFolder = (job: Job): string => `jobs/${digestOf(canonical({ words: job.words, cwd: job.cwd, env: job.env, log: job.log })).slice(0, 24)}`;

/**
 * Starts the job unless it runs or has ended unseen. Prints `started`, `running` or `over`.
 * Its own session (setsid) outlives the connection; `rc` appears whole by rename; boot id and start time tell a pid from a later one of the same number.
 * A job that is over counts only while all it promised to write is there.
 */
export function startScript(job: Job): Command {
  const env = Object.entries(job.env ?? {})
    .map(([name, value]) => `${name}=${quote(value)} `)
    .join('');
  const words = job.words.map(quote).join(' ');
  const limit = Math.max(1, Math.ceil(job.limitMs / 1000));
  const text = [
    'd=$1; log=$2; root=$PWD; shift 2',
    alive,
    'mkdir -p "$d"; if alive; then echo running; exit 0; fi',
    'if [ -f "$d/rc" ]; then whole=1; for f in "$@"; do [ -e "$f" ] || whole=0; done; if [ $whole = 1 ]; then echo over; exit 0; fi; fi',
    'rm -f "$d/rc" "$d/pid"; mkdir -p "$(dirname "$log")"; : > "$log"; rm -f "$d/log"; case $log in /*) ln -s "$log" "$d/log";; *) ln -s "$root/$log" "$d/log";; esac',
    `printf '%s\\n' ${quote(body(job, `env ${env}${words}`, limit))} > "$d/run"`,
    'setsid sh "$d/run" "$root" "$d" </dev/null >>"$log" 2>&1 & p=$!',
    'echo "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null) $p $(stime $p)" > "$d/pid"; echo started',
  ].join('\n');
  return script(text, jobFolder(job), job.log, ...job.produces);
}
const stime = 'stime() { sed "s/.*) //" "/proc/$1/stat" 2>/dev/null | cut -d" " -f20; }';
const alive = `${stime}
alive() { [ -f "$d/pid" ] || return 1; read -r b p s < "$d/pid"; [ ! -f "$d/rc" ] && [ "$b" = "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)" ] && kill -0 "$p" 2>/dev/null && [ "$s" = "$(stime "$p")" ]; }`;

/** `timeout` where the watchdog ended a job, as its log says; undefined where it did not. */
export const limitError = (what: string, log: string): EdgeError | undefined => {
  const seconds = /^edgeforge: the limit of (\d+) s is over$/m.exec(log)?.[1];
  return seconds === undefined
    ? undefined
    : new EdgeError('timeout', `${what} was ended on the device after its limit of ${seconds} s.`, {
        hint: 'Look at the device (is it swapping, throttled, stuck?) and run the same command again.',
      });
};
/** The job's own shell: work and watchdog each in a session of their own, so that a limit or a stop reaches all that the work started, even when nobody is connected any more. */
const body = (job: Job, words: string, limit: number): string =>
  [
    'root=$1; d=$2',
    ...(job.cwd === undefined ? [] : [`mkdir -p ${quote(job.cwd)} && cd ${quote(job.cwd)} || exit 97`]),
    `setsid ${words} & c=$!; echo $c > "$root/$d/child"`,
    `setsid sh -c 'sleep $1; echo "edgeforge: the limit of $1 s is over"; kill -s TERM -- -$2; sleep 5; kill -s KILL -- -$2' sh ${limit} $c & w=$!`,
    `trap 'kill -s TERM -- "-$c"' TERM`,
    'wait $c; rc=$?; while kill -0 $c 2>/dev/null; do wait $c; rc=$?; done',
    'kill -s KILL -- "-$c" 2>/dev/null; kill -s KILL -- "-$w" 2>/dev/null; echo $rc > "$root/$d/rc.tmp"; mv "$root/$d/rc.tmp" "$root/$d/rc"',
  ].join('\n');

/** Looks seldom and cheaply, since it may share the device with a measurement. Waits there (up to `waitSeconds`) for more log than `offset` or the end; prints one status line, then the log's bytes from there. */
export const pollScript = (folder: string, offset: number, waitSeconds: number): Command =>
  script(
    `d=$1; ${alive}
i=0; alive || i=99999; while [ $i -lt ${Math.max(1, Math.round(waitSeconds * 4))} ] && [ ! -f "$d/rc" ] && [ "$(wc -c < "$d/log")" -le "$2" ]; do sleep 0.25; i=$((i+1)); done
if [ -f "$d/rc" ]; then echo "over $(cat "$d/rc")"; elif alive; then echo running; else sleep 0.3; if [ -f "$d/rc" ]; then echo "over $(cat "$d/rc")"; else read -r b p s < "$d/pid"; if [ -n "$b" ] && [ "$b" != "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)" ]; then echo rebooted; else echo gone; fi; fi; fi
tail -c "+$(($2+1))" "$d/log" 2>/dev/null | head -c 8388608`,
    folder,
    String(offset),
  );

/** Ends the job and all it started: asked first, killed after two seconds; then its folder goes. */
export const stopScript = (folder: string): Command =>
  script(
    `d=$1; ${alive}
if alive; then c=$(cat "$d/child"); kill -s TERM "$p" 2>/dev/null; i=0; while alive && [ $i -lt 40 ]; do sleep 0.05; i=$((i+1)); done; kill -s KILL -- "-$c"; kill -s KILL "$p" 2>/dev/null; fi; rm -rf "$d"`,
    folder,
  );
/** Forgets a job whose result has been read. */
export const forgetScript = (folder: string): Command => ['rm', '-rf', folder];

/** Output of the poll script → state. A line that is not ours means that the folder is gone. */
export function parsePoll(output: Buffer): JobState {
  const end = output.indexOf(10);
  const line = end < 0 ? '' : output.subarray(0, end).toString('latin1');
  const log = output.subarray(end + 1);
  const over = /^over (\d+)$/.exec(line);
  if (over) return { state: 'over', exitCode: Number(over[1]), log };
  return { state: line === 'running' || line === 'rebooted' ? line : 'gone', log };
}
