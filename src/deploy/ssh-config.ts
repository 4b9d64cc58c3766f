import { existsSync, globSync, readFileSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { EdgeError } from '../core/errors.ts';

/** Where an SSH server is and how to get there. `jumps` come first, in order. */
export interface SshAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly identityFiles: readonly string[];
  readonly jumps: readonly SshAddress[];
}
export const showAddress = ({ user, host, port }: SshAddress): string => `${user}@${host}${port === 22 ? '' : `:${port}`}`;

/** One `Host` block of an ssh_config: its patterns and its settings (lower-case keys), in file order. */
export interface HostBlock {
  readonly patterns: readonly string[];
  readonly settings: readonly (readonly [key: string, value: string])[];
}

/** The words of an ssh_config line: keyword, then arguments; `=` and quotes as ssh takes them. Undefined for blanks and comments. */
function wordsOf(line: string): string[] | undefined {
  const match = /^\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*?)\s*$/.exec(line);
  if (!match) return undefined;
  const rest = [...match[2]!.matchAll(/"([^"]*)"|(\S+)/g)].map(found => found[1] ?? found[2]!);
  return [match[1]!.toLowerCase(), ...rest];
}

/** Text of an ssh_config → blocks. `include(pattern)` gives the texts of included files. `Match` blocks other than `Match all` never apply (they may run programs). */
export function parseSshConfig(text: string, include: (pattern: string) => readonly string[] = () => [], depth = 0): HostBlock[] {
  const blocks: { patterns: string[]; settings: [string, string][] }[] = [{ patterns: ['*'], settings: [] }];
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*#/.test(line)) continue;
    const words = wordsOf(line);
    if (!words) continue;
    const [key, ...values] = words as [string, ...string[]];
    if (key === 'host') blocks.push({ patterns: values, settings: [] });
    else if (key === 'match') blocks.push({ patterns: values[0] === 'all' ? ['*'] : [], settings: [] });
    else if (key === 'include' && depth < 8) {
      const current = blocks.at(-1)!;
      const inner = values.flatMap(include).flatMap(each => parseSshConfig(each, include, depth + 1));
      // An Include inside a Host block holds only for that block; at the top its own blocks count.
      const top = current.patterns.length === 1 && current.patterns[0] === '*';
      if (top) blocks.push(...(inner as typeof blocks), { patterns: ['*'], settings: [] });
      else current.settings.push(...inner.filter(block => block.patterns.join() === '*').flatMap(block => block.settings as [string, string][]));
    } else blocks.at(-1)!.settings.push([key, values.join(' ')]);
  }
  return blocks;
}

/** ssh's patterns: `*` and `?`, and `!` refuses the whole block. */
export function hostMatches(patterns: readonly string[], host: string): boolean {
  const fits = (pattern: string): boolean =>
    new RegExp(
      `^${pattern
        .replace(/[.+^${}()|[\]\\]/g, '\\$&')
        .replaceAll('*', '.*')
        .replaceAll('?', '.')}$`,
      'i',
    ).test(host);
  if (patterns.some(pattern => pattern.startsWith('!') && fits(pattern.slice(1)))) return false;
  return patterns.some(pattern => !pattern.startsWith('!') && fits(pattern));
}

/** `user@host:port`, `host`, `[v6]:port` or `ssh://…` → its parts. Throws `usage` with the form. */
export function parseDestination(text: string): { user?: string; host: string; port?: number } {
  const match = /^(?:ssh:\/\/)?(?:([^@\s]+)@)?(?:\[([0-9a-fA-F:.%]+)\]|([^:@\s/]+))(?::(\d{1,5}))?\/?$/.exec(text);
  const host = match?.[2] ?? match?.[3];
  const port = match?.[4] === undefined ? undefined : Number(match[4]);
  if (!match || host === undefined || host.startsWith('-') || (port !== undefined && (port < 1 || port > 65535)))
    throw new EdgeError('usage', `${JSON.stringify(text)} is no SSH destination.`, { hint: 'Write user@host or user@host:port, for example nvidia@10.0.0.7.' });
  return { host, ...(match[1] === undefined ? {} : { user: match[1] }), ...(port === undefined ? {} : { port }) };
}

const expand = (file: string, { home, host, user }: { home: string; host: string; user: string }): string =>
  file
    .replace(/^~(?=\/|$)/, home)
    .replaceAll('%d', home)
    .replaceAll('%h', host)
    .replaceAll('%r', user)
    .replaceAll('%u', userInfo().username)
    .replaceAll('%%', '%');

/** A destination with everything the user's ssh_config says about it: HostName, Port, User, IdentityFile, ProxyJump. What is written in the destination wins. */
export function resolveAddress(destination: string, blocks: readonly HostBlock[], { home = homedir(), depth = 0 }: { home?: string; depth?: number } = {}): SshAddress {
  if (depth > 4) throw new EdgeError('usage', `ProxyJump of ${destination} leads in a circle.`, { hint: 'Mend the ProxyJump lines in ~/.ssh/config.' });
  const { user: givenUser, host: alias, port: givenPort } = parseDestination(destination);
  const settings = blocks.filter(block => hostMatches(block.patterns, alias)).flatMap(block => block.settings);
  const first = (key: string): string | undefined => settings.find(([name]) => name === key)?.[1];
  const host = (first('hostname') ?? alias).replaceAll('%h', alias).replaceAll('%%', '%');
  const user = givenUser ?? first('user') ?? userInfo().username;
  const identityFiles = settings.filter(([name]) => name === 'identityfile').map(([, file]) => expand(file, { home, host, user }));
  const jump = first('proxyjump');
  const command = first('proxycommand');
  if (command !== undefined && command.toLowerCase() !== 'none' && jump === undefined)
    throw new EdgeError('usage', `${alias} is reached by a ProxyCommand in ~/.ssh/config, which edgeforge does not run.`, {
      hint: 'Use ProxyJump instead, or a tunnel and its local port.',
    });
  const jumps =
    jump === undefined || jump.toLowerCase() === 'none'
      ? []
      : jump.split(',').flatMap(each => {
          const at = resolveAddress(each.trim(), blocks, { home, depth: depth + 1 });
          return [...at.jumps, { ...at, jumps: [] }];
        });
  return { host, port: givenPort ?? Number(first('port') ?? 22), user, identityFiles: [...new Set(identityFiles)], jumps };
}

/** The user's ~/.ssh/config as blocks; [] where there is none. */
export function readSshConfig(file = join(homedir(), '.ssh', 'config')): HostBlock[] {
  if (!existsSync(file)) return [];
  const include = (pattern: string): string[] => {
    const path = pattern.startsWith('/') ? pattern : pattern.startsWith('~') ? pattern.replace(/^~/, homedir()) : join(dirname(file), pattern);
    return globSync(path)
      .sort()
      .map(each => readFileSync(each, 'utf8'));
  };
  return parseSshConfig(readFileSync(file, 'utf8'), include);
}
