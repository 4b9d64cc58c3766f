import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const launcher = join(root, 'src', 'launch.cjs');

/** Whether there is a tmux to drive a real terminal with. */
export const hasTmux = (): boolean => spawnSync('tmux', ['-V']).status === 0;

/** Builds dist/ where it is older than src/: the real program is what is driven. */
export function ensureBuilt(): void {
  const newest = execFileSync('find', [join(root, 'src'), '-name', '*.ts*', '-newer', join(root, 'dist', 'main.js'), '-print', '-quit'], { encoding: 'utf8' });
  if (newest !== '') execFileSync(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', join(root, 'src')], { stdio: 'inherit' });
  statSync(launcher);
}

/** A terminal of its own tmux server: keys go in, the picture comes out. */
export class Terminal implements Disposable {
  readonly #socket = `edgeforge-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  readonly config = mkdtempSync(join(tmpdir(), 'edge-config-'));

  constructor({ columns, rows, cwd }: { readonly columns: number; readonly rows: number; readonly cwd: string }) {
    const env = { ...process.env, EDGEFORGE_CONFIG: this.config, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', TERM: 'xterm-256color', PS1: 'shell> ', CI: undefined, NODE_ENV: undefined };
    const words = ['-L', this.#socket, '-f', '/dev/null', 'new-session', '-d', '-x', String(columns), '-y', String(rows), '-c', cwd, 'bash', '--norc'];
    execFileSync('tmux', words, { env });
  }
  #tmux(...words: readonly string[]): string {
    return execFileSync('tmux', ['-L', this.#socket, ...words], { encoding: 'utf8' });
  }

  /** Starts edgeforge with these words in the terminal's shell. */
  start(...words: readonly string[]): void {
    this.type(`clear; ${[process.execPath, launcher, ...words].join(' ')}`);
    this.press('Enter');
  }
  /** Keys as tmux names them: Enter, Escape, C-c, or a letter. */
  press(...keys: readonly string[]): void {
    for (const key of keys) this.#tmux('send-keys', key);
  }
  type(text: string): void {
    this.#tmux('send-keys', '-l', text);
  }
  resize(columns: number, rows: number): void {
    this.#tmux('resize-window', '-x', String(columns), '-y', String(rows));
  }
  picture({ colours = false } = {}): string {
    return this.#tmux('capture-pane', '-p', ...(colours ? ['-e'] : []));
  }
  /** Writes all that is drawn from now on to a file, byte for byte. */
  record(file: string): void {
    this.#tmux('pipe-pane', '-o', `cat > ${file}`);
  }
  /** The program in the foreground of the terminal: the UI. */
  program(): number {
    const shell = this.#tmux('display-message', '-p', '#{pane_pid}').trim();
    return Number(execFileSync('pgrep', ['-P', shell], { encoding: 'utf8' }).trim().split('\n')[0]);
  }
  /** The picture once it shows what is wanted. Throws with the last picture after `limitMs`. */
  async until(wanted: RegExp, limitMs = 240_000): Promise<string> {
    const end = performance.now() + limitMs;
    for (;;) {
      const picture = this.picture();
      if (wanted.test(picture)) return picture;
      if (performance.now() > end) throw new Error(`${wanted} did not show within ${limitMs} ms. The terminal shows:\n${picture}`);
      await new Promise(done => setTimeout(done, 150));
    }
  }
  [Symbol.dispose](): void {
    spawnSync('tmux', ['-L', this.#socket, 'kill-server']);
    rmSync(this.config, { recursive: true, force: true });
  }
}
