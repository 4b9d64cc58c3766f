import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import { inPackage } from '../core/package-root.ts';
import { publishedRowSchema } from '../formats/report-published.ts';
import type { Facts } from './device.ts';

const targetSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]*$/),
  title: z.string(),
  kind: z.enum(['jetson', 'dgpu', 'linux']),
  architecture: z.enum(['x64', 'arm64']),
  runtime: z.enum(['tensorrt', 'onnxruntime']),
  soc: z.string().optional(),
  /** Prefixes of module part numbers, the longest match wins. */
  modules: z.array(z.string()).default([]),
  /** Compute capability; absent where there is no NVIDIA GPU. */
  sm: z.string().optional(),
  /** Part of the GPU's name as nvidia-smi gives it. */
  gpu: z.string().optional(),
  abilities: z.strictObject({ fp16: z.boolean(), int8: z.boolean(), dla: z.int().min(0).max(2) }),
  memoryMB: z.int().positive().optional(),
  jetpacks: z.array(z.string()).default([]),
  tensorrt: z.array(z.string()).default([]),
  defaults: z.strictObject({ batch: z.int().positive(), workspaceMiB: z.int().positive().optional() }),
  notes: z.array(z.strictObject({ text: z.string(), source: z.string() })).default([]),
  /** Figures of others for detectors on this kind of device. */
  published: z.array(publishedRowSchema).default([]),
});
/** A kind of device: what any board of that kind can do, from targets/NAME.yaml. */
export type Target = z.infer<typeof targetSchema>;

/** Reads one target's YAML. Throws `project-invalid` with the file and path. */
export function parseTarget(text: string, file: string): Target {
  const parsed = targetSchema.safeParse(parse(text));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new EdgeError('project-invalid', `${file}: ${issue.path.join('.')}: ${issue.message}`, {
    hint: 'See the other files in targets/.',
    where: { file, path: issue.path.join('.') },
  });
}

let loaded: readonly Target[] | undefined;
/** All targets that come with the package, by name. */
export function targets(): readonly Target[] {
  loaded ??= readdirSync(inPackage('targets'))
    .filter(file => file.endsWith('.yaml'))
    .sort()
    .map(file => parseTarget(readFileSync(inPackage('targets', file), 'utf8'), `targets/${file}`));
  return loaded;
}

/** The target of that name. Throws `usage` with the names there are. */
export function targetNamed(name: string): Target {
  const found = targets().find(target => target.name === name);
  if (!found)
    throw new EdgeError('usage', `There is no target "${name}".`, {
      hint: `Targets: ${targets()
        .map(target => target.name)
        .join(', ')}.`,
    });
  return found;
}

/** What kind of device the facts show: by SoC and module, by GPU, else the plain Linux of its architecture. Throws `device-refused` for an architecture we have nothing for. */
export function targetFor(facts: Pick<Facts, 'kind' | 'architecture' | 'soc' | 'module' | 'gpu' | 'sm' | 'memoryMB' | 'trtexec'>): Target {
  const ofSoc = facts.soc === undefined ? [] : targets().filter(target => target.soc === facts.soc);
  const length = (target: Target): number => Math.max(0, ...target.modules.filter(prefix => facts.module?.startsWith(prefix)).map(prefix => prefix.length));
  const byModule = ofSoc.filter(target => length(target) > 0).sort((a, b) => length(b) - length(a))[0];
  if (byModule) return byModule;
  if (ofSoc.length > 0) return ofSoc.toSorted((a, b) => Math.abs((a.memoryMB ?? 0) - facts.memoryMB) - Math.abs((b.memoryMB ?? 0) - facts.memoryMB))[0]!;
  const byGpu = facts.gpu === undefined ? undefined : targets().find(target => target.gpu !== undefined && new RegExp(`\\b${target.gpu}\\b`).test(facts.gpu!));
  if (byGpu) return byGpu;
  if (facts.architecture === 'other')
    throw new EdgeError('device-refused', 'This device’s processor is neither x86-64 nor 64-bit ARM.', { hint: 'Use a device with x86_64 or aarch64 Linux.' });
  // A GPU without TensorRT is of no use to us: then the processor works.
  return targetNamed(`${facts.kind === 'dgpu' && facts.trtexec !== undefined ? 'dgpu' : 'linux'}-${facts.architecture}`);
}

/** What this very device computes fast: the kind's abilities, held against its compute capability. */
export function abilitiesOf(facts: Facts, { abilities }: Target = targetFor(facts)): Target['abilities'] {
  const sm = facts.sm ?? '';
  return {
    ...abilities,
    int8: abilities.int8 && !['5.0', '5.2', '5.3', '6.0', '6.2'].includes(sm),
    fp16: abilities.fp16 && !['5.0', '5.2', '6.1'].includes(sm),
  };
}
