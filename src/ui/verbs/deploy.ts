import { resolve } from 'node:path';
import type { Command } from 'commander';
import { EdgeError } from '../../core/errors.ts';
import { deviceNamed } from '../../deploy/registry.ts';
import { mostBuilds } from '../../pipeline/benchmark-section.ts';
import { nearestProject, openProject } from '../../pipeline/project.ts';
import type { RunRequest } from '../../pipeline/requested.ts';
import type { Cli } from '../cli.ts';
import { runAndWatch } from '../watch.ts';

// The rooms that a plan needs are loaded only for one: a run does its work in a process of its own.
const planning = () => import('./plan.ts');

interface Common {
  readonly project?: string;
  readonly json?: boolean;
}

/** deploy, rollback, releases: what runs on a device. */
export function addDeployVerbs(program: Command, cli: Cli): void {
  const verb = (name: string, description: string) =>
    program.command(name).description(description).option('--project <dir>', 'the project (default: the nearest edgeforge.yaml upwards)').option('--json', 'print JSON');

  verb('deploy [device...]', 'one command: everything stale, push, build, benchmark, report and release for these devices (default: all)')
    .option('--model <file>', 'a finished .onnx or .etlt instead of the project’s own network')
    .option('--key-file <file>', 'the key of an .etlt')
    .option('--dims <C,H,W>', 'the input of an .etlt, where it does not say it (for the device’s tao-converter)')
    .option('--outputs <names>', 'its output nodes, with commas (for the device’s tao-converter)')
    .option('--calibration <file>', 'the INT8 cache that came with an .etlt (for the device’s tao-converter)')
    .option('--builds <k>', 'build every TensorRT engine k times, report how far the builds lie apart, keep the median one')
    .option('--service', 'let a systemd unit run the DeepStream application of the current release')
    .option('--despite-gate', 'make the release current even where the accuracy gate was missed')
    .option('--plan', 'only say what would run and why, and what would change on each device: pushes, builds, release, configs, services')
    .option('--dry-run', 'print every command that would run on the device')
    .action(cli.does(async (devices: string[], options: DeployOptions) => deploy(devices, options, cli)));

  verb('rollback <device> [release]', 'make an earlier release current again (default: the one before the current one)')
    .option('--list', 'only list the releases')
    .action(
      cli.does(async (name: string, release: string | undefined, options: Common & { readonly list?: boolean }) =>
        (await import('./rollback.ts'))[options.list ? 'list' : 'rollback'](
          { ...reach(name, options), ...(release === undefined ? {} : { release }), json: options.json === true },
          cli.output,
        ),
      ),
    );

  verb('releases <device>', 'the releases on a device, and which one is current').action(
    cli.does(async (name: string, options: Common) => (await import('./rollback.ts')).list({ ...reach(name, options), json: options.json === true }, cli.output)),
  );
}

/** A device by name, the project's or of the user's list. */
function reach(name: string, options: Common) {
  const project = nearestProject(options.project);
  return { name, definition: deviceNamed(name, project?.settings.devices ?? {}), folder: project?.folder ?? process.cwd() };
}

interface DeployOptions extends Common {
  readonly model?: string;
  readonly keyFile?: string;
  readonly dims?: string;
  readonly outputs?: string;
  readonly calibration?: string;
  readonly builds?: string;
  readonly plan?: boolean;
  readonly dryRun?: boolean;
  readonly despiteGate?: boolean;
  readonly service?: boolean;
}

/** The number that --builds names. Throws `usage` where it is none. */
function buildsOf({ builds }: DeployOptions): { readonly builds?: number } {
  if (builds === undefined) return {};
  const count = Number(builds);
  if (!Number.isInteger(count) || count < 1 || count > mostBuilds)
    throw new EdgeError('usage', `--builds takes a whole number from 1 to ${mostBuilds}, not ${JSON.stringify(builds)}.`, {
      hint: 'For example: edgeforge deploy DEVICE --builds 3',
    });
  return { builds: count };
}

/** The model that --model names, and what a converter is told besides. Throws `usage` where --dims is no C,H,W. */
function givenModel(file: string, { keyFile, dims, outputs, calibration }: DeployOptions) {
  const [channels = 0, height = 0, width = 0, ...more] = dims?.split(',').map(Number) ?? [];
  if (dims !== undefined && (more.length > 0 || ![channels, height, width].every(dim => Number.isInteger(dim) && dim > 0)))
    throw new EdgeError('usage', `--dims takes three whole numbers C,H,W, not ${JSON.stringify(dims)}.`, { hint: 'For example: --dims 3,544,960' });
  return {
    file: resolve(file),
    ...(keyFile ? { keyFile: resolve(keyFile) } : {}),
    ...(dims === undefined ? {} : { dims: [channels, height, width] as [number, number, number] }),
    ...(outputs === undefined ? {} : { outputs: outputs.split(',').map(name => name.trim()) }),
    ...(calibration ? { calibration: resolve(calibration) } : {}),
  };
}

/** What is asked for, as a run takes it. Throws `usage` where no device is. */
function requestOf(names: readonly string[], options: DeployOptions): RunRequest {
  const wishes = { ...buildsOf(options), despiteGate: options.despiteGate === true, service: options.service === true };
  if (options.model !== undefined) {
    if (names.length === 0) throw new EdgeError('usage', 'deploy --model needs a device.', { hint: 'Name it: edgeforge deploy DEVICE --model FILE' });
    const model = givenModel(options.model, options);
    return { project: nearestProject(options.project)?.folder ?? process.cwd(), devices: [...names], model, ...wishes };
  }
  const lost = (['dims', 'outputs', 'calibration'] as const).find(name => options[name] !== undefined);
  if (lost) throw new EdgeError('usage', `--${lost} goes with --model.`, { hint: 'For example: edgeforge deploy DEVICE --model FILE.etlt --key-file KEY' });
  const project = openProject({ folder: options.project });
  const devices = names.length > 0 ? [...new Set(names)] : Object.keys(project.settings.devices);
  if (devices.length === 0)
    throw new EdgeError('usage', 'The project names no device.', { hint: 'Add one under devices: in edgeforge.yaml, e.g. bench: {target: linux-x64, serve: true}.' });
  return { project: project.folder, devices, ...wishes };
}

async function deploy(names: readonly string[], options: DeployOptions, { output }: Cli): Promise<number> {
  const request = requestOf(names, options);
  const json = options.json === true;
  if (options.plan) return (await planning()).planDeploy(request, json, output);
  if (options.dryRun) return (await planning()).rehearseDeploy(request, output);
  const { devices = [] } = request;
  // The events stay the events' schema: against each other the devices stand only where people read.
  const after = async (folder: string) => output.out(await (await import('./deploy-table.ts')).deployTable(folder, devices));
  return runAndWatch({ project: { folder: request.project }, request, output, json, detach: false, ...(devices.length > 1 && !json ? { after } : {}) });
}
