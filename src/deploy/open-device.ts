import { EdgeError } from '../core/errors.ts';
import type { Facts, Runtime, Transport } from './device.ts';
import { gatherFacts } from './facts.ts';
import { connectionOf, type DeviceDefinition } from './registry.ts';
import { onnxruntime } from './runtimes/onnxruntime.ts';
import { tensorrt } from './runtimes/tensorrt.ts';
import { ensureServed } from './serve.ts';
import type { BoardSetting } from './sudo-rules.ts';
import { type Target, targetFor, targetNamed } from './targets.ts';
import { localTransport } from './transports/local.ts';
import { printingTransport } from './transports/printing.ts';
import { planLogin, sshTransport } from './transports/ssh.ts';

/** A device reached now: how to reach it, what is known of it, and what runs networks there. */
export interface Device extends AsyncDisposable {
  readonly name: string;
  readonly transport: Transport;
  readonly facts: Facts;
  readonly target: Target;
  readonly runtime: Runtime;
  /** The definition's own limit of a build's workspace; absent: the target's. */
  readonly workspaceMiB?: number;
  /** What the definition asks the board to be set to while it is measured. */
  readonly setting: BoardSetting;
  /** True for served and local devices: what runs there competes with this machine's own work (`cpu:<machine-id>`). */
  readonly thisMachine: boolean;
  /** True where commands are only printed: nothing is built and no number comes back. */
  readonly dry: boolean;
}
export interface OpenDeviceOptions {
  readonly name: string;
  readonly definition: DeviceDefinition;
  /** The project's folder (that of edgeforge.yaml): served devices keep their state under its .edgeforge/. */
  readonly project: string;
  /** Folder of the user's registry; default: EDGEFORGE_CONFIG, then $XDG_CONFIG_HOME/edgeforge, then ~/.config/edgeforge. */
  readonly config?: string;
  readonly signal?: AbortSignal;
  readonly askPassphrase?: (file: string) => Promise<string>;
  /** Prints every command instead of running it (`--dry-run`). */
  readonly print?: (line: string) => void;
}

/** The way to a device, opened: nothing is asked of it yet. */
export async function openTransport({ name, definition, project, config, askPassphrase }: OpenDeviceOptions): Promise<Transport> {
  if (definition.local) return localTransport(name);
  if (!definition.serve) return sshTransport(await connectionOf(name, definition, { config, askPassphrase }));
  const connect = async (): Promise<Transport> => {
    const { host, port, user, clientKey, hostKey } = await ensureServed(project, name);
    return sshTransport({ name, address: { host, port, user, identityFiles: [], jumps: [] }, pinOf: () => hostKey, plan: await planLogin({ keys: [clientKey] }) });
  };
  // It may just have ended its idle time between our look and our login: then it is started again, once.
  return connect().catch((error: unknown) => (error instanceof EdgeError && error.code === 'device-unreachable' ? connect() : Promise.reject(error)));
}

/** Facts that a dry run assumes: the target's newest JetPack, nothing measured. */
function assumedFacts(target: Target, deviceId: string): Facts {
  return {
    deviceId,
    kind: target.kind,
    architecture: target.architecture,
    model: target.title,
    os: 'assumed',
    kernel: 'assumed',
    glibc: '2.35',
    cpu: { model: 'assumed', cores: 4, features: [] },
    memoryMB: target.memoryMB ?? 8192,
    freeDiskMB: 16384,
    home: '~',
    emulated: true,
    at: new Date().toISOString(),
    ...(target.runtime === 'tensorrt'
      ? { tensorrt: target.tensorrt.includes('10.3.0') ? '10.3.0' : (target.tensorrt.at(-1) ?? '10.3.0'), trtexec: '/usr/src/tensorrt/bin/trtexec' }
      : {}),
    ...(target.sm === undefined ? {} : { sm: target.sm }),
    ...(target.soc === undefined ? {} : { soc: target.soc }),
    ...(target.modules[0] === undefined ? {} : { module: target.modules[0] }),
    ...(target.gpu === undefined ? {} : { gpu: target.gpu }),
  };
}

const runtimes = { tensorrt, onnxruntime };
/** Reaches a device, learns its facts in one round trip and chooses the runtime: the definition's, else the target's. Throws `device-refused` where the named target is not what is there. */
export async function openDevice(options: OpenDeviceOptions): Promise<Device> {
  const { name, definition, print, signal } = options;
  const named = definition.target === undefined ? undefined : targetNamed(definition.target);
  const thisMachine = definition.serve === true || definition.local === true;
  const { workspaceMiB, powerMode, gpuMHz } = definition;
  const setting = { ...(powerMode === undefined ? {} : { powerMode }), ...(gpuMHz === undefined ? {} : { gpuMHz }) };
  const own = { setting, ...(workspaceMiB === undefined ? {} : { workspaceMiB }) };
  if (print) {
    const transport = printingTransport(name, print);
    const target = named ?? targetNamed('linux-x64');
    return deviceOf({
      name,
      transport,
      facts: assumedFacts(target, transport.deviceId),
      target,
      runtime: runtimes[definition.runtime ?? target.runtime],
      ...own,
      thisMachine,
      dry: true,
    });
  }
  const transport = await openTransport(options);
  try {
    const facts = await gatherFacts(transport, signal);
    const seen = targetFor(facts);
    const target = named ?? seen;
    if (named && (named.architecture !== facts.architecture || (named.soc !== undefined && named.soc !== facts.soc)))
      throw new EdgeError('device-refused', `The project calls "${name}" a ${named.title}, but it is ${facts.model} (${seen.title}).`, {
        hint: `Set target: ${seen.name} for it, or leave target out.`,
      });
    return deviceOf({ name, transport, facts, target, runtime: runtimes[definition.runtime ?? target.runtime], ...own, thisMachine, dry: false });
  } catch (error) {
    await transport[Symbol.asyncDispose]();
    throw error;
  }
}
const deviceOf = (parts: Omit<Device, typeof Symbol.asyncDispose>): Device => ({ ...parts, [Symbol.asyncDispose]: () => parts.transport[Symbol.asyncDispose]() });
