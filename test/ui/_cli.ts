import { runCli } from '../../src/ui/cli.ts';

/** One command line run in this process: its exit code and what it printed. */
export async function cli(...words: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await runCli(words, { out: text => out.push(text), err: text => err.push(text), interactive: false, colour: false, columns: 100 });
  return { code, out: out.join('\n'), err: err.join('\n') };
}
