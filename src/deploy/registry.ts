import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { writeAtomic } from '../core/atomic-file.ts';
import { EdgeError } from '../core/errors.ts';
import type { Digest } from '../core/fingerprint.ts';
import { cleanDevice } from './clean-device.ts';
import { configFolder } from './config-folder.ts';
import type { DeviceDefinition } from './definition.ts';
import { readSshConfig, resolveAddress, type SshAddress, showAddress } from './ssh-config.ts';
import { type ConnectOptions, fingerprint, lookAtHostKey, type PinOf, planLogin, sshTransport } from './transports/ssh.ts';

export { type DeviceDefinition, deviceDefinitionSchema } from './definition.ts';

const digest = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .transform(text => text as Digest);
const registrySchema = z.object({
  version: z.literal(1),
  devices: z.record(z.string(), z.object({ ssh: z.string(), target: z.string().optional(), identityFile: z.string().optional(), added: z.string() })),
  /** Digest of the host key by host:port. */
  pins: z.record(z.string(), z.object({ key: digest, at: z.string() })),
});
type Registry = z.infer<typeof registrySchema>;

const registryFile = (config?: string): string => join(configFolder(config), 'devices.json');

function readRegistry(config?: string): Registry {
  const file = registryFile(config);
  if (!existsSync(file)) return { version: 1, devices: {}, pins: {} };
  try {
    return registrySchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    throw new EdgeError('file-corrupt', `The list of devices ${file} cannot be read.`, {
      hint: `Mend it or remove it (then add the devices again): rm ${file}`,
      where: { file },
      cause,
    });
  }
}
const writeRegistry = (registry: Registry, config?: string): Promise<void> => writeAtomic(registryFile(config), `${JSON.stringify(registry, null, 2)}\n`);

const place = (host: string, port: number): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;
/** The pins of the user's registry as the connection asks for them. */
export function pinsOf(config?: string): PinOf {
  const { pins } = readRegistry(config);
  return (host, port) => pins[place(host, port)]?.key;
}

interface AddOptions {
  readonly config?: string;
  readonly target?: string;
  readonly identityFile?: string;
  /** Another ssh_config than ~/.ssh/config; tests give their own. */
  readonly sshConfig?: string;
  /** Where the user agrees to each key before it is pinned; left out: it is pinned as seen. */
  readonly confirm?: (host: string, fingerprint: string) => Promise<boolean>;
}
/** What `device add` shows: where the device is, its key's fingerprint, and whether a login already works (or why not). */
export interface AddedDevice {
  readonly name: string;
  readonly address: SshAddress;
  readonly fingerprint: string;
  readonly login: EdgeError | undefined;
}

/** Looks at the host keys on the way, pins them, and remembers the device. Throws `host-key-changed` where another key is pinned. */
export async function addDevice(name: string, destination: string, { config, target, identityFile, sshConfig, confirm }: AddOptions = {}): Promise<AddedDevice> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$/.test(name))
    throw new EdgeError('usage', `${JSON.stringify(name)} is no name for a device.`, { hint: 'Use letters, digits, dots, dashes and underscores.' });
  const address = resolveAddress(destination, readSshConfig(sshConfig));
  const identityFiles = identityFile ? [identityFile] : address.identityFiles;
  const plan = await planLogin({ identityFiles });
  const registry = readRegistry(config);
  const at = new Date().toISOString();
  const pinOf: PinOf = (host, port) => registry.pins[place(host, port)]?.key;
  for (const [index, hop] of [...address.jumps, address].entries()) {
    const key = await lookAtHostKey({ name, address: { ...hop, jumps: address.jumps.slice(0, index) }, pinOf, plan });
    const pinned = pinOf(hop.host, hop.port);
    if (pinned !== undefined && pinned !== key)
      throw new EdgeError('host-key-changed', `The host key of ${hop.host}:${hop.port} is ${fingerprint(key)}, but ${fingerprint(pinned)} is pinned.`, {
        hint: `Only if you know why it changed: edgeforge device remove ${name} && edgeforge device add ${name} ${destination}`,
      });
    if (pinned === undefined && confirm && !(await confirm(place(hop.host, hop.port), fingerprint(key))))
      throw new EdgeError('cancelled', `The key of ${place(hop.host, hop.port)} was not accepted.`, {
        hint: 'Compare it on the device: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub',
      });
    registry.pins[place(hop.host, hop.port)] = { key, at };
  }
  registry.devices[name] = { ssh: destination, added: at, ...(target === undefined ? {} : { target }), ...(identityFile === undefined ? {} : { identityFile }) };
  await writeRegistry(registry, config);
  const login = await sshTransport({ name, address, pinOf, plan }).then(
    async transport => void (await transport[Symbol.asyncDispose]()),
    (error: unknown) => (error instanceof EdgeError ? error : Promise.reject(error)),
  );
  return { name, address, fingerprint: fingerprint(pinOf(address.host, address.port)!), login: login ?? undefined };
}

