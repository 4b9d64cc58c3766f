import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { parseCalibrationCache } from '../../formats/calibration-cache.ts';
import { type LintContext, type LintFinding, lintNvinfer } from '../../formats/deepstream-lint.ts';
import { giesOf, isAppConfig, lintApp } from '../../formats/deepstream-lint-app.ts';
import type { DeepstreamVersion } from '../../formats/deepstream-version.ts';
import { type Ini, iniValue } from '../../formats/ini.ts';
import { readOnnx } from '../../formats/onnx.ts';
import { networkInfoOf } from '../../graph/network-info.ts';
import { iniAt } from '../../pipeline/bisect/deployed.ts';
import type { Cli } from '../cli.ts';
import { addAppVerb } from './deepstream-run.ts';
import { versionOf } from './option-values.ts';

interface LintOptions {
  readonly deepstream: DeepstreamVersion;
  readonly onnx?: string;
  readonly tensorrt?: string;
  readonly json?: boolean;
}
/** What one file was found to have. */
interface Linted {
  readonly file: string;
  readonly findings: readonly LintFinding[];
}

/** deepstream lint, run: a config against what it names; the app on a device. */
export function addDeepstreamVerbs(program: Command, cli: Cli): void {
  const deepstream = program.command('deepstream').description('DeepStream: its configs, and its app on a device');
  addAppVerb(deepstream, cli);
  deepstream
    .command('lint <config...>')
    .description(
      'check nvinfer and deepstream-app configs against labels, network, cache and engine; each mismatch with what you would see of it; exit code 1 where one is an error',
    )
    .option('--deepstream <version>', 'the version that will read it', versionOf, '6.3')
    .option('--onnx <file>', 'the network, where the config names an engine or an .etlt only')
    .option('--tensorrt <version>', 'the device’s TensorRT, such as 8.5.2')
    .option('--json', 'print JSON')
    .action(
      cli.does(async (configs: string[], options: LintOptions) => {
        const linted = (await Promise.all(configs.map(file => lintFile(resolve(file), options)))).flat();
        if (options.json) cli.output.out(JSON.stringify(linted, null, 1));
        else for (const each of linted) cli.output.out(linesOf(each).join('\n'));
        return linted.some(({ findings }) => findings.some(({ severity }) => severity === 'error')) ? 1 : 0;
      }),
    );
}

function linesOf({ file, findings }: Linted): string[] {
  if (findings.length === 0) return [`✔ ${file}: nothing found`];
  return findings.flatMap(({ severity, key, line, message, symptom, mend }) => [
    `${severity === 'error' ? '✖' : '!'} ${file}${line === undefined ? '' : `:${line}`}: ${severity}: ${key}: ${message}`,
    `    seen as: ${symptom}`,
    `    mend: ${mend}`,
  ]);
}

/** The file's own findings, then those of the nvinfer configs that an app config names. */
async function lintFile(file: string, options: LintOptions): Promise<Linted[]> {
  const ini = await iniAt(file);
  if (!isAppConfig(ini)) return [{ file, findings: lintNvinfer(ini, await contextOf(file, ini, options)) }];
  const named = giesOf(ini).flatMap(({ config }) => (config === undefined ? [] : [resolve(dirname(file), config)]));
  const below = await Promise.all(named.map(each => lintFile(each, options)));
  return [{ file, findings: lintApp(ini) }, ...below.flat()];
}

const pathKeys = ['onnx-file', 'tlt-encoded-model', 'model-engine-file', 'int8-calib-file', 'labelfile-path', 'custom-lib-path'] as const;

/** Reads what the config names and is there: labels, cache, and the network's own words about itself. */
async function contextOf(file: string, ini: Ini, options: LintOptions): Promise<LintContext> {
  const pathOf = (key: (typeof pathKeys)[number]) => {
    const value = iniValue(ini, 'property', key);
    return value === undefined || value === '' ? undefined : resolve(dirname(file), value);
  };
  const missing = pathKeys.filter(key => {
    const path = pathOf(key);
    return path !== undefined && !existsSync(path);
  });
  const there = (path: string | undefined) => (path !== undefined && existsSync(path) ? path : undefined);
  const onnx = options.onnx === undefined ? there(pathOf('onnx-file')) : resolve(options.onnx);
  const labels = there(pathOf('labelfile-path'));
  const cache = there(pathOf('int8-calib-file'));
  const graph = onnx === undefined ? undefined : readOnnx(await readFile(onnx));
  const info = graph && networkInfoOf(graph);
  const [, channels, height, width] = graph?.inputs[0]?.type.dims.map(Number) ?? [];
  return {
    deepstream: options.deepstream,
    missing,
    ...(options.tensorrt === undefined ? {} : { tensorrt: options.tensorrt }),
    ...(labels === undefined ? {} : { labels: await readFile(labels, 'utf8') }),
    ...(cache === undefined ? {} : { cache: parseCalibrationCache(await readFile(cache, 'utf8')) }),
    ...(info && graph && channels && height && width
      ? { network: { info, input: [channels, height, width] as const, quantized: graph.nodes.some(({ type }) => type === 'QuantizeLinear') } }
      : {}),
  };
}
