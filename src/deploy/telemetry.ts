import { parseTegrastats } from '../formats/tegrastats.ts';
import type { Device } from './open-device.ts';
import { script } from './quote.ts';
import type { TelemetrySample } from './telemetry-sample.ts';

type Reading = Omit<TelemetrySample, 'at' | 'powerMode'>;

/** One round of what any Linux tells, closed by an empty line; the card's line only where nvidia-smi is. */
const linuxRound = `head -1 /proc/stat; grep -E '^Mem(Total|Available):' /proc/meminfo
for zone in /sys/class/thermal/thermal_zone*; do [ -r "$zone/temp" ] && echo "zone $(cat "$zone/type") $(cat "$zone/temp")"; done
command -v nvidia-smi >/dev/null && echo "card $(nvidia-smi --query-gpu=utilization.gpu,clocks.sm,temperature.gpu,power.draw --format=csv,noheader,nounits | head -1)"
echo`;
// It ends after an hour even where nobody tells it that its reader is gone.
const linuxLoop = `round=0; while [ $round -lt 3600 ]; do { ${linuxRound}; } 2>/dev/null; sleep "$1"; round=$((round + 1)); done`;

/** Hears what a device says of its load, memory, temperatures and power about every `everyMs`, until the signal: tegrastats on a Jetson, /proc, thermal zones and nvidia-smi elsewhere. */
export async function watchDevice(
  device: Device,
  { signal, everyMs = 1000, onSample }: { readonly signal: AbortSignal; readonly everyMs?: number; readonly onSample: (sample: TelemetrySample) => void },
): Promise<void> {
  const { transport, facts } = device;
  const say = (reading: Reading | undefined) => {
    if (reading) onSample({ at: new Date().toISOString(), ...reading, ...(facts.powerMode === undefined ? {} : { powerMode: facts.powerMode }) });
  };
  const jetson = facts.kind === 'jetson';
  const reader = linuxReader();
  await transport.exec(jetson ? ['tegrastats', '--interval', String(everyMs)] : script(linuxLoop, (everyMs / 1000).toFixed(1)), {
    signal,
    limitMs: 3_700_000,
    onLine: (line, stream) => {
      if (stream === 'stdout') say(jetson ? jetsonReading(line) : reader(line));
    },
  });
}

function jetsonReading(line: string): Reading | undefined {
  if (line.trim() === '') return undefined;
  const { cpu, ramUsedMB, ramTotalMB, gr3d, emc, temperaturesC, railsMw } = parseTegrastats(line);
  const loads = cpu.flatMap(core => (core ? [core.loadPercent] : []));
  const gpuMHz = typeof gr3d?.mhz === 'number' ? gr3d.mhz : gr3d?.mhz?.[0];
  return {
    ramUsedMB,
    ramTotalMB,
    temperaturesC,
    railsMw: Object.fromEntries(Object.entries(railsMw).map(([name, { now }]) => [name, now])),
    ...(loads.length > 0 ? { cpuPercent: loads.reduce((sum, load) => sum + load, 0) / loads.length } : {}),
    ...(gr3d?.loadPercent === undefined ? {} : { gpuPercent: gr3d.loadPercent }),
    ...(gpuMHz === undefined ? {} : { gpuMHz }),
    ...(emc?.loadPercent === undefined ? {} : { emcPercent: emc.loadPercent }),
    ...(emc?.mhz === undefined ? {} : { emcMHz: emc.mhz }),
  };
}

/** Lines of `linuxRound` → a reading at each empty line; the processor's load is the difference to the round before. */
export function linuxReader(): (line: string) => Reading | undefined {
  let round: string[] = [];
  let before: { readonly busy: number; readonly all: number } | undefined;
  return line => {
    if (line.trim() !== '') {
      round.push(line);
      return undefined;
    }
    const [lines, find] = [round, (pattern: RegExp) => round.map(each => pattern.exec(each)).find(match => match !== null)];
    const times = find(/^cpu +([\d ]+)/)?.[1]
      ?.trim()
      .split(/ +/)
      .map(Number);
    const [total, available] = [find(/^MemTotal: +(\d+) kB/)?.[1], find(/^MemAvailable: +(\d+) kB/)?.[1]];
    const card = find(/^card ([\d.]+), ([\d.]+), ([\d.]+), ([\d.]+)/)
      ?.slice(1)
      .map(Number);
    round = [];
    if (!times || total === undefined || available === undefined) return undefined;
    const all = times.slice(0, 8).reduce((sum, time) => sum + time, 0);
    const now = { all, busy: all - (times[3] ?? 0) - (times[4] ?? 0) };
    const last = before;
    before = now;
    const zones = lines.flatMap(each => {
      const [, name, milli] = /^zone (\S+) (-?\d+)$/.exec(each) ?? [];
      return name === undefined ? [] : [[name, Number(milli) / 1000] as const];
    });
    return {
      ramTotalMB: Math.round(Number(total) / 1024),
      ramUsedMB: Math.round((Number(total) - Number(available)) / 1024),
      temperaturesC: Object.fromEntries([...zones, ...(card ? [['GPU', card[2] as number] as const] : [])]),
      railsMw: card ? { card: Math.round((card[3] as number) * 1000) } : {},
      ...(last && now.all > last.all ? { cpuPercent: (100 * (now.busy - last.busy)) / (now.all - last.all) } : {}),
      ...(card ? { gpuPercent: card[0] as number, gpuMHz: card[1] as number } : {}),
    };
  };
}
