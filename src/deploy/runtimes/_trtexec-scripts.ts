import type { Command, EngineSpec, RemotePath } from '../device.ts';
import { script } from '../quote.ts';

/** Stands before what our own shell lines add to a program's log. */
const mark = '\u001e';
/** What our shell wrote under a name, the last time it did; undefined where it did not get so far. */
export const marked = (log: string, name: string): string | undefined => {
  const from = log.lastIndexOf(`${mark}${name}\n`);
  if (from < 0) return undefined;
  const rest = log.slice(from + name.length + 2);
  const end = rest.indexOf(mark);
  return end < 0 ? rest : rest.slice(0, end);
};

/** Files that a build writes beside its engine before it is done. */
export const scrapsOf = (engine: RemotePath): readonly RemotePath[] => ['part', 'layers', 'low', 'key', 'rc'].map(end => `${engine}.${end}`);

/** Where the key of an .etlt lies while a build starts: mode 0600, read once by the build and removed before it does anything else. */
export const keyFileOf = (engine: RemotePath): RemotePath => `${engine}.key`;

/** Puts the key where the build looks for it; the key itself is the command's input. */
export const keepKeyScript = (engine: RemotePath): Command => script('umask 077; mkdir -p "$(dirname "$1")"; rm -f "$1"; cat > "$1"', keyFileOf(engine));

/**
 * Runs a converter with its key between the program and the other words, since it takes it in no other way: for as long as it works, the device's own `ps` shows it.
 * What the tool says goes through a mask, or a usage line or an echo of its words would carry the key into the log.
 */
const runWithKey = [
  'secret=$(cat "$e.key" 2>/dev/null); rm -f "$e.key"; if [ -z "$secret" ]; then echo "edgeforge: the key is not there"; exit 67; fi; tool=$1; shift',
  'rm -f "$e.rc"; { "$tool" -k "$secret" "$@" 2>&1; echo $? > "$e.rc"; } | SECRET=$secret awk \'BEGIN { k = ENVIRON["SECRET"] } { while ((i = index($0, k)) > 0) { printf "%s[key]", substr($0, 1, i - 1); $0 = substr($0, i + length(k)) } print; fflush() }\'',
  'rc=$(cat "$e.rc" 2>/dev/null || echo 1); rm -f "$e.rc"',
].join('\n');

/**
 * A build as the device runs it. A missing cache would make trtexec "calibrate" on noise, so it is looked for first; the engine gets its name only when whole.
 * The lowest available memory is kept on the way, the kernel's word on a kill is fetched, and a finished build leaves a line in engines/history.
 */
export function buildScript({ engine, calibration, model, etlt }: EngineSpec, words: Command, history: string): Command {
  const text = [
    'e=$1; cache=$2; model=$3; key=$4; shift 4; mkdir -p "$(dirname "$e")"; rm -f "$e.part" "$e.layers" "$e.low"',
    'if [ -n "$cache" ] && [ ! -s "$cache" ]; then echo "calibration cache $cache is missing" >&2; exit 66; fi',
    `free() { awk '/^MemAvailable/ {print int($2/1024)}' /proc/meminfo; }; now() { cut -d. -f1 /proc/uptime; }`,
    'a=$(free); t=$(now); (low=$a; while [ -n "$low" ]; do m=$(free); if [ "$m" -lt "$low" ]; then low=$m; echo "$low" > "$e.low"; fi; sleep 1; done) & w=$!',
    etlt ? runWithKey : '"$@"; rc=$?',
    'kill $w 2>/dev/null; low=$(cat "$e.low" 2>/dev/null); rm -f "$e.low"',
    `if [ $rc = 137 ]; then printf '\\036oom\\n'; { dmesg || sudo -n dmesg || journalctl -k -n 300 --no-pager; } 2>/dev/null | grep -iE 'out of memory|oom-kill|killed process' | tail -3; fi`,
    'if [ $rc != 0 ]; then rm -f "$e.part" "$e.layers"; exit $rc; fi',
    `[ -s "$e.part" ] && mv "$e.part" "$e" && printf '\\036engine\\n%s %s %s\\n' "$(stat -c %s "$e")" "$(sha256sum < "$e" | cut -c1-64)" $(($(now)-t))`,
    `if [ -s "$e.layers" ]; then printf '\\036layers\\n'; cat "$e.layers"; rm -f "$e.layers"; fi`,
    'p=0; [ -z "$low" ] || p=$((a-low)); b=$(stat -c %s "$model"); echo "$(echo "$key" | sed "s/@BYTES@/$b/") $(($(now)-t)) $p" >> engines/history',
  ].join('\n');
  return script(text, engine, calibration?.path ?? '', model, history, ...words);
}

/** Seconds that accuracy through one process per image may take for one engine. */
export const inferBudgetS = 600;

/**
 * One process of trtexec per image: `$f` is that image's file, `$o/$i.json` where its outputs go. The first image tells how long all would take; that is said, and n is cut to the budget.
 */
export function inferScript(input: RemotePath, n: number, folder: RemotePath, { bytes, one }: { readonly bytes: number; readonly one: string }): Command {
  const text = [
    `set -e; in=$1; o=$2; n=${n}; rm -rf "$o"; mkdir -p "$o"; f=$o/one.raw; i=0`,
    'ms() { cut -d" " -f1 /proc/uptime | tr -d .; }; t=$(ms)',
    `while [ $i -lt $n ]; do tail -c +$((i*${bytes}+1)) "$in" | head -c ${bytes} > "$f"`,
    `${one} > "$o/log" 2>&1 || { cat "$o/log"; exit 1; }; i=$((i+1))`,
    // Hundredths of a second, as /proc/uptime counts.
    `if [ $i = 1 ]; then head -1 "$o/log"; each=$(($(ms)-t)); [ $each -gt 0 ] || each=1; fit=$((${inferBudgetS * 100}/each)); [ $fit -ge 1 ] || fit=1; printf '\\036forecast\\n${n} images, one process each, would take about %s s; the budget is ${inferBudgetS} s\\n' $((each*${n}/100)); if [ $fit -lt $n ]; then n=$fit; fi; printf '\\036n\\n%s\\n' $n; fi`,
    'echo "[I] image $i of $n"; done; rm -f "$f"',
  ].join('\n');
  return script(text, input, folder);
}
