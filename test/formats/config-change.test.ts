import { expect, test } from 'vitest';
import { configChange } from '../../src/formats/config-change.ts';

const config = (threshold: number, more = '') => `# comment\n[property]\nbatch-size=1\n${more}[class-attrs-all]\npre-cluster-threshold=${threshold}\n`;

test('a config’s change is one line of keys, values before and after', () => {
  expect(configChange('nvinfer_int8.txt', config(0.2), config(0.2))).toBeUndefined();
  expect(configChange('nvinfer_int8.txt', config(0.2), config(0.3))).toBe('nvinfer_int8.txt: [class-attrs-all] pre-cluster-threshold 0.2 → 0.3');
  expect(configChange('nvinfer_int8.txt', config(0.2), config(0.2, 'interval=1\n'))).toBe('nvinfer_int8.txt: [property] interval absent → 1');
  expect(configChange('nvinfer_int8.txt', config(0.2), config(0.2).replace('# comment', '# another'))).toBe('nvinfer_int8.txt: comments only');
  expect(configChange('nvinfer_int8.txt', undefined, config(0.2))).toBe('nvinfer_int8.txt: new');
  expect(configChange('nvinfer_int8.txt', config(0.2), undefined)).toBe('nvinfer_int8.txt: gone');
  expect(configChange('nvinfer_int8.txt', 'no config', config(0.2))).toBe('nvinfer_int8.txt: another text');
  const many = Array.from({ length: 7 }, (_, i) => `k${i}=1\n`).join('');
  expect(configChange('a.txt', config(1), config(1, many))).toMatch(/k3 absent → 1 and 3 more$/);
});
test('labels: which came and which went', () => {
  expect(configChange('labels.txt', 'car\nbus\n', 'car\ntruck\n')).toBe('labels.txt: +truck, −bus');
  expect(configChange('labels.txt', 'car;bus\n', 'bus;car\n')).toBe('labels.txt: another order');
});
