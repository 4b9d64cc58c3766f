/** One clock as `jetson_clocks --show` prints it, in MHz. */
export interface ClockRange {
  readonly minMHz: number;
  readonly maxMHz: number;
  readonly currentMHz?: number;
}
/** What `jetson_clocks --show` says, L4T 28 to 39. `locked`: every clock it names is held at its maximum. */
export interface JetsonClocks {
  readonly locked: boolean;
  readonly cpu: readonly (ClockRange & { readonly core: string; readonly governor?: string })[];
  readonly gpu?: ClockRange;
  readonly emc?: ClockRange & { readonly override?: boolean };
  /** The fan's line, as it stands. */
  readonly fan?: string;
}

const rangeOf = (line: string, perMHz: number): ClockRange | undefined => {
  const [, min] = /MinFreq=(\d{1,12})/.exec(line) ?? [];
  const [, max] = /MaxFreq=(\d{1,12})/.exec(line) ?? [];
  const [, current] = /CurrentFreq=(\d{1,12})/.exec(line) ?? [];
  if (min === undefined || max === undefined) return undefined;
  return { minMHz: Number(min) / perMHz, maxMHz: Number(max) / perMHz, ...(current === undefined ? {} : { currentMHz: Number(current) / perMHz }) };
};

/** Reads `jetson_clocks --show`; undefined where it refused (it wants root) or says nothing. CPU clocks are printed in kHz, GPU and EMC in Hz. */
export function parseJetsonClocks(text: string): JetsonClocks | undefined {
  const lines = text.slice(0, 65_536).split(/\r?\n/);
  const cpu = lines.flatMap(line => {
    const [, core] = /^(cpu\d{1,3}):/.exec(line) ?? [];
    const range = core === undefined ? undefined : rangeOf(line, 1000);
    // L4T 28 spells it Gonvernor.
    const [, governor] = /Gon?vernor=(\S{1,32})/.exec(line) ?? [];
    return core === undefined || range === undefined ? [] : [{ core, ...range, ...(governor === undefined ? {} : { governor }) }];
  });
  const of = (start: RegExp): string | undefined => lines.find(line => start.test(line));
  const gpu = rangeOf(of(/^GPU\d? MinFreq|^GPU /) ?? '', 1e6);
  const emcLine = of(/^EMC /);
  const emc = emcLine === undefined ? undefined : rangeOf(emcLine, 1e6);
  if (cpu.length === 0 && gpu === undefined) return undefined;
  const override = emcLine === undefined ? undefined : /FreqOverride=(\d)/.exec(emcLine)?.[1];
  const fan = of(/^fan\b/i)?.trim();
  const held = (range: ClockRange): boolean => range.minMHz === range.maxMHz;
  return {
    locked: [...cpu, ...(gpu ? [gpu] : [])].every(held) && (override === undefined || override === '1' || (emc !== undefined && held(emc))),
    cpu,
    ...(gpu ? { gpu } : {}),
    ...(emc ? { emc: { ...emc, ...(override === undefined ? {} : { override: override === '1' }) } } : {}),
    ...(fan ? { fan } : {}),
  };
}
