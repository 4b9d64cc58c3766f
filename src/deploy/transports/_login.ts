import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { EdgeError } from '../../core/errors.ts';
import type { SshAddress } from '../ssh-config.ts';

/** With what to log in: keys ready to use, the agent's socket, and the files that stayed locked. */
export interface AuthPlan {
  readonly keys: readonly { readonly file: string; readonly key: string | Buffer; readonly passphrase?: string }[];
  readonly agent?: string;
  readonly locked: readonly string[];
}
export interface PlanOptions {
  readonly identityFiles?: readonly string[];
  /** Keys as text, of served devices. */
  readonly keys?: readonly string[];
  /** Where default keys lie; tests give their own. */
  readonly sshFolder?: string;
  readonly agent?: string | false;
  readonly askPassphrase?: (file: string) => Promise<string>;
}

const parses = (key: string | Buffer, passphrase?: string): 'yes' | 'encrypted' | 'no' => {
  const parsed = ssh2.utils.parseKey(key, passphrase);
  if (!(parsed instanceof Error)) return 'yes';
  return /encrypted|passphrase|decrypt/i.test(parsed.message) ? 'encrypted' : 'no';
};

/** Reads the named key files, or ssh's default ones, asking for passphrases where it may. A named file that is absent or no key is an error. */
export async function planLogin({ identityFiles = [], keys = [], sshFolder = join(homedir(), '.ssh'), agent, askPassphrase }: PlanOptions = {}): Promise<AuthPlan> {
  const named = new Set(identityFiles);
  const files = [...identityFiles, ...(keys.length ? [] : ['id_ed25519', 'id_ecdsa', 'id_rsa'].map(name => join(sshFolder, name)))];
  const ready: { file: string; key: string | Buffer; passphrase?: string }[] = keys.map(key => ({ file: 'generated key', key }));
  const locked: string[] = [];
  for (const file of new Set(files)) {
    if (!existsSync(file)) {
      if (named.has(file))
        throw new EdgeError('file-missing', `The identity file ${file} does not exist.`, { hint: `Make it with: ssh-keygen -t ed25519 -f ${file}`, where: { file } });
      continue;
    }
    const key = readFileSync(file);
    const state = parses(key);
    if (state === 'yes') ready.push({ file, key });
    else if (state === 'no' && named.has(file))
      throw new EdgeError('file-corrupt', `${file} is no private key that can be read.`, { hint: 'IdentityFile names the private key, not the .pub file.', where: { file } });
    else if (state === 'encrypted') {
      const passphrase = await askPassphrase?.(file);
      if (passphrase !== undefined && parses(key, passphrase) === 'yes') ready.push({ file, key, passphrase });
      else locked.push(file);
    }
  }
  const socket = agent === false || keys.length ? undefined : (agent ?? process.env.SSH_AUTH_SOCK);
  return { keys: ready, locked, ...(socket ? { agent: socket } : {}) };
}

type Method = { type: string; username: string; key?: string | Buffer; passphrase?: string; agent?: string };

/** ssh2's authHandler for a plan, and the sentence for when nothing worked. */
export function authenticator(
  address: SshAddress,
  plan: AuthPlan,
): { next: (left: readonly string[] | null, partial: boolean | null, go: (method: Method | false) => void) => void; refusal(name: string): EdgeError } {
  const username = address.user;
  const methods: Method[] = [
    ...plan.keys.map(({ key, passphrase }) => ({ type: 'publickey', username, key, ...(passphrase === undefined ? {} : { passphrase }) })),
    ...(plan.agent ? [{ type: 'agent', username, agent: plan.agent }] : []),
  ];
  // With nothing to offer, "none" still makes the server say what it would take.
  if (methods.length === 0) methods.push({ type: 'none', username });
  let offered: readonly string[] = [];
  let tried = 0;
  return {
    next(left, _partial, go) {
      if (left) offered = left;
      go(methods[tried++] ?? false);
    },
    refusal(name) {
      const at = `${address.user}@${address.host}`;
      const port = address.port === 22 ? '' : `-p ${address.port} `;
      if (plan.locked.length > 0 && plan.keys.length === 0)
        return new EdgeError(
          'login-refused',
          `The device "${name}" refused the login as ${address.user}: the key ${plan.locked.join(', ')} has a passphrase and no agent holds it.`,
          { hint: `Unlock it with: ssh-add ${plan.locked[0]}` },
        );
      const what = plan.keys.length || plan.agent ? `none of ${plan.keys.length} key files${plan.agent ? ' and the agent' : ''} is accepted` : 'there is no key to offer';
      const only = offered.length > 0 && !offered.includes('publickey') ? ` It takes only: ${offered.join(', ')}.` : '';
      const file = plan.keys[0]?.file;
      const make = plan.keys.length || plan.locked.length ? '' : 'ssh-keygen -t ed25519 && ';
      return new EdgeError('login-refused', `The device "${name}" refused the login as ${at}: ${what}.${only}`, {
        hint: `Bring your key there once, with its password: ${make}ssh-copy-id ${file?.startsWith('/') ? `-i ${file}.pub ` : ''}${port}${at}`,
      });
    },
  };
}
