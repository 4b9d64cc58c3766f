import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The browser's program, found by name; undefined where none is installed. */
export const chromium: string | undefined = (() => {
  for (const name of ['chromium', 'chromium-browser', 'google-chrome', 'chrome'])
    try {
      return execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    } catch {}
  return undefined;
})();

type Message = { id?: number; method?: string; params?: Record<string, unknown>; result?: unknown; error?: { message: string } };

/** A page of a headless Chromium over the DevTools protocol; its events are told as they come. */
export async function openPage(onEvent: (method: string, params: Record<string, unknown>) => void) {
  const folder = mkdtempSync(join(tmpdir(), 'edge-chromium-'));
  const words = [
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--remote-debugging-port=0',
    `--user-data-dir=${folder}`,
    'about:blank',
  ];
  const browser = spawn(chromium!, words, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  const address = await new Promise<string>((resolve, reject) => {
    let said = '';
    browser.stderr.on('data', chunk => {
      said += chunk;
      const found = /DevTools listening on (ws:\S+)/.exec(said);
      if (found) resolve(found[1]!);
    });
    browser.once('exit', () => reject(new Error(`Chromium ended: ${said}`)));
  });
  const pages = (await (await fetch(`http://${new URL(address).host}/json/list`)).json()) as { type: string; webSocketDebuggerUrl: string }[];
  const socket = new WebSocket(pages.find(({ type }) => type === 'page')!.webSocketDebuggerUrl);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  const listeners = new Map<string, (params: Record<string, unknown>) => void>();
  socket.onmessage = ({ data }) => {
    const { id, method, params = {}, result, error } = JSON.parse(String(data)) as Message;
    if (method !== undefined) {
      onEvent(method, params);
      listeners.get(method)?.(params);
    } else if (error) waiting.get(id!)?.reject(new Error(error.message));
    else waiting.get(id!)?.resolve(result);
  };
  let last = 0;
  const send = <T>(method: string, params: object = {}): Promise<T> =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve: resolve as (value: unknown) => void, reject });
      socket.send(JSON.stringify({ id: last, method, params }));
    });
  return {
    send,
    /** Settles with the next event of this name. */
    next: (method: string) => new Promise<Record<string, unknown>>(resolve => listeners.set(method, resolve)),
    /** The value of an expression in the page. */
    async evaluate<T>(expression: string): Promise<T> {
      const { result, exceptionDetails } = await send<{ result: { value: T }; exceptionDetails?: { text: string } }>('Runtime.evaluate', {
        expression,
        returnByValue: true,
        awaitPromise: true,
      });
      if (exceptionDetails) throw new Error(`${exceptionDetails.text}: ${JSON.stringify(result)}`);
      return result.value;
    },
    async [Symbol.asyncDispose]() {
      const ended = new Promise(resolve => browser.once('exit', resolve));
      socket.close();
      process.kill(-browser.pid!, 'SIGKILL');
      await ended;
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
