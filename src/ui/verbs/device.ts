import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { EdgeError } from '../../core/errors.ts';
import { type DoctorRow, doctorDevice, doctorHost, doctorModel } from '../../deploy/doctor.ts';
import { openTransport } from '../../deploy/open-device.ts';
import { addDevice, cleanDevice, type DeviceDefinition, deviceNamed, listDevices, removeDevice, showAddress } from '../../deploy/registry.ts';
import { removeOldReleases } from '../../deploy/rollback.ts';
import { ensureServed, stopServed } from '../../deploy/serve.ts';
import { targets } from '../../deploy/targets.ts';
import type { TelemetrySample } from '../../deploy/telemetry-sample.ts';
import { readOnnx } from '../../formats/onnx.ts';
import { doctorCompute } from '../../pipeline/compute-doctor.ts';
import { DevicePool } from '../../pipeline/device-pool.ts';
import { nearestProject, type Project } from '../../pipeline/project.ts';
import type { Cli } from '../cli.ts';
import { interrupted } from '../interrupted.ts';
import { bytesText, type Output, table } from '../output.ts';
import { telemetryText } from '../telemetry-text.ts';

interface Common {
  readonly project?: string;
  readonly json?: boolean;
}

const verb = (parent: Command, name: string, description: string): Command =>
  parent.command(name).description(description).option('--project <dir>', 'the project (default: the nearest edgeforge.yaml upwards)').option('--json', 'print JSON');

/** device add|list|remove|clean|serve|stop, doctor, targets: the boards and what they can do. */
export function addDeviceVerbs(program: Command, cli: Cli): void {
  const { output } = cli;
  const device = program.command('device').description('boards: add, list, remove, clean, serve, stop');
  addAddVerb(device, cli);
  addEmbeddedVerbs(device, cli);
  verb(device, 'watch <name>', 'its load, memory, temperatures and power, live; Ctrl-C ends it').action(
    cli.does(async (name: string, options: Common) => watchTelemetry(output, name, options)),
  );
  verb(device, 'list', 'devices of the project and of your list').action(cli.does(async (options: Common) => list(output, options)));
  verb(device, 'remove <name>', 'forget a device and its pinned key').action(
    cli.does(async (name: string) => {
      await removeDevice(name);
      output.out(`${name} is forgotten.`);
      return 0;
    }),
  );
  verb(device, 'clean <name>', 'remove everything edgeforge left on a device')
    .option('--releases <keep>', 'only old releases: all but the newest KEEP, the current and the one before')
    .action(cli.does(async (name: string, options: Common & { readonly releases?: string }) => clean(output, name, options)));
  verb(program, 'doctor [device]', 'what is here, what is possible, what is missing and how to mend it')
    .option('--model <file>', 'an .onnx: which precisions and processors of the device can run it, before anything is uploaded')
    .action(cli.does(async (name: string | undefined, options: Common & { readonly model?: string }) => doctor(output, name, options)));
  verb(program, 'targets', 'the kinds of device that edgeforge knows').action(
    cli.does(async (options: Common) => {
      const known = targets();
      output.out(options.json ? JSON.stringify(known) : table(known.map(target => [target.name, target.title])));
      return 0;
    }),
  );
}

function addAddVerb(device: Command, { output, does }: Cli): void {
  verb(device, 'add <name> <destination>', 'pin the host key of user@host[:port] (or a Host of ~/.ssh/config) and remember the device')
    .option('--target <kind>', 'kind of device (see: edgeforge targets)')
    .option('--identity <file>', 'private key')
    .option('--yes', 'pin the key without asking')
    .action(
      does(async (name: string, destination: string, options: Common & { readonly target?: string; readonly identity?: string; readonly yes?: boolean }) => {
        const ask = output.interactive && !options.yes;
        const added = await addDevice(name, destination, {
          ...(options.target ? { target: options.target } : {}),
          ...(options.identity ? { identityFile: options.identity } : {}),
          ...(ask ? { confirm: askFingerprint } : {}),
        });
        if (options.json) output.out(JSON.stringify({ name, address: showAddress(added.address), fingerprint: added.fingerprint, login: added.login?.toJSON() ?? 'ok' }));
        else {
          output.out(`${name} is ${showAddress(added.address)}, host key ${added.fingerprint} (pinned).`);
          output.out(added.login ? `Login does not work yet: ${added.login.message}\n  mend: ${added.login.hint}` : 'Login works. Next: edgeforge doctor '.concat(name));
        }
        return added.login ? 3 : 0;
      }),
    );
}

