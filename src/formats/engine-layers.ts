import { z } from 'zod';

/** What an engine's layers really run in, by the engine inspector. Reformats (copies between layouts) are counted apart. */
export interface EngineLayers {
  readonly total: number;
  readonly int8: number;
  readonly fp16: number;
  readonly fp32: number;
  /** INT32, BOOL and what else carries no arithmetic precision. */
  readonly other: number;
  readonly reformats: number;
  /** Layers on a DLA; 0 where the inspector names none. */
  readonly dla: number;
}

const tensor = z.looseObject({ 'Format/Datatype': z.string().optional() });
const layer = z.looseObject({
  Name: z.string().optional(),
  LayerType: z.string().optional(),
  Outputs: z.array(tensor).optional(),
  Weights: z.looseObject({ Type: z.string().optional() }).optional(),
});
const schema = z.looseObject({ Layers: z.array(z.union([z.string(), layer])) });

/** The precision a layer computes in: that of its weights where it has any, else of its first output. Up to 8.6 a format is a phrase (`Channel major FP16 format …`), later a word. */
function precisionOf({ Weights, Outputs }: z.infer<typeof layer>): 'int8' | 'fp16' | 'fp32' | 'other' {
  const said = Weights?.Type ?? Outputs?.[0]?.['Format/Datatype'] ?? '';
  if (/int8/i.test(said)) return 'int8';
  if (/fp16|half|bf16|bfloat/i.test(said)) return 'fp16';
  if (/fp32|^float$/i.test(said)) return 'fp32';
  return 'other';
}

/** Reads what `--exportLayerInfo` wrote. Undefined where it is no such JSON, or holds names only (an engine built without detailed verbosity). */
export function parseEngineLayers(text: string): EngineLayers | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = schema.safeParse(value);
  const layers = parsed.success ? parsed.data.Layers.filter(each => typeof each !== 'string') : [];
  if (layers.length === 0) return undefined;
  const count = { total: 0, int8: 0, fp16: 0, fp32: 0, other: 0, reformats: 0, dla: 0 };
  for (const each of layers) {
    if (/^(Reformat|NoOp)$/i.test(each.LayerType ?? '')) {
      count.reformats++;
      continue;
    }
    count.total++;
    count[precisionOf(each)]++;
    if (/DLA/i.test(each.LayerType ?? '') || /^\{?ForeignNode.*dla/i.test(each.Name ?? '')) count.dla++;
  }
  return count;
}

/** One sentence for a passport: `41 of 57 layers run in INT8 (72 %), 12 in FP16, 4 in FP32`. */
export function layersText({ total, int8, fp16, fp32 }: EngineLayers): string {
  const rest = [fp16 > 0 ? `${fp16} in FP16` : '', fp32 > 0 ? `${fp32} in FP32` : ''].filter(Boolean);
  return `${int8} of ${total} layers run in INT8 (${total === 0 ? 0 : Math.round((100 * int8) / total)} %)${rest.length > 0 ? `, ${rest.join(', ')}` : ''}`;
}
