import { expect, it } from 'vitest';
import { commonFlags, tltFlags } from '../../../src/formats/spec/cli-flags.ts';

const tables = Object.entries(tltFlags).flatMap(([network, verbs]) => Object.entries(verbs).map(([verb, flags]) => [`${network} ${verb}`, flags] as const));

it.each(tables)('%s names every flag once', (_, flags) => {
  const names = [...flags, ...commonFlags].flatMap(({ short, long, aliases }) => [long, ...(short ? [short] : []), ...(aliases ?? [])]);
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  expect(names.filter(name => !/^--?[a-zA-Z_]+$/.test(name))).toEqual([]);
});
it('has every verb of the two networks that TLT has', () => {
  expect(Object.keys(tltFlags.detectnet_v2).sort()).toEqual(['calibration_tensorfile', 'dataset_convert', 'evaluate', 'export', 'inference', 'prune', 'train']);
  expect(tltFlags.classification.dataset_convert).toBeUndefined();
});