function addEmbeddedVerbs(device: Command, { output, does }: Cli): void {
  verb(device, 'serve [name]', 'start the embedded device: an SSH server of edgeforge’s own on 127.0.0.1').action(
    does(async (name: string | undefined, options: Common) => {
      const project = nearestProject(options.project);
      const served = await ensureServed(project?.folder ?? process.cwd(), name ?? 'bench');
      if (options.json) output.out(JSON.stringify({ ...served, clientKey: undefined }));
      else output.out(`${name ?? 'bench'} serves on ${served.host}:${served.port}; it ends after 10 idle minutes, or with: edgeforge device stop ${name ?? 'bench'}`);
      return 0;
    }),
  );
  verb(device, 'stop [name]', 'end an embedded device').action(
    does(async (name: string | undefined, options: Common) => {
      const project = nearestProject(options.project);
      const stopped = await stopServed(project?.folder ?? process.cwd(), name ?? 'bench');
      output.out(stopped ? `${name ?? 'bench'} has ended; what it holds stays.` : `${name ?? 'bench'} was not up.`);
      return 0;
    }),
  );
}

async function clean(output: Output, name: string, options: Common & { readonly releases?: string }): Promise<number> {
  const { definition, folder } = resolve(name, options);
  const keep = options.releases === undefined ? undefined : Number(options.releases);
  if (keep !== undefined && !(Number.isInteger(keep) && keep >= 0))
    throw new EdgeError('usage', `--releases takes a whole number, not ${JSON.stringify(options.releases)}.`, { hint: `For example: edgeforge device clean ${name} --releases 3` });
  await using transport = await openTransport({ name, definition, project: folder });
  if (keep === undefined) {
    output.out(`Freed ${bytesText(await cleanDevice(transport))} on ${name}.`);
    return 0;
  }
  const removed = await removeOldReleases(transport, keep);
  output.out(removed.length === 0 ? `No release on ${name} is older than what stays.` : `Removed from ${name}: ${removed.join(', ')}.`);
  return 0;
}

async function askFingerprint(host: string, fingerprint: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question(`Host key of ${host}: ${fingerprint}. Pin it? [y/N] `)).trim());
  } finally {
    lines.close();
  }
}

/** A device by name: the project's, else the user's list. */
function resolve(name: string, options: Common): { readonly definition: DeviceDefinition; readonly folder: string; readonly project: Project | undefined } {
  const project = nearestProject(options.project);
  return { definition: deviceNamed(name, project?.settings.devices ?? {}), folder: project?.folder ?? process.cwd(), project };
}

function list(output: Output, options: Common): number {
  const project = nearestProject(options.project);
  const way = (definition: DeviceDefinition) => definition.ssh ?? (definition.serve ? 'serve (embedded)' : 'this machine');
  const rows = [
    ...Object.entries(project?.settings.devices ?? {}).map(([name, definition]) => ({
      name,
      from: 'project',
      way: way(definition),
      target: definition.target ?? 'by its facts',
      fingerprint: '',
    })),
    ...listDevices().map(({ name, definition, fingerprint }) => ({
      name,
      from: 'your list',
      way: way(definition),
      target: definition.target ?? 'by its facts',
      fingerprint: fingerprint ?? 'no pinned key',
    })),
  ];
  if (options.json) output.out(JSON.stringify(rows));
  else
    output.out(
      rows.length === 0 ? 'No devices yet. Add one: edgeforge device add NAME user@host' : table(rows.map(row => [row.name, row.from, row.way, row.target, row.fingerprint])),
    );
  return 0;
}

async function watchTelemetry(output: Output, name: string, options: Common): Promise<number> {
  const { definition, folder } = resolve(name, options);
  const signal = interrupted();
  await using pool = new DevicePool({ folder, file: '', settings: { devices: { [name]: definition } } });
  const { watchDevice } = await import('../../deploy/telemetry.ts');
  const onSample = (sample: TelemetrySample) => output.out(options.json ? JSON.stringify(sample) : telemetryText(sample));
  await watchDevice(await pool.open(name), { signal, onSample }).catch((error: unknown) => (signal.aborted ? undefined : Promise.reject(error)));
  return 0;
}

async function doctor(output: Output, name: string | undefined, options: Common & { readonly model?: string }): Promise<number> {
  const rows: DoctorRow[] = [...doctorHost(), ...(name === undefined ? await doctorCompute() : [])];
  if (name !== undefined) {
    const { definition, folder } = resolve(name, options);
    const project = { folder, file: '', settings: { devices: { [name]: definition } } };
    await using pool = new DevicePool(project);
    const device = await pool.open(name);
    rows.push(...doctorDevice(device));
    if (options.model !== undefined) rows.push(...doctorModel(readOnnx(await readFile(options.model)), device));
  }
  if (options.json) output.out(JSON.stringify(rows));
  else {
    const marks = { ok: '✔', note: 'i', missing: '-', blocked: '✘' } as const;
    for (const row of rows) {
      output.out(`${marks[row.state]} ${row.name}: ${row.value}`);
      if (row.mend) output.out(`    mend: ${row.mend}`);
    }
  }
  return rows.some(row => row.state === 'blocked') ? 1 : 0;
}