/** The devices of the user's registry with their pins. */
export function listDevices(config?: string): readonly { readonly name: string; readonly definition: DeviceDefinition; readonly fingerprint?: string }[] {
  const { devices, pins } = readRegistry(config);
  const blocks = readSshConfig();
  return Object.entries(devices).map(([name, { ssh, target, identityFile }]) => {
    const address = resolveAddress(ssh, blocks);
    const pin = pins[place(address.host, address.port)];
    return {
      name,
      definition: { ssh, ...(target === undefined ? {} : { target }), ...(identityFile === undefined ? {} : { identityFile }) },
      ...(pin ? { fingerprint: fingerprint(pin.key) } : {}),
    };
  });
}

/** Forgets a device and its pin (unless another one shares the host). Throws `device-unknown`. */
export async function removeDevice(name: string, config?: string): Promise<void> {
  const registry = readRegistry(config);
  const entry = registry.devices[name];
  if (!entry)
    throw new EdgeError('device-unknown', `There is no device "${name}" in your list.`, {
      hint: `Known: ${Object.keys(registry.devices).join(', ') || 'none'}. See: edgeforge device list`,
    });
  delete registry.devices[name];
  const blocks = readSshConfig();
  const used = new Set(
    Object.values(registry.devices)
      .flatMap(({ ssh }) => [resolveAddress(ssh, blocks)].flatMap(at => [...at.jumps, at]))
      .map(at => place(at.host, at.port)),
  );
  for (const hop of [resolveAddress(entry.ssh, blocks)]) if (!used.has(place(hop.host, hop.port))) delete registry.pins[place(hop.host, hop.port)];
  await writeRegistry(registry, config);
}

/** What a name means: the project's definition, else the user's registry. Throws `device-unknown` with both ways out. */
export function deviceNamed(name: string, project: Readonly<Record<string, DeviceDefinition>> = {}, config?: string): DeviceDefinition {
  const found = project[name] ?? listDevices(config).find(device => device.name === name)?.definition;
  if (found) return found;
  throw new EdgeError('device-unknown', `No device is called "${name}".`, {
    hint: `Add it with: edgeforge device add ${name} user@host, or name it under devices: in edgeforge.yaml (serve: true needs no board).`,
  });
}

/** How to connect to an ssh device: its address by ~/.ssh/config, the user's pins, the keys to try. */
export async function connectionOf(
  name: string,
  definition: DeviceDefinition,
  { config, sshConfig, askPassphrase }: { config?: string | undefined; sshConfig?: string; askPassphrase?: ((file: string) => Promise<string>) | undefined } = {},
): Promise<ConnectOptions> {
  const address = resolveAddress(definition.ssh ?? '', readSshConfig(sshConfig));
  const identityFiles = definition.identityFile ? [definition.identityFile.replace(/^~(?=\/)/, homedir())] : address.identityFiles.filter(file => existsSync(file));
  return { name, address, pinOf: pinsOf(config), plan: await planLogin({ identityFiles, ...(askPassphrase ? { askPassphrase } : {}) }) };
}
export { cleanDevice, showAddress };
